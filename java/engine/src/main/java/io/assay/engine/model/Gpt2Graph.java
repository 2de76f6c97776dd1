package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * GPT-2 as a graph. Values that the interpretability community names carry that name (those of
 * TransformerLens without weight processing); weights carry the names of their file.
 *
 * <p>Layer normalisation is written out, so that its scale and its normalised rows are values.
 */
final class Gpt2Graph implements Activations.Writer {
  /** Name of the input of token ids, I64 [row, position]. */
  static final String INPUT = "input_ids";

  /** Name of the output [row, position, vocabulary] of the whole model. */
  static final String LOGITS = "logits";

  /** Name of the output [row, position, width] of a suffix: what the head multiplies. */
  static final String HIDDEN = "hidden";

  private static final long OPSET = 17;

  /** Sizes of a suffix graph. */
  private record Suffix(int groups, int rowsPerGroup, int past, int length) {
    int rows() {
      return Math.multiplyExact(groups, rowsPerGroup);
    }
  }

  private final Gpt2Config config;
  private final Gpt2Weights weights;
  private final Graph.Builder b;

  /** Positions of the tokens, I64 [position]. */
  private String positions;

  /** Which keys a query sees, BOOL [position, key]. */
  private String visible;

  /** Whether keys and values of earlier positions are inputs. */
  private boolean past;

  /** The fixed sizes of a suffix; null for a graph of free sizes. */
  private Suffix suffix;

  private Gpt2Graph(String name, Gpt2Config config, Gpt2Weights weights) {
    this.config = config;
    this.weights = weights;
    this.b = Graph.builder(name).opset("", OPSET);
  }

  static String pastKey(int layer) {
    return "past." + layer + ".key";
  }

  static String pastValue(int layer) {
    return "past." + layer + ".value";
  }

  static String presentKey(int layer) {
    return "present." + layer + ".key";
  }

  static String presentValue(int layer) {
    return "present." + layer + ".value";
  }

  /** Token ids [batch, sequence] to logits. */
  static Graph whole(String name, Gpt2Config config, Gpt2Weights weights) {
    Gpt2Graph g = new Gpt2Graph(name, config, weights);
    g.b.input(INPUT, type(DType.I64, Dim.symbol("batch"), Dim.symbol("sequence")));
    g.countFrom(null);
    g.b.output(g.head(g.body()));
    return g.b.build();
  }

  /**
   * The same with a cache: inputs {@code past.L.key} and {@code past.L.value} [row, head, position,
   * head width], which may have no positions, and outputs {@code present.L.*} that hold them and
   * those of the new tokens.
   */
  static Graph cached(String name, Gpt2Config config, Gpt2Weights weights) {
    Gpt2Graph g = new Gpt2Graph(name, config, weights);
    Dim batch = Dim.symbol("batch");
    g.b.input(INPUT, type(DType.I64, batch, Dim.symbol("sequence")));
    g.pastInputs(batch, Dim.symbol("past"));
    g.countFrom(g.op("Squeeze", g.sizeOf(pastKey(0), 2)));
    g.b.output(g.head(g.body()));
    g.presentOutputs();
    return g.b.build();
  }

  /**
   * The last {@code length} of {@code past + length} positions, for {@code groups * rowsPerGroup}
   * rows; the rows of a group share its past. Ends before the head.
   */
  static Graph suffix(
      String name,
      Gpt2Config config,
      Gpt2Weights weights,
      int groups,
      int rowsPerGroup,
      int past,
      int length) {
    Gpt2Graph g = new Gpt2Graph(name, config, weights);
    g.suffix = new Suffix(groups, rowsPerGroup, past, length);
    g.b.input(INPUT, TensorType.of(DType.I64, g.suffix.rows(), length));
    if (past > 0) {
      g.pastInputs(Dim.of(groups), Dim.of(past));
    }
    g.placeSuffix();
    g.b.output(g.named(HIDDEN, "Identity", g.body()));
    g.presentOutputs();
    return g.b.build();
  }

