package io.assay.audit.ioi;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The published circuit of GPT-2 small: 26 heads, each at one position (arXiv 2211.00593, 3). */
public final class Gpt2SmallCircuit {
  /** Heads by what they do. */
  public static final Map<String, List<Node>> CLASSES = classes();

  private Gpt2SmallCircuit() {}

  private static Map<String, List<Node>> classes() {
    Map<String, List<Node>> classes = new LinkedHashMap<>();
    classes.put("name mover", at(Place.END, "9.9 10.0 9.6"));
    classes.put("negative name mover", at(Place.END, "10.7 11.10"));
    classes.put("S-inhibition", at(Place.END, "7.3 7.9 8.6 8.10"));
    classes.put("induction", at(Place.S2, "5.5 6.9 5.8 5.9"));
    classes.put("duplicate token", at(Place.S2, "0.1 3.0 0.10"));
    classes.put("previous token", at(Place.S1_NEXT, "2.2 4.11"));
    classes.put("backup name mover", at(Place.END, "9.0 9.7 10.1 10.2 10.6 10.10 11.2 11.9"));
    return classes;
  }

  private static List<Node> at(Place place, String heads) {
    return List.of(heads.split(" ")).stream()
        .map(Node::parse)
        .map(n -> new Node(n.layer(), n.head(), place))
        .toList();
  }

  /** All of them. */
  public static List<Node> nodes() {
    return CLASSES.values().stream().flatMap(List::stream).sorted().toList();
  }
}
