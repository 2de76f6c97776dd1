package io.assay.engine.model;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A decoder that somebody else exported, taken apart by its hook points: {@code hook_embed} is read
 * from the table of tokens, {@code unembed.hook_in} is what the head multiplies.
 *
 * <p>Its inputs beside the token ids are filled: the mask with ones, the past with what a suffix is
 * given, or with nothing.
 */
final class ExportedDecoder implements Decoder {
  private static final String MASK = "attention_mask";
  private static final String EMBED = "hook_embed";
  private static final String HEAD_INPUT = "unembed.hook_in";

  private static final Pattern PAST =
      Pattern.compile("past(?:_key_values)?\\.(\\d{1,3})\\.(key|value)");
  private static final Pattern PRESENT =
      Pattern.compile("present(?:_key_values)?\\.(\\d{1,3})\\.(key|value)");

  /** Operators that leave the elements of a row as they are. */
  private static final Set<String> VIEWS = Set.of("Reshape", "Identity", "Slice", "Cast");

  /**
   * The exported graph with its past inputs called {@code past.L.key}, its outputs of all keys
   * {@code all.L.key}, values likewise, and the token embedding {@code hook_embed}.
   */
  private final Graph graph;

  private final String headInput;
  private final Tensor embedding;
  private final Tensor head;
  private final int context;
  private final int layers;
  private final int heads;
  private final int headWidth;

  private ExportedDecoder(Graph export, Hooks hooks) {
    String tokens = hooks.values().get(EMBED);
    headInput = hooks.values().get(HEAD_INPUT);
    if (tokens == null || headInput == null) {
      throw cannot(export, "its hook points " + EMBED + " and " + HEAD_INPUT + " are not known");
    }
    graph = export.rename(names(export, tokens));
    requireInputs();
    Tensor table = table(graph, EMBED);
    if (table == null) {
      throw cannot(graph, "its hook_embed is not read from a table of constant rows");
    }
    embedding = table;
    head = findHead();
    String places = hooks.values().get("hook_pos_embed");
    Tensor positions = places == null ? null : table(graph, places);
    context = positions == null ? Integer.MAX_VALUE : Math.toIntExact(positions.dim(0));
    int pasts = (int) graph.inputs().stream().filter(v -> PAST.matcher(v).matches()).count();
    layers = pasts / 2;
    if (pasts == 0) {
      heads = 0;
      headWidth = 0;
    } else {
      List<TensorType.Dim> dims = graph.type(Gpt2Graph.pastKey(0)).dims();
      heads = Math.toIntExact(dims.get(1).size());
      headWidth = Math.toIntExact(dims.get(3).size());
    }
  }

  /**
   * The decoder in an exported graph.
   *
   * @throws InputException if the graph cannot be taken apart; the message says where
   */
  static ExportedDecoder of(Graph export, Hooks hooks) {
    return new ExportedDecoder(export, hooks);
  }

  /** Whether an input takes cached keys or values, [row, head, position, head width]. */
  static boolean isPast(Graph graph, String input) {
    TensorType type = graph.type(input);
    return PAST.matcher(input).matches()
        && type.dtype().isFloat()
        && type.dims() != null
        && type.dims().size() == 4
        && type.dims().get(1).isKnown()
        && !type.dims().get(2).isKnown()
        && type.dims().get(3).isKnown();
  }

  private static InputException cannot(Graph graph, String why) {
    return new InputException(
        "the model " + graph.name() + " cannot be taken apart into body and head: " + why);
  }

  private static Map<String, String> names(Graph export, String tokens) {
    Map<String, String> names = new LinkedHashMap<>();
    names.put(tokens, EMBED);
    for (String input : export.inputs()) {
      Matcher m = PAST.matcher(input);
      if (m.matches()) {
        names.put(input, "past." + m.group(1) + "." + m.group(2));
      }
    }
    for (String output : export.outputs()) {
      Matcher m = PRESENT.matcher(output);
      if (m.matches()) {
        names.put(output, "all." + m.group(1) + "." + m.group(2));
      }
    }
    return names;
  }

