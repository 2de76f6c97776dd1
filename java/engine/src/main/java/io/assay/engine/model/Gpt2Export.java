package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Finds the hook points of a GPT-2 that somebody else exported, by the structure of its graph: the
 * sum of two embeddings, then per block two layer norms and two sums, and in a block's first half
 * one Softmax.
 *
 * <p>Two things are rewritten, so that every hook is a value: layer norms into their parts, and the
 * position embedding is spread over the rows. A mask that the export adds as a large negative
 * number stays one: its attention scores are then not minus infinity.
 */
final class Gpt2Export {
  /** Operators that only move or scale elements on the way to a product. */
  private static final Set<String> CARRIERS =
      Set.of("Transpose", "Mul", "Div", "Cast", "Identity", "Where", "Concat", "Dropout");

  private final Graph graph;
  private final Map<String, String> hooks = new LinkedHashMap<>();

  /** Layer norms by the hook prefix that their parts get. */
  private final Map<Node, String> norms = new HashMap<>();

  private Node embeddingSum;

  private Gpt2Export(Graph graph) {
    this.graph = graph;
  }

  /** A graph in which the hooks are values, and their names. */
  record Recognised(Graph graph, Hooks hooks) {}

  /** The hooks of an exported GPT-2, or empty if the graph is not one. */
  static Optional<Recognised> recognise(Graph graph) {
    Gpt2Export export = new Gpt2Export(graph);
    return export.find() ? Optional.of(export.rewrite()) : Optional.empty();
  }

  private boolean find() {
    String x = null;
    for (Node node : graph.nodes()) {
      if (node.op().equals("Add") && isTable(node.input(0)) && isTable(node.input(1))) {
        embeddingSum = node;
        x = node.output(0);
        break;
      }
    }
    if (x == null || !graph.has(Gpt2Graph.LOGITS)) {
      return false;
    }
    boolean tokensFirst = readsIds(embeddingSum.input(0));
    hooks.put("hook_embed", embeddingSum.input(tokensFirst ? 0 : 1));
    hooks.put("hook_pos_embed", "hook_pos_embed");
    int layer = 0;
    for (Node sum = sumAfter(x); sum != null; sum = sumAfter(x), layer++) {
      x = block("blocks." + layer + ".", x, sum);
      if (x == null) {
        return false;
      }
    }
    Node last = user(x, "LayerNormalization");
    if (layer == 0 || last == null) {
      return false;
    }
    norm("ln_final", last);
    hooks.put("unembed.hook_in", last.output(0));
    hooks.put("unembed.hook_out", Gpt2Graph.LOGITS);
    return true;
  }

  /** Names what a block has, and returns its output; null if it is not a block of GPT-2. */
  private String block(String at, String x, Node attentionSum) {
    String middle = attentionSum.output(0);
    Node mlpSum = sumAfter(middle);
    Node first = user(x, "LayerNormalization");
    Node second = user(middle, "LayerNormalization");
    if (first == null || second == null || mlpSum == null) {
      return null;
    }
    hooks.put(at + "hook_resid_pre", x);
    norm(at + "ln1", first);
    String attended = other(attentionSum, x);
    if (!attention(at + "attn.", attended)) {
      return null;
    }
    hooks.put(at + "hook_attn_out", attended);
    hooks.put(at + "hook_resid_mid", middle);
    norm(at + "ln2", second);
    String moved = other(mlpSum, middle);
    if (!mlp(at + "mlp.", moved)) {
      return null;
    }
    hooks.put(at + "hook_mlp_out", moved);
    hooks.put(at + "hook_resid_post", mlpSum.output(0));
    return mlpSum.output(0);
  }

