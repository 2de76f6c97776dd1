package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Finds the blocks of a transformer in a specialised graph by what defines them: an attention is a
 * Softmax that is multiplied with values computed from the input (or the fused operator); what adds
 * it to the residual stream is the first sum of it with something that it was computed from; the
 * feed-forward half is the next such sum.
 */
final class TransformerBlocks {
  private static final Set<String> PRODUCTS = Set.of("MatMul", "Gemm", "Einsum", "FusedMatMul");

  /** Operators that leave elements as they are. */
  private static final Set<String> SAME = Set.of("Cast", "Identity", "Dropout");

  /**
   * One attention.
   *
   * @param softmax null for a fused operator
   * @param scores what the Softmax reads; null for a fused operator
   * @param pattern what multiplies the values; null for a fused operator
   * @param product the node whose output is the mix of values
   * @param q the queries, keys and values as the products read them
   */
  record Attention(
      Node softmax, String scores, String pattern, Node product, String q, String k, String v) {}

  /** A half of a block: {@code sum = stream + branch}. */
  record Half(String stream, String branch, String sum, boolean certain) {}

  /** One attention with the half that it is in, which may be null. */
  record Attended(Attention attention, Half half) {}

  /**
   * A block.
   *
   * @param feedForward null if there is none
   * @param parallel whether the feed-forward half reads what the attention reads
   */
  record Block(List<Attended> attentions, Half feedForward, boolean parallel) {}

  private final Graph graph;
  private final Map<Node, Integer> order = new HashMap<>();

  /** Values that depend on an input of the graph. */
  private final Set<String> live = new HashSet<>();

  private final Map<String, Set<String>> descendants = new HashMap<>();
  private final List<Node> sums;
  private final List<Attention> attentions;

  TransformerBlocks(Graph graph) {
    this.graph = graph;
    live.addAll(graph.inputs());
    for (Node node : graph.nodes()) {
      order.put(node, order.size());
      if (node.inputs().stream().anyMatch(live::contains)) {
        live.addAll(node.outputs());
      }
    }
    sums = graph.nodes().stream().filter(this::isSum).toList();
    attentions = findAttentions();
  }

  Graph graph() {
    return graph;
  }

  boolean isLive(String value) {
    return live.contains(value);
  }

  /** Position of what computes a value in the order of the nodes; -1 for inputs and constants. */
  int place(String value) {
    Node node = graph.producer(value);
    return node == null ? -1 : order.get(node);
  }

  /** The shape of a value, or null where it is not known. */
  long[] shape(String value) {
    TensorType type = graph.type(value);
    return type == null || !type.isStatic() ? null : type.shape();
  }

  boolean isFloat(String value) {
    TensorType type = graph.type(value);
    return type != null && type.dtype().isFloat();
  }

  /** The value itself behind casts and the like, also where rows and positions were one axis. */
  String root(String value) {
    Node node = graph.producer(value);
    boolean same = node != null && (SAME.contains(node.op()) || keeps(node, 1));
    return same ? root(node.input(0)) : value;
  }

  /** Whether a node is a Reshape that leaves the last axes, so many, as they are. */
  private boolean keeps(Node node, int axes) {
    long[] from = node.op().equals("Reshape") ? shape(node.input(0)) : null;
    long[] to = from == null ? null : shape(node.output(0));
    return to != null
        && from.length > axes
        && to.length > axes
        && Arrays.equals(
            Arrays.copyOfRange(from, from.length - axes, from.length),
            Arrays.copyOfRange(to, to.length - axes, to.length));
  }

  /** The same numbers with rows and positions apart, if they are so just before or just behind. */
  String withPositions(String value) {
    long[] shape = shape(value);
    if (shape == null || shape.length != 2) {
      return value;
    }
    for (Node user : graph.users(value)) {
      if (keeps(user, 1) && shape(user.output(0)).length == 3) {
        return user.output(0);
      }
    }
    Node node = graph.producer(value);
    boolean joined = node != null && keeps(node, 1) && shape(node.input(0)).length == 3;
    return joined ? node.input(0) : value;
  }

  /** What an attention mixes, with rows and heads apart if a Reshape behind the product does so. */
  String mixed(Attention a) {
    String mixed = a.product.output(0);
    return graph.users(mixed).stream()
        .filter(n -> shape(mixed).length == 3 && keeps(n, 2) && shape(n.output(0)).length == 4)
        .map(n -> n.output(0))
        .findFirst()
        .orElse(mixed);
  }

