package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * One block of a GPT-2 as a graph over the rows of many sequences that begin at different
 * positions, each behind the keys and values of a base run: what a sweep of patches recomputes
 * (specs/ioi.md 7). Weights are inputs, so that one session serves all blocks; {@link #weights}
 * gives those of a block.
 *
 * <p>Rows lie flat, [rows, width], in the order of {@link Layout}.
 */
public final class BlockGraphs {
  /** Input and output of every graph here, [rows, width]. */
  public static final String IN = "in";

  public static final String OUT = "out";

  /** Keys and values of the base run, inputs [prompt, head, position, head width]. */
  public static final String KEYS = "base.keys";

  public static final String VALUES = "base.values";

  /** What {@link #patched} replaces a hook's value by. */
  public static final String SOURCE = "source";

  private static final long OPSET = 17;
  private static final String CONTRIB = "com.microsoft";
  private static final List<String> PARTS =
      List.of("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj");

  /**
   * Which sequences there are: for each start, in this order, each prompt's copies, and of each
   * copy the rows of the positions from the start on.
   *
   * @param prompts base runs
   * @param copies of each prompt and start
   * @param positions of the whole prompts
   * @param starts first position of the sequences, ascending
   */
  public record Layout(int prompts, int copies, int positions, List<Integer> starts) {
    public Layout {
      starts = List.copyOf(starts);
    }

    /** Rows of the sequences of one start. */
    public int rows(int start) {
      return prompts * copies * (positions - start);
    }

    /** All rows. */
    public int rows() {
      return starts.stream().mapToInt(this::rows).sum();
    }

    /** All sequences. */
    public int sequences() {
      return prompts * copies * starts.size();
    }

    /** Index of each sequence's last row. */
    long[] ends() {
      long[] ends = new long[sequences()];
      int i = 0;
      long row = 0;
      for (int start : starts) {
        for (int s = 0; s < prompts * copies; s++) {
          row += positions - start;
          ends[i++] = row - 1;
        }
      }
      return ends;
    }
  }

  private final String name;
  private final Gpt2Config config;
  private final Gpt2Weights model;

  BlockGraphs(String name, Gpt2Config config, Gpt2Weights model) {
    this.name = name;
    this.config = config;
    this.model = model;
  }

  /** Whether one graph serves all blocks: float32, with the same kinds of weights everywhere. */
  boolean isUniform() {
    if (model.dtype() != DType.F32 || config.scaleByLayer()) {
      return false;
    }
    Set<String> first = weights(0).keySet();
    for (int layer = 1; layer < config.layers(); layer++) {
      if (!weights(layer).keySet().equals(first)) {
        return false;
      }
    }
    return true;
  }

  /** The weights of a block, by the names of the graphs' inputs. */
  public Map<String, Tensor> weights(int layer) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    for (String part : PARTS) {
      for (String kind : List.of(".weight", ".bias")) {
        String bare = "h." + layer + "." + part + kind;
        if (model.has(bare)) {
          found.put(part + kind, aligned(model.get(bare)));
        }
      }
    }
    return found;
  }

  /** Sessions take memory as it is only where it is aligned. */
  private static Tensor aligned(Tensor t) {
    if (t.data().isNative() && t.data().address() % t.dtype().bytes() == 0) {
      return t;
    }
    Tensor copy = Tensor.allocate(Arena.ofAuto(), t.dtype(), t.shape());
    copy.data().copyFrom(t.data());
    return copy;
  }

  /** The whole block: rows of its input to rows of its output. */
  public Graph block(Layout layout) {
    return new Writer().block(layout, null);
  }

  /**
   * The whole block with each copy's own head patched at its first position, or at all positions of
   * a sequence that starts at 0.
   *
   * @param hook {@code hook_q}, {@code hook_k} or {@code hook_v}; {@link #SOURCE} is [prompt, head,
   *     position, head width]; or {@code hook_pattern}, {@link #SOURCE} is [prompt, head, query,
   *     key]
   * @param all whether all positions are patched
   */
  public Graph patched(Layout layout, String hook, boolean all) {
    return new Writer().block(layout, new Change(hook, all));
  }

  /** The block and the last norm, for the last row of each sequence: rows to [sequence, width]. */
  public Graph last(Layout layout) {
    return new Writer().last(layout);
  }

  /** The second half of the block: rows of {@code hook_resid_mid} to rows of its output. */
  public Graph secondHalf() {
    return new Writer().secondHalf();
  }

  /** What heads add to the stream: [head, row, head width] to [head, row, width], without bias. */
  public Graph headResults(int rows) {
    return new Writer().headResults(rows);
  }

  /**
   * The last norm, {@code [rows, width]} to what the head multiplies; its weights are constants.
   */
  public Graph lastNorm() {
    Writer w = new Writer();
    w.input(IN, -1, config.width());
    return w.ends(w.lastNorm(IN));
  }

  /** A patch inside a block. */
  private record Change(String hook, boolean all) {}

  /** Writes one graph. */
  private final class Writer {
    private final Graph.Builder b =
        Graph.builder(name + " block").opset("", OPSET).opset(CONTRIB, 1);
    private final int heads = config.heads();
    private final int width = config.width();
    private final int headWidth = config.headWidth();

    Graph block(Layout layout, Change change) {
      input(IN, layout.rows(), width);
      cache(layout);
      if (change != null) {
        boolean pattern = change.hook.equals("hook_pattern");
        input(
            SOURCE,
            layout.prompts(),
            heads,
            layout.positions(),
            pattern ? layout.positions() : headWidth);
      }
      String qkv = linear(norm(IN, "ln_1"), "attn.c_attn", width, 3 * width);
      List<String> parts = new ArrayList<>();
      List<String> byStart =
          split(qkv, 0, layout.starts().stream().mapToInt(layout::rows).toArray());
      for (int i = 0; i < byStart.size(); i++) {
        int start = layout.starts().get(i);
        long length = layout.positions() - start;
        String apart =
            reshape(byStart.get(i), layout.prompts(), layout.copies(), length, 3, heads, headWidth);
        // [3, prompt, head, copy, position, head width]
        List<String> each = split(transpose(apart, 3, 0, 4, 1, 2, 5), 0, 1, 1, 1);
        String[] rows = new String[3];
        for (int k = 0; k < 3; k++) {
          rows[k] =
              reshape(each.get(k), layout.prompts(), heads, layout.copies(), length, headWidth);
        }
        parts.add(attended(layout, start, (int) length, rows, change));
      }
      String z = parts.size() == 1 ? parts.getFirst() : op("Concat", Map.of("axis", 0L), parts);
      return ends(half(z, IN));
    }

    Graph last(Layout layout) {
      input(IN, layout.rows(), width);
      cache(layout);
      String weight = weightInput("attn.c_attn", width, 3 * width);
      String normed = norm(IN, "ln_1");
      String end = b.constant("end", Tensor.ofLongs(layout.ends(), layout.sequences()));
      List<String> split = split(weight, 1, width, 2 * width);
      String bias = biasInput("attn.c_attn", 3 * width);
      List<String> biases = bias == null ? List.of("", "") : split(bias, 0, width, 2 * width);
      String q = gemm(op("Gather", Map.of("axis", 0L), normed, end), split.get(0), biases.get(0));
      String kv = gemm(normed, split.get(1), biases.get(1));
      int each = layout.prompts() * layout.copies();
      List<String> queries = split(q, 0, layout.starts().stream().mapToInt(_ -> each).toArray());
      List<String> others = split(kv, 0, layout.starts().stream().mapToInt(layout::rows).toArray());
      List<String> parts = new ArrayList<>();
      for (int i = 0; i < queries.size(); i++) {
        int start = layout.starts().get(i);
        long length = layout.positions() - start;
        String one =
            reshape(queries.get(i), layout.prompts(), layout.copies(), 1, heads, headWidth);
        String two =
            reshape(others.get(i), layout.prompts(), layout.copies(), length, 2, heads, headWidth);
        List<String> kAndV = split(transpose(two, 3, 0, 4, 1, 2, 5), 0, 1, 1);
        String[] rows = {transpose(one, 0, 3, 1, 2, 4), null, null};
        for (int k = 0; k < 2; k++) {
          rows[1 + k] =
              reshape(kAndV.get(k), layout.prompts(), heads, layout.copies(), length, headWidth);
        }
        parts.add(attended(layout, start, 1, rows, null));
      }
      String z = parts.size() == 1 ? parts.getFirst() : op("Concat", Map.of("axis", 0L), parts);
      String before = op("Gather", Map.of("axis", 0L), IN, end);
      return ends(lastNorm(half(z, before)));
    }

    Graph secondHalf() {
      input(IN, -1, width);
      return ends(mlp(IN));
    }

    Graph headResults(int rows) {
      input(IN, heads, rows, headWidth);
      String weight = weightInput("attn.c_proj", width, width);
      return ends(op("MatMul", Map.of(), IN, reshape(weight, heads, headWidth, width)));
    }

    /** The projection of z, the stream, and the MLP. */
    private String half(String z, String before) {
      String attended = linear(z, "attn.c_proj", width, width);
      return mlp(op("Add", Map.of(), before, attended));
    }

    private String mlp(String mid) {
      String pre = linear(norm(mid, "ln_2"), "mlp.c_fc", width, config.inner());
      String post = activation(pre);
      return op("Add", Map.of(), mid, linear(post, "mlp.c_proj", config.inner(), width));
    }

    /**
     * What each row of each head reads, [rows, width].
     *
     * @param queries how many of each sequence's last positions ask
     * @param rows q, k and v [prompt, head, copy, position, head width]
     */
    private String attended(Layout layout, int start, int queries, String[] rows, Change change) {
      int length = layout.positions() - start;
      String q = changed(layout, start, rows[0], change, "hook_q");
      String k = changed(layout, start, rows[1], change, "hook_k");
      String v = changed(layout, start, rows[2], change, "hook_v");
      long prompts = layout.prompts();
      long copies = layout.copies();
      String scores = op("MatMul", Map.of(), q, transpose(k, 0, 1, 2, 4, 3));
      String past = null;
      if (start > 0) {
        // All copies of a prompt meet its past in one product.
        String together = reshape(q, prompts, heads, copies * queries, headWidth);
        past = slice(KEYS, 2, 0, start);
        String earlier = op("MatMul", Map.of(), together, transpose(past, 0, 1, 3, 2));
        String apart = reshape(earlier, prompts, heads, copies, queries, start);
        scores = op("Concat", Map.of("axis", 4L), List.of(apart, scores));
      }
      double scale = config.scaleScores() ? 1 / Math.sqrt(headWidth) : 1;
      String scaled = op("Mul", Map.of(), scores, real(scale));
      String pattern = op("Softmax", Map.of("axis", -1L), masked(scaled, start, length, queries));
      pattern = changed(layout, start, pattern, change, "hook_pattern");
      if (start == 0) {
        return flat(op("MatMul", Map.of(), pattern, v), prompts * copies * queries);
      }
      List<String> parts = split(pattern, 4, start, length);
      String onPast = reshape(parts.get(0), prompts, heads, copies * queries, start);
      String read = op("MatMul", Map.of(), onPast, slice(VALUES, 2, 0, start));
      String apart = reshape(read, prompts, heads, copies, queries, headWidth);
      String own = op("MatMul", Map.of(), parts.get(1), v);
      return flat(op("Add", Map.of(), apart, own), prompts * copies * queries);
    }

    /** [prompt, head, copy, position, head width] as [rows, width]. */
    private String flat(String z, long rows) {
      return reshape(transpose(z, 0, 2, 3, 1, 4), rows, width);
    }

    private String masked(String scores, int start, int length, int queries) {
      if (queries == 1) {
        return scores;
      }
      String mask = "visible " + start;
      int keys = start + length;
      Tensor visible = Tensor.allocate(Arena.ofAuto(), DType.BOOL, length, keys);
      for (int query = 0; query < length; query++) {
        for (int key = 0; key <= start + query; key++) {
          visible.set((long) query * keys + key, 1);
        }
      }
      b.constant(mask, visible);
      return op("Where", Map.of(), mask, scores, real(Double.NEGATIVE_INFINITY));
    }

    /** The value with the source's where a copy's own head is patched. */
    private String changed(Layout layout, int start, String value, Change change, String hook) {
      if (change == null || !change.hook.equals(hook)) {
        return value;
      }
      int length = layout.positions() - start;
      Tensor own = Tensor.allocate(Arena.ofAuto(), DType.BOOL, heads, layout.copies(), length, 1);
      for (int head = 0; head < heads; head++) {
        for (int t = 0; t < (change.all ? length : 1); t++) {
          own.set(((long) head * layout.copies() + head) * length + t, 1);
        }
      }
      String mask = b.constant(b.fresh("own head"), own);
      String from = slice(SOURCE, 2, start, layout.positions());
      String spread = op("Unsqueeze", Map.of(), from, longs(2));
      return op("Where", Map.of(), mask, spread, value);
    }

    private String lastNorm(String x) {
      for (String kind : List.of("ln_f.weight", "ln_f.bias")) {
        if (model.has(kind)) {
          b.constant(kind, model.get(kind));
        }
      }
      return normed(x, "ln_f");
    }

    private String norm(String x, String part) {
      if (model.has("h.0." + part + ".weight")) {
        input(part + ".weight", width);
      }
      if (model.has("h.0." + part + ".bias")) {
        input(part + ".bias", width);
      }
      return normed(x, part);
    }

    private String normed(String x, String part) {
      List<String> inputs = new ArrayList<>(List.of(x));
      if (b.has(part + ".weight")) {
        inputs.add(part + ".weight");
      } else {
        Tensor ones = Tensor.allocate(Arena.ofAuto(), model.dtype(), width);
        for (int i = 0; i < width; i++) {
          ones.set(i, 1);
        }
        inputs.add(b.constant(b.fresh("ones"), ones));
      }
      if (b.has(part + ".bias")) {
        inputs.add(part + ".bias");
      }
      return op(
          "LayerNormalization", Map.of("axis", -1L, "epsilon", (float) config.epsilon()), inputs);
    }

    private String linear(String x, String part, int in, int out) {
      return gemm(x, weightInput(part, in, out), String.valueOf(biasInput(part, out)));
    }

    private String weightInput(String part, int in, int out) {
      input(part + ".weight", in, out);
      return part + ".weight";
    }

    private String biasInput(String part, int out) {
      if (!model.has("h.0." + part + ".bias")) {
        return null;
      }
      input(part + ".bias", out);
      return part + ".bias";
    }

    private String gemm(String x, String weight, String bias) {
      return bias.isEmpty() || bias.equals("null")
          ? op("Gemm", Map.of(), x, weight)
          : op("Gemm", Map.of(), x, weight, bias);
    }

    private String activation(String x) {
      return switch (config.activation()) {
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast" -> fastGelu(x);
        case "gelu" -> geluErf(x);
        case "quick_gelu" -> times(x, op("Sigmoid", Map.of(), times(x, real(1.702))));
        case "silu", "swish" -> times(x, op("Sigmoid", Map.of(), x));
        case "relu" -> op("Relu", Map.of(), x);
        case "tanh" -> op("Tanh", Map.of(), x);
        default -> throw new IllegalArgumentException("activation " + config.activation());
      };
    }

    /** {@code x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))} in one pass. */
    private String fastGelu(String x) {
      String y = b.fresh("gelu");
      b.node(new Node(y, CONTRIB, "FastGelu", List.of(x), List.of(y), Map.of()));
      return y;
    }

    private String geluErf(String x) {
      String erf = op("Erf", Map.of(), times(x, real(Math.sqrt(0.5))));
      return times(times(x, real(0.5)), op("Add", Map.of(), erf, real(1)));
    }

    private String times(String x, String y) {
      return op("Mul", Map.of(), x, y);
    }

    private void cache(Layout layout) {
      if (layout.starts().stream().anyMatch(start -> start > 0)) {
        input(KEYS, layout.prompts(), heads, layout.positions(), headWidth);
        input(VALUES, layout.prompts(), heads, layout.positions(), headWidth);
      }
    }

    void input(String value, long... shape) {
      List<TensorType.Dim> dims =
          Arrays.stream(shape)
              .mapToObj(d -> d < 0 ? TensorType.Dim.symbol("rows") : TensorType.Dim.of(d))
              .toList();
      b.input(value, new TensorType(model.dtype(), dims));
    }

    private List<String> split(String x, long axis, int... sizes) {
      if (sizes.length == 1) {
        return List.of(x);
      }
      List<String> parts = new ArrayList<>();
      for (int i = 0; i < sizes.length; i++) {
        parts.add(b.fresh("part"));
      }
      List<String> inputs = List.of(x, longs(Arrays.stream(sizes).asLongStream().toArray()));
      b.node(new Node(parts.getFirst(), "", "Split", inputs, parts, Map.of("axis", axis)));
      return parts;
    }

    private String slice(String x, long axis, long from, long to) {
      String known = "slice " + x + " " + from + " " + to;
      return b.has(known)
          ? known
          : b.op(known, "Slice", Map.of(), x, longs(from), longs(to), longs(axis));
    }

    private String reshape(String x, long... shape) {
      return op("Reshape", Map.of(), x, longs(shape));
    }

    private String transpose(String x, long... axes) {
      return op("Transpose", Map.of("perm", Arrays.stream(axes).boxed().toList()), x);
    }

    private String longs(long... values) {
      return shared("longs " + Arrays.toString(values), Tensor.ofLongs(values, values.length));
    }

    private String real(double value) {
      return shared("real " + value, Tensor.scalar(model.dtype(), value));
    }

    private String shared(String value, Tensor tensor) {
      return b.has(value) ? value : b.constant(value, tensor);
    }

    private String op(String op, Map<String, Object> attributes, String... inputs) {
      return op(op, attributes, List.of(inputs));
    }

    private String op(String op, Map<String, Object> attributes, List<String> inputs) {
      String out = b.fresh(op.toLowerCase(Locale.ROOT));
      b.node(new Node(out, "", op, inputs, List.of(out), attributes));
      return out;
    }

    Graph ends(String x) {
      b.op(OUT, "Identity", Map.of(), x);
      return b.output(OUT).build();
    }
  }
}
