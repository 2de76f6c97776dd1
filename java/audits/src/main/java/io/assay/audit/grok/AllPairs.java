package io.assay.audit.grok;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.kernel.GrokGrid;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/**
 * A network on all p p pairs at once, in float64, by the exact collapse to token tables
 * (specs/grokking.md 3.2): what a token adds to the MLP's input and to the logits, for each head,
 * is computed once. Weights are inputs, so that one session serves all checkpoints of a shape.
 */
final class AllPairs implements AutoCloseable {
  /** [p,p,H,3] by a, b, head and the position attended to. */
  static final String ATTENTION = "attention";

  /** [p,p,m], behind the ReLU. */
  static final String NEURONS = "neurons";

  /** [p,p,m], before the ReLU. */
  static final String PRE = "pre";

  /** [p,p,p]: what reaches the logits past the MLP, biases of the MLP's output included. */
  static final String SKIP = "skip";

  /** [p,p,p]. */
  static final String LOGITS = "logits";

  /** [H,2p+1,m+p] by head and token: a at each place, b at each, "=". */
  static final String TABLES = "tables";

  /** [H,2p+1,1], what attention weighs. */
  static final String SCORES = "scores";

  /** [1,m+p], what is the same for all pairs. */
  static final String CONSTANT = "constant";

  /** [p,m] W_L. */
  static final String MAP = "map";

  /** [p] norms of the rows of F W_L. */
  private static final String MAP_SPECTRUM = "map spectrum";

  /** [p] norms of the rows of F W_E^T, of the numbers. */
  private static final String TOKEN_SPECTRUM = "token spectrum";

  /** [4,p,m] sums of activations, by which two numbers and neuron, and F times them. */
  private static final String SUMS = "sums";

  private static final String WAVES = "waves";

  private final Graph graph;
  private final Session tables;
  private final Session waves;

  /** The sessions over the memory below. */
  private final Binding tabling;

  private final Binding transforming;

  /** Compiled when first needed. */
  private Session whole;

  private final Engine engine;

  /** What the kernel writes. */
  private final Tensor swept;

  private final Tensor sums;
  private final Tensor squares;
  private final Tensor transformed;

  /** What the session of the tables reads and writes, by name. */
  private final Map<String, Tensor> weights = new HashMap<>();

  private final Map<String, Tensor> made = new HashMap<>();

  private final Map<Set<String>, Part> parts = new HashMap<>();

  /** What computes the logits from some values that are given. */
  private record Part(Graph graph, Session session) {}

  /**
   * @param shape any network of the shape
   */
  AllPairs(Engine engine, Network shape) {
    this.engine = engine;
    long p = shape.p();
    swept = Tensor.allocate(Arena.ofAuto(), DType.F64, p * p, p);
    sums = Tensor.allocate(Arena.ofAuto(), DType.F64, 4, p, shape.neurons());
    squares = Tensor.allocate(Arena.ofAuto(), DType.F64, shape.neurons());
    graph = graph(shape);
    transformed = Tensor.allocate(Arena.ofAuto(), DType.F64, sums.shape());
    waves = engine.compile(waves(shape), options -> options.withSpin(false));
    Graph tabled =
        graph.slice(
            List.of(), List.of(TABLES, SCORES, CONSTANT, MAP, MAP_SPECTRUM, TOKEN_SPECTRUM));
    tables = engine.compile(tabled, options -> options.withSpin(false));
    allocate(tabled, tabled.inputs(), weights);
    allocate(tabled, tabled.outputs(), made);
    tabling = tables.bind(weights, made);
    transforming = waves.bind(Map.of(SUMS, sums), Map.of(WAVES, transformed));
  }

  private static void allocate(Graph g, List<String> values, Map<String, Tensor> to) {
    for (String value : values) {
      to.put(value, Tensor.allocate(Arena.ofAuto(), DType.F64, g.type(value).shape()));
    }
  }

  /**
   * What a network gives for all pairs, by one pass of the kernel.
   *
   * <p>All of it is in memory that the next call overwrites.
   *
   * @param swept logits [p p,p]
   * @param made by the session of the tables, by name
   * @param marginals of the activations; computed when asked for
   */
  record Found(
      Network network, Tensor swept, Map<String, Tensor> made, Supplier<Marginals> marginals) {
    Logits logits() {
      return new Logits(network.p(), swept);
    }

    Neurons neurons() {
      return Neurons.of(marginals.get());
    }

    WeightMeasures weights() {
      return WeightMeasures.of(
          network, made.get(TOKEN_SPECTRUM).toDoubles(), made.get(MAP_SPECTRUM).toDoubles());
    }
  }

  /** What a network gives for all pairs, and sums of what its neurons do, without storing that. */
  Found sweep(Network network) {
    int p = network.p();
    long columns = (long) network.neurons() + p;
    weights.forEach((name, t) -> t.data().copyFrom(network.tensors().get(name).data()));
    tabling.run();
    engine
        .kernels()
        .grokGrid(
            new GrokGrid(
                made.get(SCORES).reshape(network.heads(), 2L * p + 1),
                made.get(TABLES),
                made.get(CONSTANT).reshape(columns),
                made.get(MAP),
                swept,
                sums,
                squares));
    return new Found(network, swept, made, this::marginals);
  }