  /** Whether {@code value} is computed from {@code from}, or is it. */
  boolean descends(String value, String from) {
    return descendants.computeIfAbsent(from, this::from).contains(value);
  }

  private Set<String> from(String value) {
    Set<String> found = new HashSet<>(Set.of(value));
    for (Node node : graph.nodes()) {
      if (node.inputs().stream().anyMatch(found::contains)) {
        found.addAll(node.outputs());
      }
    }
    return found;
  }

  /** The blocks in the order of computation. */
  List<Block> find() {
    List<Attended> attended = new ArrayList<>();
    for (Attention attention : attentions) {
      attended.add(new Attended(attention, half(attention)));
    }
    attended.sort(Comparator.comparingInt(a -> order.get(a.attention.product)));
    attended = byStream(attended);
    Set<String> ends = new HashSet<>();
    attended.stream().filter(a -> a.half != null).forEach(a -> ends.add(a.half.sum));
    List<Block> blocks = new ArrayList<>();
    List<Attended> open = new ArrayList<>();
    for (int i = 0; i < attended.size(); i++) {
      Attended a = attended.get(i);
      open.add(a);
      Half split = parallelPart(a);
      Half next = a.half == null || split != null ? split : feedForward(a, ends);
      boolean goesOn = next == null && open.size() == 1 && i + 1 < attended.size();
      goesOn = goesOn && isSecond(attended.get(i + 1), a, ends);
      if (!goesOn) {
        boolean parallel = split != null || next != null && !descends(next.branch, a.half.sum);
        blocks.add(new Block(List.copyOf(open), next, parallel));
        open.clear();
      }
    }
    return blocks;
  }

  /**
   * Whether {@code blocks} are all that the model has: each sum of something with what was computed
   * from it, of the blocks' width, is one of theirs.
   */
  boolean areAll(List<Block> blocks) {
    Set<String> theirs = new HashSet<>();
    for (Block block : blocks) {
      block.attentions.stream().filter(a -> a.half != null).forEach(a -> theirs.add(a.half.sum));
      if (block.feedForward != null) {
        theirs.add(block.feedForward.sum);
      }
    }
    if (theirs.isEmpty()) {
      return false;
    }
    long[] stream = shape(theirs.iterator().next());
    return sums.stream()
        .filter(n -> sameRows(shape(n.output(0)), stream))
        .filter(
            n -> descends(n.input(0), root(n.input(1))) || descends(n.input(1), root(n.input(0))))
        .allMatch(n -> theirs.contains(n.output(0)));
  }

  /**
   * Width of the heads that a value belongs to, which is or becomes their queries (q), keys (k),
   * values (v) or mix of values (z); -1 where the structure does not tell.
   */
  long headWidth(String value, char part) {
    Attention found = null;
    for (Attention a : attentions) {
      String read = part == 'q' ? a.q : part == 'k' ? a.k : a.v;
      if (part == 'z') {
        found = descends(value, a.product.output(0)) ? a : found;
      } else if (found == null && read != null && descends(read, value)) {
        found = a;
      }
    }
    if (found == null || shape(found.product.output(0)) == null) {
      return -1;
    }
    long[] shape = shape(part == 'q' || part == 'k' ? found.q : mixed(found));
    if (shape == null) {
      return -1;
    }
    long width = shape[shape.length - 1];
    if (found.softmax != null || shape.length == 4) {
      return width;
    }
    long heads = found.product.integer("q_num_heads", found.product.integer("num_heads", 0));
    return heads == 0 ? -1 : width / heads;
  }

  /** Attentions stream by stream; one that attends to another stream comes behind that. */
  private List<Attended> byStream(List<Attended> attended) {
    Map<Attended, List<Attended>> streams = new LinkedHashMap<>();
    for (Attended a : attended) {
      Attended before = null;
      for (Attended other : attended) {
        boolean earlier =
            other != a
                && a.half != null
                && other.half != null
                && descends(a.half.stream, other.half.sum)
                && (before == null || descends(other.half.sum, before.half.sum));
        before = earlier ? other : before;
      }
      List<Attended> stream = before == null ? new ArrayList<>() : streams.get(before);
      stream.add(a);
      streams.put(a, stream);
    }
    return streams.values().stream()
        .distinct()
        .sorted(Comparator.comparing(stream -> stream.stream().anyMatch(this::isCrossed)))
        .flatMap(List::stream)
        .toList();
  }

