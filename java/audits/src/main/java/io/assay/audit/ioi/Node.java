package io.assay.audit.ioi;

import java.util.Comparator;

/**
 * A node of a circuit: an attention head at a position, or at all.
 *
 * @param layer its block
 * @param head its number there
 */
public record Node(int layer, int head, Place place) implements Comparable<Node> {
  private static final Comparator<Node> ORDER =
      Comparator.comparingInt(Node::layer).thenComparingInt(Node::head).thenComparing(Node::place);

  /** A head at every position. */
  public static Node of(int layer, int head) {
    return new Node(layer, head, Place.ALL);
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