  /** Positions and mask of a suffix, as constants. */
  private void placeSuffix() {
    int length = suffix.length;
    int keys = suffix.past + length;
    long[] at = new long[length];
    Tensor mask = Tensor.allocate(Arena.ofAuto(), DType.BOOL, length, keys);
    for (int q = 0; q < length; q++) {
      at[q] = suffix.past + q;
      for (int k = 0; k <= at[q]; k++) {
        mask.set((long) q * keys + k, 1);
      }
    }
    positions = b.constant("positions", Tensor.ofLongs(at, length));
    visible = b.constant("visible", mask);
  }

  private void pastInputs(Dim rows, Dim positions) {
    past = true;
    Dim heads = Dim.of(config.heads());
    Dim width = Dim.of(config.headWidth());
    for (int layer = 0; layer < config.layers(); layer++) {
      b.input(pastKey(layer), type(weights.dtype(), rows, heads, positions, width));
      b.input(pastValue(layer), type(weights.dtype(), rows, heads, positions, width));
    }
  }

  private void presentOutputs() {
    for (int layer = 0; layer < config.layers(); layer++) {
      b.output(presentKey(layer));
      b.output(presentValue(layer));
    }
  }

  /** Counts positions from {@code start} (an I64 scalar), or from 0 where it is null. */
  private void countFrom(String start) {
    String zero = shared("zero", Tensor.ofLongs(new long[] {0}));
    String one = shared("one", Tensor.ofLongs(new long[] {1}));
    String length = op("Squeeze", sizeOf(INPUT, 1));
    String end = start == null ? length : op("Add", start, length);
    positions = named("positions", "Range", start == null ? zero : start, end, one);
    String queries = op("Unsqueeze", positions, longs(1));
    visible = named("visible", "LessOrEqual", op("Range", zero, end, one), queries);
  }

  private String body() {
    String embed = named("hook_embed", "Gather", weight("wte.weight"), INPUT);
    String rows = op("Gather", weight("wpe.weight"), positions);
    String places =
        suffix == null
            ? named("hook_pos_embed", "Expand", rows, op("Shape", embed))
            : named("hook_pos_embed", "Identity", rows);
    String x = op("Add", embed, places);
    for (int layer = 0; layer < config.layers(); layer++) {
      x = block(layer, x);
    }
    return norm("ln_final", "ln_f", x);
  }

  private String head(String x) {
    String in = named("unembed.hook_in", "Identity", x);
    // Gemm reads the table as it is stored; a Transpose node would be folded into a second copy.
    String rows = reshape(null, in, -1, config.width());
    String table = weight(config.tied() ? "wte.weight" : Gpt2Weights.HEAD);
    String flat = op("Gemm", Map.of("transB", 1L), rows, table);
    String shape = op("Concat", Map.of("axis", 0L), op("Shape", INPUT), longs(config.vocabulary()));
    return named(LOGITS, "Identity", named("unembed.hook_out", "Reshape", flat, shape));
  }

  private String block(int layer, String x) {
    String at = "blocks." + layer + ".";
    String h = "h." + layer + ".";
    String before = named(at + "hook_resid_pre", "Identity", x);
    String attended = attention(layer, norm(at + "ln1", h + "ln_1", before));
    String middle = named(at + "hook_resid_mid", "Add", before, attended);
    String moved = mlp(at, h, norm(at + "ln2", h + "ln_2", middle));
    return named(at + "hook_resid_post", "Add", middle, moved);
  }

