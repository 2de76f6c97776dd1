package io.assay.audit.arca;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/** Natural log-probability, for each token, that the token has a wanted property; never above 0. */
public final class UnigramTable {
  /** Log-probability of the impossible: ln 1e-20. */
  public static final double FLOOR = Math.log(1e-20);

  private static final long LARGEST_FILE = 256L << 20;

  /** Columns of the table that the official code ships. */
  private static final List<String> TOXICITY =
      List.of("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate");

  private final String name;
  private final double[] logProbabilities;
  private final int clamped;

  private UnigramTable(String name, double[] logProbabilities, int clamped) {
    this.name = name;
    this.logProbabilities = logProbabilities;
    this.clamped = clamped;
  }

  /**
   * A table of natural log-probabilities. Positive values (rounding of the published tables, trap
   * T7) become 0, NaN and -infinity become {@link #FLOOR}; {@link #clamped} counts both.
   */
  public static UnigramTable of(String name, double... logProbabilities) {
    double[] values = logProbabilities.clone();
    int clamped = 0;
    for (int v = 0; v < values.length; v++) {
      double u = values[v];
      if (Double.isNaN(u) || u == Double.NEGATIVE_INFINITY) {
        values[v] = FLOOR;
      } else if (u > 0) {
        values[v] = 0;
      }
      clamped += values[v] == u ? 0 : 1;
    }
    return new UnigramTable(name, values, clamped);
  }

  /**
   * Reads the table that {@code place} names: a file, or {@code FILE:COLUMN} as {@link #read(Path,
   * String)} has it.
   *
   * @throws InputException if the file cannot be read or has no such column
   */
  public static UnigramTable read(String place) {
    int colon = place.lastIndexOf(':');
    return colon < 1 || Files.exists(Path.of(place))
        ? read(Path.of(place), null)
        : read(Path.of(place.substring(0, colon)), place.substring(colon + 1));
  }

  /**
   * Reads one column of a table of natural log-probabilities, one row a token:
   *
   * <ul>
   *   <li>a {@code .npy} file of float32 or float64, of one or two dimensions;
   *   <li>a pickled numpy array, as the official code ships them; no pickle is ever run;
   *   <li>a text file with one number a line, or several separated by commas below a line of names.
   * </ul>
   *
   * <p>The six columns of an array without names are those of the published toxicity table: toxic,
   * severe_toxic, obscene, threat, insult, identity_hate. Other columns without names are numbered
   * from 0.
   *
   * @param column name of the column; with {@code not_} before it the opposite property, {@link
   *     #not}; null or {@code not} for the only one (of a text file with two, the second)
   * @throws InputException if the file cannot be read or has no such column
   */
  public static UnigramTable read(Path file, String column) {
    boolean opposite = column != null && (column.equals("not") || column.startsWith("not_"));
    String wanted = opposite ? column.substring(Math.min(4, column.length())) : column;
    Columns columns = columns(file, bytes(file));
    int index = columns.index(file, wanted);
    String label = file + (wanted == null || wanted.isEmpty() ? "" : ":" + wanted);
    UnigramTable table = of(label, columns.values().apply(index));
    return opposite ? table.not() : table;
  }

  /** The columns of a file: their names and, by index, their numbers. */
  private record Columns(List<String> names, int preferred, IntFunction<double[]> values) {
    int index(Path file, String wanted) {
      boolean any = wanted == null || wanted.isEmpty();
      int index = any ? preferred : names.indexOf(wanted);
      if (index < 0) {
        throw new InputException(
            "the unigram table "
                + file
                + (any ? " has several columns" : " has no column '" + wanted + "'")
                + "; write FILE:NAME with one of "
                + String.join(", ", names));
      }
      return index;
    }
  }

  private static byte[] bytes(Path file) {
    try {
      long size = Files.size(file);
      if (size > LARGEST_FILE) {
        throw new InputException(
            "the unigram table "
                + file
                + " has "
                + size
                + " bytes; at most "
                + LARGEST_FILE
                + " are read");
      }
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InputException(
          "the unigram table " + file + " cannot be read; check the path and its rights", e);
    }
  }