  private boolean attention(String at, String attended) {
    // Back from the output over the projection to the product of pattern and values.
    String z = null;
    Node node = graph.producer(attended);
    while (node != null && !(node.op().equals("MatMul") && softmax(node.input(0)) != null)) {
      if (node.op().equals("Transpose")) {
        z = node.output(0);
      }
      node = dataProducer(node);
    }
    if (node == null || z == null) {
      return false;
    }
    Node softmax = softmax(node.input(0));
    Node products = backTo("MatMul", graph.producer(softmax.input(0)));
    if (products == null) {
      return false;
    }
    Node q = backTo("Reshape", graph.producer(products.input(0)));
    Node k = backTo("Reshape", graph.producer(products.input(1)));
    Node v = backTo("Reshape", graph.producer(node.input(1)));
    if (q == null || k == null || v == null) {
      return false;
    }
    hooks.put(at + "hook_q", q.output(0));
    hooks.put(at + "hook_k", k.output(0));
    hooks.put(at + "hook_v", v.output(0));
    hooks.put(at + "hook_attn_scores", softmax.input(0));
    hooks.put(at + "hook_pattern", node.input(0));
    hooks.put(at + "hook_z", z);
    return true;
  }

  private boolean mlp(String at, String moved) {
    Node second = backToProduct(graph.producer(moved));
    if (second == null) {
      return false;
    }
    String post = second.input(0);
    Node reshape = graph.producer(post);
    if (reshape != null && reshape.op().equals("Reshape")) {
      post = reshape.input(0);
    }
    Node first = backToProduct(graph.producer(post));
    if (first == null) {
      return false;
    }
    // Forward again over the bias and the return to three axes.
    String pre = first.output(0);
    for (Node next = shaping(pre); next != null; next = shaping(pre)) {
      pre = next.output(0);
    }
    hooks.put(at + "hook_pre", pre);
    hooks.put(at + "hook_post", post);
    return true;
  }

  /** A node that only adds a bias to {@code value} or reshapes it, or null. */
  private Node shaping(String value) {
    for (Node user : graph.users(value)) {
      boolean bias =
          user.op().equals("Add") && (isWeight(user.input(0)) || isWeight(user.input(1)));
      if (bias || (user.op().equals("Reshape") && user.input(0).equals(value))) {
        return user;
      }
    }
    return null;
  }

  private boolean isWeight(String value) {
    Tensor t = graph.constant(value);
    return t != null && t.dtype().isFloat() && t.rank() == 1 && t.elements() > 1;
  }

  /** Whether a value is rows of a constant table, perhaps cast. */
  private boolean isTable(String value) {
    return table(value) != null;
  }

  private Node table(String value) {
    Node node = graph.producer(value);
    while (node != null && Set.of("Cast", "Identity").contains(node.op())) {
      node = graph.producer(node.input(0));
    }
    boolean is =
        node != null
            && node.op().equals("Gather")
            && graph.constant(node.input(0)) != null
            && graph.constant(node.input(0)).rank() == 2;
    return is ? node : null;
  }

  private boolean readsIds(String value) {
    String ids = table(value).input(1);
    while (graph.producer(ids) != null
        && Set.of("Reshape", "Cast", "Identity").contains(graph.producer(ids).op())) {
      ids = graph.producer(ids).input(0);
    }
    return ids.equals(Gpt2Graph.INPUT);
  }

  /** The sum that adds a block's half to {@code x}. */
  private Node sumAfter(String x) {
    return user(x, "Add");
  }

  private Node user(String value, String op) {
    return graph.users(value).stream()
        .filter(n -> n.op().equals(op) && (op.equals("Add") || n.input(0).equals(value)))
        .findFirst()
        .orElse(null);
  }

  private static String other(Node sum, String x) {
    return sum.input(0).equals(x) ? sum.input(1) : sum.input(0);
  }

  private void norm(String at, Node node) {
    norms.put(node, at);
    hooks.put(at + ".hook_scale", at + ".hook_scale");
    hooks.put(at + ".hook_normalized", at + ".hook_normalized");
  }

  /** The Softmax that a pattern comes from, or null. */
  private Node softmax(String value) {
    Node node = graph.producer(value);
    while (node != null && !node.op().equals("Softmax")) {
      // A guard against rows without keys chooses between zero and the pattern.
      if (!Set.of("Where", "Cast", "Identity", "Dropout").contains(node.op())) {
        return null;
      }
      node = graph.producer(node.op().equals("Where") ? node.input(2) : node.input(0));
    }
    return node;
  }

  /** The producer of the first input that is computed from data, not from shapes. */
  private Node dataProducer(Node node) {
    for (String input : node.inputs()) {
      Node producer = graph.producer(input);
      if (producer != null && !producer.op().equals("Constant")) {
        return producer;
      }
    }
    return null;
  }