  private void requireInputs() {
    Set<String> others = new LinkedHashSet<>(graph.inputs());
    if (!others.remove(Gpt2Graph.INPUT)) {
      throw cannot(graph, "it has no input " + Gpt2Graph.INPUT);
    }
    others.remove(MASK);
    for (int layer = 0; others.contains(Gpt2Graph.pastKey(layer)); layer++) {
      for (String part : List.of("key", "value")) {
        String past = "past." + layer + "." + part;
        boolean remembers = graph.outputs().contains("all." + layer + "." + part);
        if (remembers && isPast(graph, past)) {
          others.remove(past);
        }
      }
    }
    if (!others.isEmpty()) {
      throw cannot(graph, "nothing is known to fill its input " + others.iterator().next());
    }
  }

  /** The constant table that {@code value} is rows of, or null. */
  private static Tensor table(Graph graph, String value) {
    Node node = graph.producer(value);
    while (node != null && (VIEWS.contains(node.op()) || node.op().equals("Expand"))) {
      node = graph.producer(node.input(0));
    }
    Tensor table =
        node != null && node.op().equals("Gather") ? graph.constant(node.input(0)) : null;
    return table != null && table.rank() == 2 ? table : null;
  }

  /** The head [vocabulary, width]: the embedding itself where the two are equal. */
  private Tensor findHead() {
    Node product = graph.producer(Gpt2Graph.LOGITS);
    while (product != null && VIEWS.contains(product.op())) {
      product = graph.producer(product.input(0));
    }
    if (product == null || !(isProduct(product) && readsHeadInput(product.input(0)))) {
      throw cannot(graph, "its logits are not a product of " + HEAD_INPUT + " with a weight");
    }
    boolean rows = product.integer("transB", 0) == 1;
    String weight = product.input(1);
    Node producer = graph.producer(weight);
    if (producer != null && producer.op().equals("Transpose")) {
      weight = producer.input(0);
      rows = !rows;
    }
    Tensor table = graph.constant(weight);
    if (table == null || table.rank() != 2) {
      throw cannot(graph, "the weight of its head is computed");
    }
    Tensor found = rows ? table : transposed(table);
    Gpt2Weights.requireShape(graph.name(), "head", found, embedding.shape());
    return found.data().mismatch(embedding.data()) < 0 ? embedding : found;
  }

  private static boolean isProduct(Node node) {
    return node.op().equals("MatMul")
        || node.op().equals("Gemm")
            && node.input(2).isEmpty()
            && node.integer("transA", 0) == 0
            && node.real("alpha", 1) == 1;
  }

  private boolean readsHeadInput(String value) {
    String at = value;
    while (!at.equals(headInput)) {
      Node node = graph.producer(at);
      if (node == null || !VIEWS.contains(node.op())) {
        return false;
      }
      at = node.input(0);
    }
    return true;
  }

  private static Tensor transposed(Tensor t) {
    long rows = t.dim(1);
    long columns = t.dim(0);
    Tensor out = Tensor.allocate(Arena.ofAuto(), t.dtype(), rows, columns);
    for (long i = 0; i < rows; i++) {
      for (long j = 0; j < columns; j++) {
        out.set(i * columns + j, t.get(j * rows + i));
      }
    }
    return out;
  }

  @Override
  public Tensor embedding() {
    return embedding;
  }

  @Override
  public Tensor head() {
    return head;
  }

  @Override
  public int context() {
    return context;
  }

  @Override
  public boolean cacheable() {
    return layers > 0;
  }

  @Override
  public int layers() {
    return layers;
  }

  @Override
  public int heads() {
    return heads;
  }

  @Override
  public int headWidth() {
    return headWidth;
  }