  private static Columns columns(Path file, byte[] bytes) {
    if (!NumpyFile.isNpy(bytes) && !NumpyFile.isPickle(bytes)) {
      return csv(file, bytes);
    }
    NumpyFile array =
        NumpyFile.isNpy(bytes)
            ? NumpyFile.npy(file.toString(), bytes)
            : NumpyFile.pickle(file.toString(), bytes);
    if (array.type().equals("i8")) {
      throw notATable(file, "holds whole numbers, which are no log-probabilities");
    }
    int count = array.columns();
    List<String> names =
        count == TOXICITY.size()
            ? TOXICITY
            : IntStream.range(0, count).mapToObj(Integer::toString).toList();
    return new Columns(names, count == 1 ? 0 : -1, array::column);
  }

  private static Columns csv(Path file, byte[] bytes) {
    String[] lines = new String(bytes, StandardCharsets.UTF_8).split("\\R");
    List<String[]> rows = new ArrayList<>();
    List<Integer> numbers = new ArrayList<>();
    for (int i = 0; i < lines.length; i++) {
      if (!lines[i].isBlank()) {
        rows.add(lines[i].split(",", -1));
        numbers.add(i + 1);
      }
    }
    if (rows.isEmpty()) {
      throw notATable(file, "is empty");
    }
    int count = rows.getFirst().length;
    boolean named = number(rows.getFirst()[count - 1]) == null;
    List<String> names =
        IntStream.range(0, count)
            .mapToObj(c -> named ? title(rows.getFirst()[c]) : Integer.toString(c))
            .toList();
    return new Columns(
        names,
        count <= 2 ? count - 1 : -1,
        column -> {
          double[] values = new double[rows.size() - (named ? 1 : 0)];
          for (int r = 0; r < values.length; r++) {
            String[] row = rows.get(r + (named ? 1 : 0));
            Double value = row.length == count ? number(row[column]) : null;
            if (value == null) {
              throw notATable(
                  file,
                  "has no number in column "
                      + names.get(column)
                      + " of line "
                      + numbers.get(r + (named ? 1 : 0)));
            }
            values[r] = value;
          }
          return values;
        });
  }

  /** A column's name as it can be printed. */
  private static String title(String field) {
    String printable = field.strip().replaceAll("\\p{Cntrl}", "?");
    return printable.substring(0, Math.min(printable.length(), 80));
  }

  /** The number that a field holds; -inf and nan as numpy writes them; null for none. */
  private static Double number(String field) {
    String word = field.strip();
    return switch (word.toLowerCase(Locale.ROOT)) {
      case "nan" -> Double.NaN;
      case "-inf", "-infinity" -> Double.NEGATIVE_INFINITY;
      default -> {
        try {
          yield Double.valueOf(word);
        } catch (NumberFormatException e) {
          yield null;
        }
      }
    };
  }

  private static InputException notATable(Path file, String why) {
    return new InputException(
        "the unigram table "
            + file
            + " "
            + why
            + "; give a .npy or pickled array of float32 or float64, or one number a line");
  }

  /**
   * The table of the opposite property, log(1 - p), with 1 - p at least 1e-20. What was clamped
   * before still counts.
   */
  public UnigramTable not() {
    double[] opposite = new double[logProbabilities.length];
    for (int v = 0; v < opposite.length; v++) {
      opposite[v] = Math.log(Math.max(1e-20, -Math.expm1(logProbabilities[v])));
    }
    return new UnigramTable("not " + name, opposite, clamped);
  }

  public String name() {
    return name;
  }

  /** Number of tokens. */
  public int size() {
    return logProbabilities.length;
  }

  /** Log-probability of token {@code v}. */
  public double get(int v) {
    return logProbabilities[v];
  }

  /** Values that were not a log-probability and were replaced. */
  public int clamped() {
    return clamped;
  }

  /**
   * @throws InputException unless the table has {@code vocabulary} or {@code rows} entries
   */
  void requireSize(int vocabulary, long rows) {
    if (size() != vocabulary && size() != rows) {
      throw new InputException(
          "the unigram table "
              + name
              + " has "
              + size()
              + " entries; the model has "
              + vocabulary
              + " tokens"
              + (rows == vocabulary ? "" : " (" + rows + " rows)"));
    }
  }
}
