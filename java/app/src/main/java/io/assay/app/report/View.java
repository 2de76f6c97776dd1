package io.assay.app.report;

import java.util.List;

/**
 * One picture, table or text of a {@link Page}.
 *
 * <p>A view says what is shown and leaves to the page how. Every text may come from a model or a
 * user: the page shows it as text and never as HTML. Arrays are not copied; they travel into the
 * page bit for bit, NaN included, which is shown as an empty place. The records check their sizes
 * and throw {@link IllegalArgumentException}.
 */
public sealed interface View {
  /** What is seen, as the heading of the view. */
  String title();

  /** One or two sentences that say how to read it; may be empty. */
  String note();

  /**
   * An axis whose places have names, such as layers or the tokens of a prompt.
   *
   * @param name what the axis counts
   * @param labels one for each place, in order
   */
  record Axis(String name, List<String> labels) {
    public Axis {
      labels = List.copyOf(labels);
    }

    /** The axis 0, 1, ... of a thing that is counted, such as the layers of a model. */
    public static Axis counted(String name, int size) {
      return new Axis(
          name, java.util.stream.IntStream.range(0, size).mapToObj(Integer::toString).toList());
    }
  }

  /**
   * A matrix of numbers as colours, or a stack of them with a slider: patching maps over layer,
   * head and position.
   *
   * @param slices the axis of the slider, or null for a single matrix
   * @param unit of the values
   * @param diverging whether values are differences: colours are then centred on zero
   * @param values row-major, [slice, y, x]
   */
  record HeatMap(
      String title,
      String note,
      Axis slices,
      Axis y,
      Axis x,
      String unit,
      boolean diverging,
      float[] values)
      implements View {
    public HeatMap {
      int depth = slices == null ? 1 : slices.labels().size();
      sizes(title, (long) depth * y.labels().size() * x.labels().size(), values.length);
    }
  }

  /**
   * Attention patterns of one prompt: a map of queries over keys, and the tokens of the prompt
   * coloured by what one of them attends to. A long pattern is shown in tiles, each the largest
   * weight in it, which open into smaller ones.
   *
   * @param tokens of the prompt
   * @param heads names of the patterns, at least one
   * @param values weights, [head, query, key]
   */
  record Attention(
      String title, String note, List<String> tokens, List<String> heads, float[] values)
      implements View {
    public Attention {
      tokens = List.copyOf(tokens);
      heads = List.copyOf(heads);
      sizes(title, (long) heads.size() * tokens.size() * tokens.size(), values.length);
    }
  }

  /**
   * A curve, with a band around it or without.
   *
   * @param low lower edge of the band at each x, or null
   * @param high upper edge, or null
   */
  record Line(String name, double[] x, double[] y, double[] low, double[] high) {
    /** A curve without a band. */
    public Line(String name, double[] x, double[] y) {
      this(name, x, y, null, null);
    }

    public Line {
      sizes(name, x.length, y.length);
      if ((low == null) != (high == null)) {
        throw new IllegalArgumentException(name + ": a band has two edges");
      }
      if (low != null) {
        sizes(name, x.length, low.length);
        sizes(name, x.length, high.length);
      }
    }
  }

  /**
   * Curves over one axis: losses, success against budget. Of more points than a picture has columns
   * it shows the first, the least, the greatest and the last of each of 4000 columns, so that no
   * peak is lost.
   *
   * @param x name and unit of the horizontal axis
   * @param y name and unit of the vertical axis
   * @param logX whether the horizontal axis is logarithmic; what is not positive is then not shown
   * @param logY the same of the vertical axis
   */
  record Lines(
      String title, String note, String x, String y, boolean logX, boolean logY, List<Line> lines)
      implements View {
    public Lines {
      lines = List.copyOf(lines);
    }
  }

  /**
   * Bars over named places, some of them marked: a Fourier spectrum with its key frequencies.
   *
   * @param x name of the places
   * @param y name and unit of the values
   * @param marked what a marked bar is, for the legend; null if none is
   * @param marks indices of the marked bars
   */
  record Bars(
      String title,
      String note,
      String x,
      String y,
      List<String> labels,
      double[] values,
      String marked,
      List<Integer> marks)
      implements View {
    public Bars {
      labels = List.copyOf(labels);
      marks = List.copyOf(marks);
      sizes(title, labels.size(), values.length);
    }
  }

  /**
   * A column of a table.
   *
   * @param unit shown beside the name; may be empty
   * @param digits after the point of a number; the whole number is kept for sorting and export
   */
  record Column(String name, String unit, int digits) {
    /** A column of texts, tokens or whole numbers. */
    public Column(String name) {
      this(name, "", 0);
    }
  }

  /**
   * A ranked table that people sort, search and take away as CSV.
   *
   * @param rows cells of each row: a {@code String}, a {@code Number}, a {@code Boolean}, a list of
   *     {@link Token}, or null for none
   */
  record Table(String title, String note, List<Column> columns, List<List<?>> rows)
      implements View {
    public Table {
      columns = List.copyOf(columns);
      rows = List.copyOf(rows);
      for (List<?> row : rows) {
        sizes(title, columns.size(), row.size());
      }
    }
  }

  /** What sets a token apart. */
  enum Mark {
    /** Nothing. */
    NONE,
    /** Given, not searched. */
    FIXED,
    /** Changed just now. */
    CHANGED,
    /** Said by the model. */
    OUTPUT
  }

  /**
   * A token as people read it.
   *
   * @param value its number, shown as a colour; null for none
   */
  record Token(String text, Double value, Mark mark) {
    /** A token that is only marked. */
    public Token(String text, Mark mark) {
      this(text, null, mark);
    }
  }

  /**
   * A text whose tokens are coloured by a number: attribution, surprise.
   *
   * @param unit of the values; empty if no token has one
   * @param diverging whether colours are centred on zero
   */
  record TokenText(String title, String note, String unit, boolean diverging, List<Token> tokens)
      implements View {
    public TokenText {
      tokens = List.copyOf(tokens);
    }
  }

  /**
   * A component of a circuit, at a place of its two axes.
   *
   * @param x place on the horizontal axis; fractions set nodes of one place apart
   * @param y place on the vertical axis
   * @param group what the component does; groups have colours and shapes
   */
  record Node(String name, double x, double y, String group) {}

  /** An effect of one node on another, by their indices; its sign is a colour. */
  record Edge(int from, int to, double weight) {}

  /**
   * Components of a model and the effects between them.
   *
   * @param x usually the positions of the prompt
   * @param y usually the layers, the first below
   * @param unit of the edges' weights
   */
  record Circuit(
      String title, String note, Axis x, Axis y, String unit, List<Node> nodes, List<Edge> edges)
      implements View {
    public Circuit {
      nodes = List.copyOf(nodes);
      edges = List.copyOf(edges);
    }
  }

  /** Two views side by side, the one above the other on a phone: before and after. */
  record Pair(String title, String note, View before, View after) implements View {}

  private static void sizes(String what, long expected, long got) {
    if (expected != got) {
      throw new IllegalArgumentException(what + ": " + got + " values for " + expected + " places");
    }
  }
}
