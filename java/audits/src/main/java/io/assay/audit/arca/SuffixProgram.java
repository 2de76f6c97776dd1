package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Split;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Binding;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * The model's suffix form at one fixed shape, compiled and bound to memory: {@code groups x rows}
 * sequences of {@code length} tokens behind {@code past} cached positions of their group, forward
 * to the hidden states and, where asked for, backward from them to the embeddings.
 */
final class SuffixProgram implements AutoCloseable {
  private static final String SEED = "hidden.seed";
  private static final Set<String> PRODUCTS = Set.of("MatMul", "Gemm", "FusedMatMul");

  /** Of a search in five tokens: forward, backward and candidates of the first four. */
  private static final int SESSIONS = 12;

  final int groups;
  final int rows;
  final int past;
  final int length;

  /** I64 [groups * rows, length]. */
  final Tensor ids;

  /** [groups, heads, past, head width] of each layer; empty without a past. */
  final Tensor[] pastKeys;

  final Tensor[] pastValues;

  /** [groups * rows, length, width]. */
  final Tensor hidden;

  /** [groups * rows, heads, length, head width] of each layer; empty in a gradient program. */
  final Tensor[] presentKeys;

  final Tensor[] presentValues;

  /** Like {@link #hidden}: the upstream gradient, and the result; null without a gradient. */
  final Tensor hiddenGradient;

  final Tensor embedGradient;

  private final Arena arena = Arena.ofShared();
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();
  private final DType dtype;
  private final Binding forward;
  private final Binding backward;
  private final long forwardOperations;
  private final long backwardOperations;

  private SuffixProgram(
      Engine engine,
      LanguageModel model,
      int groups,
      int rows,
      int past,
      int length,
      boolean gradient) {
    this.groups = groups;
    this.rows = rows;
    this.past = past;
    this.length = length;
    this.dtype = model.dtype();
    int layers = model.cacheable() ? model.layers() : 0;
    long sequences = Math.multiplyExact((long) groups, rows);
    owned.push(arena);
    try {
      Graph graph = model.suffix(groups, rows, past, length);
      Map<String, Tensor> inputs = new LinkedHashMap<>();
      Map<String, Tensor> outputs = new LinkedHashMap<>();
      ids = Tensor.allocate(arena, DType.I64, sequences, length);
      inputs.put("input_ids", ids);
      int pastLayers = past == 0 ? 0 : layers;
      long[] cached = {groups, model.heads(), past, model.headWidth()};
      pastKeys = allocate(inputs, "past.%d.key", pastLayers, cached);
      pastValues = allocate(inputs, "past.%d.value", pastLayers, cached);
      hidden = Tensor.allocate(arena, dtype, sequences, length, model.width());
      outputs.put("hidden", hidden);
      boolean keep = !gradient;
      long[] fresh = {sequences, model.heads(), length, model.headWidth()};
      presentKeys = allocate(outputs, "present.%d.key", keep ? layers : 0, fresh);
      presentValues = allocate(outputs, "present.%d.value", keep ? layers : 0, fresh);
      Graph wanted =
          graph
              .slice(graph.inputs(), List.copyOf(outputs.keySet()))
              .specialise(Map.of(), engine.evaluator());
      if (!gradient) {
        forward = own(own(engine.compile(wanted, packed(wanted))).bind(inputs, outputs));
        backward = null;
        hiddenGradient = null;
        embedGradient = null;
        forwardOperations = wanted.operations();
        backwardOperations = 0;
        return;
      }
      Gradient derived = wanted.differentiate(Map.of("hidden", SEED), List.of("hook_embed"));
      String embed = derived.gradients().get("hook_embed");
      Split split = derived.split();
      hiddenGradient = Tensor.allocate(arena, dtype, hidden.shape());
      embedGradient = Tensor.allocate(arena, dtype, hidden.shape());
      Map<String, Tensor> known = new HashMap<>(inputs);
      known.putAll(outputs);
      known.put(SEED, hiddenGradient);
      known.put(embed, embedGradient);
      bindings(split.forward(), known);
      bindings(split.backward(), known);
      forward = compile(engine, split.forward(), known);
      backward = compile(engine, split.backward(), known);
      forwardOperations = split.forward().operations();
      backwardOperations = split.backward().operations();
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  /** A program that runs forward only and keeps keys and values. */
  static SuffixProgram forward(
      Engine engine, LanguageModel model, int groups, int rows, int past, int length) {
    return new SuffixProgram(engine, model, groups, rows, past, length, false);
  }

  /** A program that runs forward to the hidden states and backward to the embeddings. */
  static SuffixProgram gradient(
      Engine engine, LanguageModel model, int groups, int rows, int past, int length) {
    return new SuffixProgram(engine, model, groups, rows, past, length, true);
  }

  private Tensor[] allocate(Map<String, Tensor> into, String pattern, int layers, long[] shape) {
    Tensor[] tensors = new Tensor[layers];
    for (int layer = 0; layer < layers; layer++) {
      tensors[layer] = Tensor.allocate(arena, dtype, shape);
      into.put(pattern.formatted(layer), tensors[layer]);
    }
    return tensors;
  }

  /** Allocates what {@code graph} exchanges with the other half and nobody has allocated yet. */
  private void bindings(Graph graph, Map<String, Tensor> known) {
    for (List<String> names : List.of(graph.inputs(), graph.outputs())) {
      for (String name : names) {
        known.computeIfAbsent(
            name, n -> Tensor.allocate(arena, graph.type(n).dtype(), graph.type(n).shape()));
      }
    }
  }

  private Binding compile(Engine engine, Graph graph, Map<String, Tensor> known) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    Map<String, Tensor> out = new LinkedHashMap<>();
    graph.inputs().forEach(name -> in.put(name, known.get(name)));
    graph.outputs().forEach(name -> out.put(name, known.get(name)));
    return own(own(engine.compile(graph, packed(graph))).bind(in, out));
  }

  /**
   * Whether a session keeps its own packed copy of the weights: products of few rows are up to
   * twice as fast with it. {@link #SESSIONS} such copies may be as large as the Java heap, a
   * quarter of the memory unless told otherwise. A single row is left alone, since its bits would
   * depend on that.
   */
  private boolean packed(Graph graph) {
    long bytes =
        graph.nodes().stream()
            .filter(n -> PRODUCTS.contains(n.op()) && n.inputs().size() > 1)
            .map(n -> graph.constant(n.input(1)))
            .filter(Objects::nonNull)
            .mapToLong(weights -> weights.data().byteSize())
            .sum();
    return sequences() * length > 1 && SESSIONS * bytes <= Runtime.getRuntime().maxMemory();
  }

  private <T extends AutoCloseable> T own(T resource) {
    owned.push(resource);
    return resource;
  }

  /** Sequences of one run. */
  long sequences() {
    return (long) groups * rows;
  }

  void runForward() {
    forward.run();
  }

  void runBackward() {
    backward.run();
  }

  long forwardOperations() {
    return forwardOperations;
  }

  long backwardOperations() {
    return backwardOperations;
  }

  @Override
  public void close() {
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new IllegalStateException("a program could not be closed", e);
      }
    }
  }
}