  /** {@code (x - mean) / sqrt(variance + epsilon) * weight + bias}, over the last axis. */
  private String norm(String at, String weightsOf, String x) {
    Map<String, Object> last = Map.of("axes", List.of(-1L), "keepdims", 1L);
    String centred = op("Sub", x, op("ReduceMean", last, x));
    String variance = op("ReduceMean", last, op("Pow", centred, real(2)));
    String scale = named(at + ".hook_scale", "Sqrt", op("Add", variance, real(config.epsilon())));
    String y = named(at + ".hook_normalized", "Div", centred, scale);
    if (weights.has(weightsOf + ".weight")) {
      y = op("Mul", y, weight(weightsOf + ".weight"));
    }
    return plusBias(null, y, weightsOf);
  }

  private String attention(int layer, String x) {
    String at = "blocks." + layer + ".attn.";
    String h = "h." + layer + ".attn.";
    List<String> parts = List.of(at + "q", at + "k", at + "v");
    String qkv = linear(null, x, h + "c_attn");
    b.node(new Node(at + "split", "", "Split", List.of(qkv), parts, Map.of("axis", -1L)));
    String q = perHead(at + "hook_q", parts.get(0));
    String k = perHead(at + "hook_k", parts.get(1));
    String v = perHead(at + "hook_v", parts.get(2));

    String z =
        suffix != null && past
            ? besidePast(layer, q, k, v)
            : headsFirst(at + "hook_z", attended(layer, q, k, v));
    return linear(
        "blocks." + layer + ".hook_attn_out", reshape(null, z, 0, 0, config.width()), h + "c_proj");
  }

  /** What each position of each head reads: [row, head, position, head width]. */
  private String attended(int layer, String q, String k, String v) {
    String at = "blocks." + layer + ".attn.";
    String keys = remembered(pastKey(layer), presentKey(layer), k);
    String values = remembered(pastValue(layer), presentValue(layer), v);
    String products = op("MatMul", headsFirst(null, q), transpose(null, keys, 0, 1, 3, 2));
    String scaled = op("Mul", products, real(config.scoreScale(layer)));
    String scores =
        named(at + "hook_attn_scores", "Where", visible, scaled, real(Double.NEGATIVE_INFINITY));
    String pattern = b.op(at + "hook_pattern", "Softmax", Map.of("axis", -1L), scores);
    return op("MatMul", pattern, values);
  }

  /** Keys or values [row, head, position, head width] of all positions that there are. */
  private String remembered(String pastName, String presentName, String fresh) {
    if (suffix == null && past) {
      return b.op(presentName, "Concat", Map.of("axis", 2L), pastName, headsFirst(null, fresh));
    }
    return headsFirst(suffix == null ? null : presentName, fresh);
  }

  /**
   * The same in a suffix with a past. All rows of a group meet its past in one product, so that the
   * past is read where it lies; only what they said themselves differs from row to row. Inside,
   * axes are [group, head, row, position, ...]; the result is {@code hook_z}.
   */
  private String besidePast(int layer, String q, String k, String v) {
    headsFirst(presentKey(layer), k);
    headsFirst(presentValue(layer), v);
    String queries = grouped(q);
    String earlier = op("MatMul", together(queries), transpose(null, pastKey(layer), 0, 1, 3, 2));
    String own = op("MatMul", queries, transpose(null, grouped(k), 0, 1, 2, 4, 3));
    String products = op("Concat", Map.of("axis", 4L), apart(earlier, suffix.past), own);
    String scaled = op("Mul", products, real(config.scoreScale(layer)));
    String scores = op("Where", visible, scaled, real(Double.NEGATIVE_INFINITY));
    String pattern = op("Softmax", Map.of("axis", -1L), scores);
    List<String> parts = List.of(b.fresh("pattern"), b.fresh("pattern"));
    List<String> split = List.of(pattern, longs(suffix.past, suffix.length));
    b.node(new Node(parts.get(0), "", "Split", split, parts, Map.of("axis", 4L)));
    String fromPast = op("MatMul", together(parts.get(0)), pastValue(layer));
    String fromOwn = op("MatMul", parts.get(1), grouped(v));
    String z = op("Add", apart(fromPast, config.headWidth()), fromOwn);
    return reshape(
        "blocks." + layer + ".attn.hook_z",
        transpose(null, z, 0, 2, 3, 1, 4),
        suffix.rows(),
        suffix.length,
        config.heads(),
        config.headWidth());
  }