  /** Back along the data to a node of an operator; over a concatenation to its last part. */
  private Node backTo(String op, Node from) {
    Node node = from;
    while (node != null && !node.op().equals(op)) {
      if (!CARRIERS.contains(node.op()) && !node.op().equals("Add")) {
        return null;
      }
      node =
          node.op().equals("Concat") ? graph.producer(node.inputs().getLast()) : dataProducer(node);
    }
    return node;
  }

  /** Back along the data to the next product with a weight. */
  private Node backToProduct(Node from) {
    Node node = from;
    while (node != null && !node.op().equals("MatMul") && !node.op().equals("Gemm")) {
      node = dataProducer(node);
    }
    return node;
  }

  private Recognised rewrite() {
    Graph.Builder b = graph.edit();
    List<Node> nodes = new ArrayList<>();
    DType dtype = graph.constant(table(embeddingSum.input(0)).input(0)).dtype();
    for (Node node : graph.nodes()) {
      if (norms.containsKey(node)) {
        nodes.addAll(parts(b, norms.get(node), node, dtype));
      } else if (node.equals(embeddingSum)) {
        String tokens = hooks.get("hook_embed");
        String shape = b.fresh("hook_embed.shape");
        nodes.add(node(shape, "Shape", Map.of(), tokens));
        nodes.add(node("hook_pos_embed", "Expand", Map.of(), other(node, tokens), shape));
        nodes.add(node(node.output(0), "Add", Map.of(), tokens, "hook_pos_embed"));
      } else {
        nodes.add(node);
      }
    }
    return new Recognised(b.nodes(nodes).build(), new Hooks(hooks));
  }

  /** {@code (x - mean) / sqrt(variance + epsilon) * weight + bias}. */
  private List<Node> parts(Graph.Builder b, String at, Node norm, DType dtype) {
    boolean axesAreInput = graph.opsets().getOrDefault("", 0L) >= 18;
    Map<String, Object> mean =
        axesAreInput ? Map.of("keepdims", 1L) : Map.of("keepdims", 1L, "axes", List.of(-1L));
    String axes =
        axesAreInput ? b.constant(b.fresh(at + ".axes"), Tensor.ofLongs(new long[] {-1}, 1)) : null;
    double epsilonValue = Double.parseDouble(Float.toString((float) norm.real("epsilon", 1e-5)));
    String epsilon = b.constant(b.fresh(at + ".epsilon"), Tensor.scalar(dtype, epsilonValue));
    String two = b.constant(b.fresh(at + ".two"), Tensor.scalar(dtype, 2));
    String x = norm.input(0);
    String average = b.fresh(at + ".mean");
    String centred = b.fresh(at + ".centred");
    String square = b.fresh(at + ".square");
    String variance = b.fresh(at + ".variance");
    String raised = b.fresh(at + ".raised");
    String scale = at + ".hook_scale";
    String normalized = at + ".hook_normalized";
    List<Node> parts = new ArrayList<>();
    parts.add(
        axes == null
            ? node(average, "ReduceMean", mean, x)
            : node(average, "ReduceMean", mean, x, axes));
    parts.add(node(centred, "Sub", Map.of(), x, average));
    parts.add(node(square, "Pow", Map.of(), centred, two));
    parts.add(
        axes == null
            ? node(variance, "ReduceMean", mean, square)
            : node(variance, "ReduceMean", mean, square, axes));
    parts.add(node(raised, "Add", Map.of(), variance, epsilon));
    parts.add(node(scale, "Sqrt", Map.of(), raised));
    parts.add(node(normalized, "Div", Map.of(), centred, scale));
    String out = norm.output(0);
    String weighted = norm.input(2).isEmpty() ? out : b.fresh(at + ".weighted");
    parts.add(node(weighted, "Mul", Map.of(), normalized, norm.input(1)));
    if (!norm.input(2).isEmpty()) {
      parts.add(node(out, "Add", Map.of(), weighted, norm.input(2)));
    }
    return parts;
  }

  private static Node node(
      String output, String op, Map<String, Object> attributes, String... inputs) {
    return new Node(output, "", op, List.of(inputs), List.of(output), attributes);
  }
}
