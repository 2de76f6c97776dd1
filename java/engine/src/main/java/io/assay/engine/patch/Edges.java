package io.assay.engine.patch;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The components of a decoder that write into the stream and read from it, and which of them are
 * before which: the graph that edge attribution scores.
 *
 * @param layers blocks
 * @param heads that write, and that ask
 * @param keyHeads heads of keys and values
 * @param mlps whether blocks have MLPs
 */
public record Edges(int layers, int heads, int keyHeads, boolean mlps) {
  static final String INPUT = "input";
  static final String LOGITS = "logits";

  /** What writes: {@code input}, then of each block {@code aL.hH} and {@code mL}. */
  public List<String> sources() {
    List<String> names = new ArrayList<>(List.of(INPUT));
    for (int layer = 0; layer < layers; layer++) {
      for (int head = 0; head < heads; head++) {
        names.add("a" + layer + ".h" + head);
      }
      if (mlps) {
        names.add("m" + layer);
      }
    }
    return names;
  }

  /** What reads: of each block {@code aL.hH<q>}, then k and v, and {@code mL}; {@code logits}. */
  public List<String> destinations() {
    List<String> names = new ArrayList<>();
    for (int layer = 0; layer < layers; layer++) {
      for (String part : List.of("q", "k", "v")) {
        for (int head = 0; head < (part.equals("q") ? heads : keyHeads); head++) {
          names.add("a" + layer + ".h" + head + "<" + part + ">");
        }
      }
      if (mlps) {
        names.add("m" + layer);
      }
    }
    names.add(LOGITS);
    return names;
  }

  int perSource() {
    return heads + (mlps ? 1 : 0);
  }

  int perDestination() {
    return heads + 2 * keyHeads + (mlps ? 1 : 0);
  }

  /** How many sources, the first ones, are before a destination. */
  int before(int destination) {
    boolean mlp = mlps && destination % perDestination() == perDestination() - 1;
    return 1 + destination / perDestination() * perSource() + (mlp ? heads : 0);
  }

  /** Whether a source is before a destination. */
  public boolean has(int source, int destination) {
    return source < before(destination);
  }

  /** Number of edges. */
  public int count() {
    return IntStream.rangeClosed(0, layers * perDestination()).map(this::before).sum();
  }
}