  /** Token ids [batch, sequence] to logits, and nothing else. */
  Graph whole() {
    Graph.Builder b = graph.edit();
    Map<String, String> fillings = new LinkedHashMap<>();
    String ids = b.op(b.fresh("id shape"), "Shape", Map.of(), Gpt2Graph.INPUT);
    if (layers > 0) {
      String rows = b.op(b.fresh("rows"), "Gather", Map.of(), ids, longs(b, 0));
      String shape =
          b.op(
              b.fresh("no past"),
              "Concat",
              Map.of("axis", 0L),
              rows,
              longs(b, heads, 0, headWidth));
      String none = filled(b, shape, embedding.dtype(), 0);
      pasts().forEach(past -> fillings.put(past, none));
    }
    return fill(b, fillings, ids).slice(List.of(Gpt2Graph.INPUT), List.of(Gpt2Graph.LOGITS));
  }

  @Override
  public Graph suffix(int groups, int rowsPerGroup, int past, int length) {
    long rows = Math.multiplyExact((long) groups, rowsPerGroup);
    Graph.Builder b = graph.edit();
    b.type(Gpt2Graph.INPUT, TensorType.of(DType.I64, rows, length));
    List<String> inputs = new ArrayList<>(List.of(Gpt2Graph.INPUT));
    List<String> outputs =
        new ArrayList<>(List.of(b.op(Gpt2Graph.HIDDEN, "Identity", Map.of(), headInput)));
    Map<String, String> fillings = new LinkedHashMap<>();
    for (String name : pasts()) {
      if (past == 0) {
        Tensor none = Tensor.allocate(Arena.ofAuto(), embedding.dtype(), rows, heads, 0, headWidth);
        fillings.put(name, b.constant(b.fresh("no past"), none));
      } else {
        inputs.add(name);
        b.type(name, TensorType.of(embedding.dtype(), groups, heads, past, headWidth));
        fillings.put(name, repeated(b, name, rowsPerGroup, rows, past));
      }
      outputs.add(fresh(b, name.substring("past.".length()), past));
    }
    return fill(b, fillings, longs(b, rows, past + length)).slice(inputs, outputs);
  }

  private List<String> pasts() {
    return graph.inputs().stream().filter(v -> PAST.matcher(v).matches()).toList();
  }

  /** Each row of a group's past as often as the group has rows. */
  private String repeated(Graph.Builder b, String past, int times, long rows, long positions) {
    String grouped = b.op(b.fresh("grouped"), "Unsqueeze", Map.of(), past, longs(b, 1));
    String spread =
        b.op(b.fresh("spread"), "Expand", Map.of(), grouped, longs(b, 1, times, 1, 1, 1));
    String shape = longs(b, rows, heads, positions, headWidth);
    return b.op(b.fresh("repeated"), "Reshape", Map.of(), spread, shape);
  }

  /** Keys or values of the new positions. */
  private String fresh(Graph.Builder b, String part, long past) {
    String to = longs(b, Long.MAX_VALUE);
    return b.op(
        "present." + part, "Slice", Map.of(), "all." + part, longs(b, past), to, longs(b, 2));
  }

  /** The graph with its mask full and other inputs filled. */
  private Graph fill(Graph.Builder b, Map<String, String> fillings, String maskShape) {
    if (graph.inputs().contains(MASK)) {
      fillings.put(MASK, filled(b, maskShape, graph.type(MASK).dtype(), 1));
    }
    Graph filled = b.build();
    for (Map.Entry<String, String> e : fillings.entrySet()) {
      filled = filled.replace(e.getKey(), e.getValue());
    }
    return filled;
  }

  private static String filled(Graph.Builder b, String shape, DType dtype, double value) {
    Tensor element = Tensor.allocate(Arena.ofAuto(), dtype, 1);
    element.set(0, value);
    return b.op(b.fresh("filled"), "ConstantOfShape", Map.of("value", element), shape);
  }

  private static String longs(Graph.Builder b, long... values) {
    return b.constant(b.fresh("longs"), Tensor.ofLongs(values, values.length));
  }
}