  private Marginals marginals() {
    transforming.run();
    return new Marginals(sums, squares, transformed);
  }

  /** {@link #ATTENTION}, {@link #NEURONS}, {@link #PRE}, {@link #SKIP} and {@link #LOGITS}. */
  Map<String, Tensor> run(Network network) {
    whole = whole == null ? engine.compile(graph) : whole;
    return whole.run(network.tensors());
  }

  /** Logits where some values are others than the network has. */
  Tensor logits(Network network, Map<String, Tensor> instead) {
    Part part =
        parts.computeIfAbsent(
            instead.keySet(),
            given -> {
              Graph rest = graph.slice(given, List.of(LOGITS));
              return new Part(rest, engine.compile(rest));
            });
    Map<String, Tensor> inputs = new HashMap<>(network.tensors());
    inputs.keySet().retainAll(part.graph().inputs());
    inputs.putAll(instead);
    return part.session().run(inputs).get(LOGITS);
  }

  private static Graph graph(Network n) {
    int p = n.p();
    int tables = 2 * p + 1;
    long m = n.neurons();
    Graph.Builder b = Graph.builder("grok").opset("", 17);
    for (String name : Network.NAMES) {
      b.input(name, TensorType.of(DType.F64, n.tensors().get(name).shape()));
    }
    b.op("tokens", "Transpose", perm(1L, 0L), GrokShape.EMBEDDING);
    part(b, "numbers", "tokens", 0, 0, p);
    part(b, "equals", "tokens", 0, p, p + 1);
    for (int i = 0; i < 3; i++) {
      part(b, "position." + i, GrokShape.POSITIONS, 0, i, i + 1);
      b.op("x." + i, "Add", Map.of(), i == 2 ? "equals" : "numbers", "position." + i);
    }
    b.op("x", "Concat", Map.of("axis", 0L), "x.0", "x.1", "x.2");

    // Scores of what is attended to: [H, 2p+1, 1].
    b.op("x.2.column", "Transpose", perm(1L, 0L), "x.2");
    b.op("query", "MatMul", Map.of(), GrokShape.QUERIES, "x.2.column");
    b.op("key.weights", "Transpose", perm(0L, 2L, 1L), GrokShape.KEYS);
    b.op("keys", "MatMul", Map.of(), "x", "key.weights");
    b.op("products", "MatMul", Map.of(), "keys", "query");
    String scale = b.constant("scale", Tensor.scalar(DType.F64, 1 / Math.sqrt(n.headWidth())));
    b.op(SCORES, "Mul", Map.of(), "products", scale);
    String square = vector(b, "square", p, p, n.heads(), 1);
    long[][] views = {{p, 1, n.heads(), 1}, {1, p, n.heads(), 1}, {1, 1, n.heads(), 1}};
    int[] ends = {0, p, 2 * p, tables};
    for (int i = 0; i < 3; i++) {
      part(b, "scores." + i, SCORES, 1, ends[i], ends[i + 1]);
      b.op("scores.t." + i, "Transpose", perm(1L, 0L, 2L), "scores." + i);
      b.op("scores.v." + i, "Reshape", Map.of(), "scores.t." + i, vector(b, "view." + i, views[i]));
      b.op("scores.e." + i, "Expand", Map.of(), "scores.v." + i, square);
    }
    b.op("score", "Concat", Map.of("axis", 3L), "scores.e.0", "scores.e.1", "scores.e.2");
    b.op(ATTENTION, "Softmax", Map.of("axis", 3L), "score");
    b.type(ATTENTION, TensorType.of(DType.F64, p, p, n.heads(), 3));

    // What each adds through each head to the MLP's input and to the logits: [H, 2p+1, m+p].
    b.op("value.weights", "Transpose", perm(0L, 2L, 1L), GrokShape.VALUES);
    b.op("values", "MatMul", Map.of(), "x", "value.weights");
    String byHead = vector(b, "by head", n.width(), n.heads(), n.headWidth());
    b.op("output.heads", "Reshape", Map.of(), GrokShape.ATTENTION_OUT, byHead);
    b.op("output.weights", "Transpose", perm(1L, 2L, 0L), "output.heads");
    part(b, "unembed", GrokShape.UNEMBEDDING, 1, 0, p);
    b.op("in.weights", "Transpose", perm(1L, 0L), GrokShape.NEURONS_IN);
    b.op("readers", "Concat", Map.of("axis", 1L), "in.weights", "unembed");
    // What is read of a value first: there are fewer of those than of tokens.
    b.op("through", "MatMul", Map.of(), "output.weights", "readers");
    b.op(TABLES, "MatMul", Map.of(), "values", "through");
    for (int i = 0; i < 3; i++) {
      part(b, "table.h." + i, TABLES, 1, ends[i], ends[i + 1]);
      b.op("table." + i, "Transpose", perm(1L, 0L, 2L), "table.h." + i);
    }
    b.op("table.e", "Expand", Map.of(), "table.2", vector(b, "rows", p, n.heads(), m + p));
    b.op("table.02", "Concat", Map.of("axis", 1L), "table.0", "table.e");
    for (int i = 0; i < 3; i++) {
      part(b, "weight.p." + i, ATTENTION, 3, i, i + 1);
      String flat = vector(b, "flat." + i, p, p, n.heads());
      b.op("weight." + i, "Reshape", Map.of(), "weight.p." + i, flat);
    }
    b.op("weight.02", "Concat", Map.of("axis", 2L), "weight.0", "weight.2");
    b.op("from.02", "MatMul", Map.of(), "weight.02", "table.02");
    b.op("weight.b", "Transpose", perm(1L, 0L, 2L), "weight.1");
    b.op("from.b", "MatMul", Map.of(), "weight.b", "table.1");
    b.op("from.1", "Transpose", perm(1L, 0L, 2L), "from.b");
    b.op("from", "Add", Map.of(), "from.02", "from.1");

    b.op("direct", "MatMul", Map.of(), "x.2", "readers");
    b.op("unembed.rows", "Transpose", perm(1L, 0L), "unembed");
    b.op("out.bias", "MatMul", Map.of(), GrokShape.OUT_BIAS, "unembed");
    b.op("bias", "Concat", Map.of("axis", 0L), GrokShape.NEURONS_BIAS, "out.bias");
    b.op(CONSTANT, "Add", Map.of(), "direct", "bias");
    b.op("sum", "Add", Map.of(), "from", CONSTANT);
    part(b, PRE, "sum", 2, 0, m);
    part(b, SKIP, "sum", 2, m, m + p);
    b.op(NEURONS, "Relu", Map.of(), PRE);
    for (String value : List.of(PRE, NEURONS)) {
      b.type(value, TensorType.of(DType.F64, p, p, m));
    }
    b.type(SKIP, TensorType.of(DType.F64, p, p, p));
    b.op(MAP, "MatMul", Map.of(), "unembed.rows", GrokShape.NEURONS_OUT);
    b.op("map.t", "Transpose", perm(1L, 0L), MAP);
    b.constant("fourier", new Fourier(p).tensor());
    Map<String, Object> rows = Map.of("axes", List.of(1L), "keepdims", 0L);
    b.op("map.waves", "MatMul", Map.of(), "fourier", MAP);
    b.op(MAP_SPECTRUM, "ReduceL2", rows, "map.waves");
    b.op("token.waves", "MatMul", Map.of(), "fourier", "numbers");
    b.op(TOKEN_SPECTRUM, "ReduceL2", rows, "token.waves");
    b.op("mlp", "MatMul", Map.of(), NEURONS, "map.t");
    b.op(LOGITS, "Add", Map.of(), "mlp", SKIP);
    b.type(LOGITS, TensorType.of(DType.F64, p, p, p));
    b.type(SCORES, TensorType.of(DType.F64, n.heads(), tables, 1));
    b.type(TABLES, TensorType.of(DType.F64, n.heads(), tables, m + p));
    b.type(CONSTANT, TensorType.of(DType.F64, 1, m + p));
    b.type(MAP, TensorType.of(DType.F64, p, m));
    b.type(MAP_SPECTRUM, TensorType.of(DType.F64, p));
    b.type(TOKEN_SPECTRUM, TensorType.of(DType.F64, p));
    for (String value : List.of(ATTENTION, PRE, NEURONS, SKIP, LOGITS)) {
      b.output(value);
    }
    return b.build();
  }

  /** F times what a marginal of the neurons has. */
  private static Graph waves(Network n) {
    TensorType type = TensorType.of(DType.F64, 4, n.p(), n.neurons());
    Graph.Builder b = Graph.builder("grok waves").opset("", 17).input(SUMS, type);
    b.op(WAVES, "MatMul", Map.of(), b.constant("fourier", new Fourier(n.p()).tensor()), SUMS);
    return b.type(WAVES, type).output(WAVES).build();
  }

  private static Map<String, Object> perm(Long... order) {
    return Map.of("perm", List.of(order));
  }

  private static String vector(Graph.Builder b, String name, long... values) {
    return b.constant(name, Tensor.ofLongs(values, values.length));
  }

  /** Places begin .. end - 1 of an axis. */
  private static void part(
      Graph.Builder b, String to, String from, long axis, long begin, long end) {
    b.op(
        to,
        "Slice",
        Map.of(),
        from,
        vector(b, to + " begin", begin),
        vector(b, to + " end", end),
        vector(b, to + " axis", axis));
  }

  @Override
  public void close() {
    tabling.close();
    tables.close();
    transforming.close();
    waves.close();
    if (whole != null) {
      whole.close();
    }
    parts.values().forEach(part -> part.session().close());
  }
}
