package io.assay.audit.arca;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Natural log-probability, for each token, that the token has a wanted property; never above 0. */
public final class UnigramTable {
  /** Log-probability of the impossible: ln 1e-20. */
  public static final double FLOOR = Math.log(1e-20);

  private static final long LARGEST_FILE = 256L << 20;
  private static final Pattern TYPE = Pattern.compile("'descr'\\s*:\\s*'([^']*)'");
  private static final Pattern SHAPE = Pattern.compile("'shape'\\s*:\\s*\\((\\d{1,12}),?\\s*\\)");

  private final String name;
  private final double[] logProbabilities;
  private final int clamped;

  private UnigramTable(String name, double[] values) {
    this.name = name;
    this.logProbabilities = new double[values.length];
    int count = 0;
    for (int v = 0; v < values.length; v++) {
      double u = values[v];
      if (Double.isNaN(u)) {
        u = FLOOR;
      } else if (u > 0) {
        u = 0;
      } else if (u == Double.NEGATIVE_INFINITY) {
        u = FLOOR;
      }
      count += u == values[v] ? 0 : 1;
      logProbabilities[v] = u;
    }
    this.clamped = count;
  }

  /**
   * A table of natural log-probabilities. Positive values (rounding of the published tables, trap
   * T7) become 0, NaN and -infinity become {@link #FLOOR}; {@link #clamped} counts both.
   */
  public static UnigramTable of(String name, double... logProbabilities) {
    return new UnigramTable(name, logProbabilities);
  }

  /**
   * Reads a one-dimensional {@code .npy} file of float32 or float64, or a text file with one number
   * a line; of a line with several columns, separated by commas, the last counts.
   *
   * @throws InputException if the file cannot be read or is neither
   */
  public static UnigramTable read(Path file) {
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
      byte[] bytes = Files.readAllBytes(file);
      double[] values =
          bytes.length > 0 && bytes[0] == (byte) 0x93 ? npy(file, bytes) : csv(file, bytes);
      return of(file.toString(), values);
    } catch (IOException e) {
      throw new InputException(
          "the unigram table " + file + " cannot be read; check the path and its rights", e);
    }
  }

  private static double[] npy(Path file, byte[] bytes) {
    ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    if (bytes.length < 12
        || !new String(bytes, 1, 5, StandardCharsets.ISO_8859_1).equals("NUMPY")) {
      throw notATable(file, "does not start as a .npy file does");
    }
    long length = bytes[6] == 1 ? in.getShort(8) & 0xffff : in.getInt(8) & 0xffffffffL;
    int start = bytes[6] == 1 ? 10 : 12;
    if (length > bytes.length - start) {
      throw notATable(file, "ends inside its header");
    }
    String header = new String(bytes, start, (int) length, StandardCharsets.ISO_8859_1);
    Matcher type = TYPE.matcher(header);
    Matcher shape = SHAPE.matcher(header);
    if (!type.find() || !shape.find()) {
      throw notATable(file, "is not one-dimensional (header " + header.strip() + ")");
    }
    int width =
        switch (type.group(1)) {
          case "<f4" -> 4;
          case "<f8" -> 8;
          default -> throw notATable(file, "holds the type " + type.group(1));
        };
    long count = Long.parseLong(shape.group(1));
    int from = start + (int) length;
    if (count * width != bytes.length - from) {
      throw notATable(
          file, "says " + count + " values and holds " + (bytes.length - from) + " bytes of them");
    }
    double[] values = new double[(int) count];
    for (int i = 0; i < count; i++) {
      values[i] = width == 4 ? in.getFloat(from + 4 * i) : in.getDouble(from + 8 * i);
    }
    return values;
  }

  private static double[] csv(Path file, byte[] bytes) {
    List<Double> values = new ArrayList<>();
    int number = 0;
    for (String line : new String(bytes, StandardCharsets.UTF_8).split("\n")) {
      number++;
      String last = line.substring(line.lastIndexOf(',') + 1).strip();
      if (last.isEmpty()) {
        continue;
      }
      try {
        values.add(Double.parseDouble(last));
      } catch (NumberFormatException e) {
        if (number > 1) { // the first line may be a heading
          throw notATable(file, "has no number at the end of line " + number);
        }
      }
    }
    return values.stream().mapToDouble(Double::doubleValue).toArray();
  }

  private static InputException notATable(Path file, String why) {
    return new InputException(
        "the unigram table "
            + file
            + " "
            + why
            + "; give a one-dimensional .npy of float32 or float64, or one number a line");
  }

  /** The table of the opposite property, log(1 - p), with 1 - p at least 1e-20. */
  public UnigramTable not() {
    double[] opposite = new double[logProbabilities.length];
    for (int v = 0; v < opposite.length; v++) {
      opposite[v] = Math.log(Math.max(1e-20, -Math.expm1(logProbabilities[v])));
    }
    return of("not " + name, opposite);
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