  /** Whether the keys of an attention are of another stream than its queries. */
  boolean isCrossed(Attended a) {
    return a.half != null
        && a.half.certain
        && a.attention.k != null
        && !descends(a.attention.k, root(a.half.stream));
  }

  /** Whether an attention shares the block of another: only one of them has a feed-forward half. */
  private boolean isSecond(Attended second, Attended first, Set<String> ends) {
    return first.half != null
        && second.half != null
        && descends(second.half.stream, first.half.sum)
        && feedForward(second, ends) != null;
  }

  private List<Attention> findAttentions() {
    List<Attention> found = new ArrayList<>();
    for (Node node : graph.nodes()) {
      switch (node.op()) {
        case "Softmax" -> {
          Attention attention = attention(node);
          if (attention != null) {
            found.add(attention);
          }
        }
        case "Attention" -> {
          if (node.domain().isEmpty()) {
            found.add(
                new Attention(null, null, null, node, node.input(0), node.input(1), node.input(2)));
          }
        }
        case "MultiHeadAttention" ->
            found.add(
                new Attention(null, null, null, node, node.input(0), node.input(1), node.input(2)));
        default -> {}
      }
    }
    return found;
  }

  /** The attention whose pattern a Softmax gives, or null. */
  private Attention attention(Node softmax) {
    Deque<String> open = new ArrayDeque<>(List.of(softmax.output(0)));
    long[] shape = shape(softmax.output(0));
    if (shape == null || shape.length < 3 || !isLive(softmax.output(0))) {
      return null;
    }
    while (!open.isEmpty()) {
      String value = open.remove();
      for (Node user : graph.users(value)) {
        boolean guard = user.op().equals("Where") && !user.input(0).equals(value);
        if (SAME.contains(user.op()) || guard || keeps(user, 2)) {
          open.add(user.output(0));
        } else if (PRODUCTS.contains(user.op()) && user.inputs().size() == 2) {
          String other = user.input(user.input(0).equals(value) ? 1 : 0);
          if (isLive(other) && (user.op().equals("Einsum") || user.input(0).equals(value))) {
            Node product = scores(softmax, shape);
            boolean swapped = product != null && readsKeysFirst(product);
            return new Attention(
                softmax,
                softmax.input(0),
                apart(value),
                user,
                product == null ? null : product.input(swapped ? 1 : 0),
                product == null ? null : product.input(swapped ? 0 : 1),
                other);
          }
        }
      }
    }
    return null;
  }

  /** The pattern with rows and heads apart, where they were made one axis for the product. */
  private String apart(String pattern) {
    Node node = graph.producer(pattern);
    boolean merged = node != null && keeps(node, 2) && shape(node.input(0)).length == 4;
    return merged ? node.input(0) : pattern;
  }

  /** The nearest product of two live values that the Softmax reads, of the pattern's shape. */
  private Node scores(Node softmax, long[] shape) {
    Deque<String> open = new ArrayDeque<>(List.of(softmax.input(0)));
    Set<String> seen = new HashSet<>(open);
    while (!open.isEmpty()) {
      Node node = graph.producer(open.remove());
      if (node == null) {
        continue;
      }
      if (PRODUCTS.contains(node.op())) {
        boolean both = isLive(node.input(0)) && isLive(node.input(1));
        long[] made = shape(node.output(0));
        if (both && made != null && Tensor.elements(made) == Tensor.elements(shape)) {
          return node;
        }
        continue;
      }
      node.inputs().stream().filter(v -> isLive(v) && isFloat(v) && seen.add(v)).forEach(open::add);
    }
    return null;
  }

  /** Whether the second input of an Einsum of scores has the index of the queries. */
  private static boolean readsKeysFirst(Node product) {
    if (!product.op().equals("Einsum")) {
      return false;
    }
    String equation = product.text("equation", "").replace(" ", "");
    int arrow = equation.indexOf("->");
    if (arrow < 0 || equation.length() < arrow + 4) {
      return false;
    }
    char query = equation.charAt(equation.length() - 2);
    return equation.substring(0, arrow).split(",")[0].indexOf(query) < 0;
  }

  /** Whether a node adds two live values of one shape. */
  private boolean isSum(Node n) {
    return n.op().equals("Add")
        && isLive(n.input(0))
        && isLive(n.input(1))
        && isFloat(n.output(0))
        && shape(n.input(0)) != null
        && Arrays.equals(shape(n.input(0)), shape(n.input(1)));
  }

