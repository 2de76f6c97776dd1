package io.assay.audit.ioi;

import io.assay.engine.InputException;
import java.util.Comparator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A node of a circuit: an attention head at a position, or at all.
 *
 * @param layer its block
 * @param head its number there
 */
public record Node(int layer, int head, Place place) implements Comparable<Node> {
  private static final Pattern TEXT =
      Pattern.compile("(\\d{1,6})\\.(\\d{1,6})(?:@(IO|S1|S1\\+1|S2|END))?");

  private static final Comparator<Node> ORDER =
      Comparator.comparingInt(Node::layer).thenComparingInt(Node::head).thenComparing(Node::place);

  /** A head at every position. */
  public static Node of(int layer, int head) {
    return new Node(layer, head, Place.ALL);
  }

  /**
   * Reads what {@link #toString} writes.
   *
   * @throws InputException if it is nothing of the kind
   */
  public static Node parse(String text) {
    Matcher parts = TEXT.matcher(text.strip());
    if (!parts.matches()) {
      throw new InputException(
          "'"
              + text
              + "' is no head; write layer.head, as 9.6, or with a position, as 9.6@END; positions"
              + " are IO, S1, S1+1, S2 and END");
    }
    String place = parts.group(3);
    return new Node(
        Integer.parseInt(parts.group(1)),
        Integer.parseInt(parts.group(2)),
        place == null ? Place.ALL : place.equals("S1+1") ? Place.S1_NEXT : Place.valueOf(place));
  }

  @Override
  public int compareTo(Node other) {
    return ORDER.compare(this, other);
  }

  /** As the literature writes it: {@code 9.6}, with the position behind it unless it is all. */
  @Override
  public String toString() {
    String where = place == Place.S1_NEXT ? "S1+1" : place.name();
    return layer + "." + head + (place == Place.ALL ? "" : "@" + where);
  }
}