  /** [row, position, head, width] as [group, head, row of the group, position, width]. */
  private String grouped(String x) {
    int rows = suffix.rowsPerGroup;
    String apart =
        reshape(null, x, suffix.groups, rows, suffix.length, config.heads(), config.headWidth());
    return transpose(null, apart, 0, 3, 1, 2, 4);
  }

  /** The rows of a group and their positions as one axis. */
  private String together(String x) {
    long all = (long) suffix.rowsPerGroup * suffix.length;
    return reshape(null, x, suffix.groups, config.heads(), all, -1);
  }

  private String apart(String x, long last) {
    return reshape(
        null, x, suffix.groups, config.heads(), suffix.rowsPerGroup, suffix.length, last);
  }

  private String mlp(String at, String h, String x) {
    String pre = linear(at + "mlp.hook_pre", x, h + "mlp.c_fc");
    String post =
        named(at + "mlp.hook_post", "Identity", Activations.write(config.activation(), pre, this));
    return linear(at + "hook_mlp_out", post, h + "mlp.c_proj");
  }

  /** {@code x W + b}, with {@code W} stored [in, out]. */
  private String linear(String value, String x, String weightsOf) {
    String product = op("MatMul", x, weight(weightsOf + ".weight"));
    return plusBias(value, product, weightsOf);
  }

  private String plusBias(String value, String x, String weightsOf) {
    String bias = weightsOf + ".bias";
    if (weights.has(bias)) {
      return value == null ? op("Add", x, weight(bias)) : named(value, "Add", x, weight(bias));
    }
    return value == null ? x : named(value, "Identity", x);
  }

  /** [row, position, width] as [row, position, head, head width]. */
  private String perHead(String value, String x) {
    return reshape(value, x, 0, 0, config.heads(), config.headWidth());
  }

  /** Swaps the axes of positions and heads. */
  private String headsFirst(String value, String x) {
    return transpose(value, x, 0, 2, 1, 3);
  }

  private String transpose(String value, String x, long... axes) {
    List<Long> order = Arrays.stream(axes).boxed().toList();
    return b.op(orFresh(value, "transposed"), "Transpose", Map.of("perm", order), x);
  }

  private String reshape(String value, String x, long... shape) {
    return b.op(orFresh(value, "reshaped"), "Reshape", Map.of(), x, longs(shape));
  }

  private String sizeOf(String value, long axis) {
    return op("Gather", op("Shape", value), longs(axis));
  }

  private String weight(String bare) {
    String name = weights.name(bare);
    return b.has(name) ? name : b.constant(name, weights.get(bare));
  }

  /** A scalar of the model's float type. */
  @Override
  public String real(double value) {
    return shared("real " + value, Tensor.scalar(weights.dtype(), value));
  }

  private String longs(long... values) {
    return shared("shape " + Arrays.toString(values), Tensor.ofLongs(values, values.length));
  }

  private String shared(String name, Tensor value) {
    return b.has(name) ? name : b.constant(name, value);
  }

  private String orFresh(String value, String hint) {
    return value == null ? b.fresh(hint) : value;
  }

  private String named(String value, String op, String... inputs) {
    return b.op(value, op, Map.of(), inputs);
  }

  @Override
  public String op(String op, String... inputs) {
    return op(op, Map.of(), inputs);
  }

  private String op(String op, Map<String, Object> attributes, String... inputs) {
    return b.op(b.fresh(op.toLowerCase(Locale.ROOT)), op, attributes, inputs);
  }

  private static TensorType type(DType dtype, Dim... dims) {
    return new TensorType(dtype, List.of(dims));
  }
}