  /** The sum that adds an attention to what it was computed from; failing that, to anything. */
  private Half half(Attention attention) {
    String mixed = attention.product.output(0);
    String read = attention.q == null ? attention.pattern : attention.q;
    Half loose = null;
    for (Node sum : sums) {
      boolean first = descends(sum.input(0), mixed);
      if (first == descends(sum.input(1), mixed)) {
        continue;
      }
      String branch = sum.input(first ? 0 : 1);
      String stream = sum.input(first ? 1 : 0);
      if (descends(read, root(stream))) {
        return new Half(stream, branch, sum.output(0), true);
      }
      if (loose == null && shape(stream).length == 3) {
        loose = new Half(stream, branch, sum.output(0), false);
      }
    }
    return loose;
  }

  /** The other half of a sum of attention and feed-forward, which was added to the stream. */
  private Half parallelPart(Attended a) {
    Node sum = a.half == null ? null : graph.producer(a.half.branch);
    if (sum == null || !sums.contains(sum)) {
      return null;
    }
    String mixed = a.attention.product.output(0);
    boolean first = descends(sum.input(0), mixed);
    String other = sum.input(first ? 1 : 0);
    boolean parallel = first != descends(sum.input(1), mixed);
    return parallel && descends(other, root(a.half.stream))
        ? new Half(a.half.stream, other, a.half.sum, true)
        : null;
  }

  /** What an attention adds, without the feed-forward part where both are added at once. */
  String attentionOut(Attended a) {
    if (parallelPart(a) == null) {
      return a.half.branch;
    }
    Node sum = graph.producer(a.half.branch);
    return sum.input(descends(sum.input(0), a.attention.product.output(0)) ? 0 : 1);
  }

  /** The next sum of the stream with what was computed from it; null if an attention is next. */
  private Half feedForward(Attended a, Set<String> attentionSums) {
    String mid = a.half.sum;
    int after = place(mid);
    for (Node sum : sums) {
      if (order.get(sum) > after
          && attentionSums.contains(sum.output(0))
          && descends(sum.output(0), mid)) {
        return null;
      }
      if (order.get(sum) <= after || !sameRows(shape(sum.output(0)), shape(mid))) {
        continue;
      }
      for (int i = 0; i < 2; i++) {
        String stream = sum.input(i);
        String branch = sum.input(1 - i);
        boolean same = root(stream).equals(root(mid));
        boolean normalised = !same && descends(stream, mid) && descends(branch, root(stream));
        boolean parallel = same && descends(branch, root(a.half.stream));
        if ((same || normalised) && (descends(branch, root(stream)) || parallel)) {
          return holdsAttention(branch, stream, a)
              ? null
              : new Half(stream, branch, sum.output(0), same);
        }
      }
    }
    return null;
  }

  /** Whether two shapes are the same but for rows and positions being one axis. */
  private static boolean sameRows(long[] a, long[] b) {
    return Tensor.elements(a) == Tensor.elements(b) && a[a.length - 1] == b[b.length - 1];
  }

  /** Whether another attention lies between a stream and its branch. */
  private boolean holdsAttention(String branch, String stream, Attended a) {
    for (Attention other : attentions) {
      String mixed = other.product.output(0);
      if (other.product != a.attention.product
          && descends(mixed, root(stream))
          && descends(branch, mixed)) {
        return true;
      }
    }
    return false;
  }

  /** Whether a node multiplies a live value with a weight. */
  boolean isWeighted(Node node) {
    return PRODUCTS.contains(node.op())
        && node.inputs().size() >= 2
        && isLive(node.input(0)) != isLive(node.input(1));
  }

  /** The live input of a product with a weight. */
  String data(Node product) {
    return product.input(isLive(product.input(0)) ? 0 : 1);
  }

  /** Products with weights on the way from {@code stream} to {@code to}, in order. */
  List<Node> products(String stream, String to) {
    Set<Node> before = new HashSet<>();
    Deque<String> open = new ArrayDeque<>(List.of(to));
    while (!open.isEmpty()) {
      Node node = graph.producer(open.remove());
      if (node != null && before.add(node)) {
        node.inputs().stream().filter(v -> descends(v, stream)).forEach(open::add);
      }
    }
    return before.stream()
        .filter(n -> isWeighted(n) && descends(data(n), stream))
        .sorted(Comparator.comparingInt(order::get))
        .toList();
  }
}
