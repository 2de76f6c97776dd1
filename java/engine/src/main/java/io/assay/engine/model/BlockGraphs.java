package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.kernel.Kernels;
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
 * The parts of a GPT-2's blocks between which attention lies, as graphs over rows of the stream of
 * any number, [rows, width]: what a sweep of patches recomputes (specs/ioi.md 7). Weights are
 * inputs, so that one session serves all blocks; {@link #weights} gives those of a block.
 */
public final class BlockGraphs {
  /** Input of every graph here. */
  public static final String IN = "in";

  /** Output of every graph here. */
  public static final String OUT = "out";

  /** Further input: the stream before the block, or the last row of each sequence. */
  public static final String BEFORE = "before";

  /** Further output of {@link #lastProjections}. */
  public static final String QUERIES = "queries";

  private static final long OPSET = 17;

  private static final String CONTRIB = "com.microsoft";

  private static final Dim ROWS = Dim.symbol("rows");
  private static final Dim SEQUENCES = Dim.symbol("sequences");
  private static final List<String> PARTS =
      List.of("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj");

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
    if (model.dtype() != DType.F32 || config.headWidth() > Kernels.MAX_HEAD_WIDTH) {
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

  /** What heads multiply what they read by, [width, width]: rows of a head lie together. */
  public Tensor headOutput(int layer) {
    return aligned(model.get("h." + layer + ".attn.c_proj.weight"));
  }

  /** Sessions and kernels take memory as it is only where it is aligned. */
  private static Tensor aligned(Tensor t) {
    if (t.data().isNative() && t.data().address() % t.dtype().bytes() == 0) {
      return t;
    }
    Tensor copy = Tensor.allocate(Arena.ofAuto(), t.dtype(), t.shape());
    copy.data().copyFrom(t.data());
    return copy;
  }

  /** What the attention scores of a block are multiplied by. */
  public double scoreScale(int layer) {
    return config.scoreScale(layer);
  }

  /**
   * What the first block reads of some prompts of one length, [prompt * position, width]: the sum
   * of the embeddings of token and position.
   */
  public Tensor embedded(Arena arena, List<int[]> prompts) {
    int length = prompts.getFirst().length;
    int width = config.width();
    Tensor tokens = model.get("wte.weight");
    Tensor places = model.get("wpe.weight");
    Tensor rows = Tensor.allocate(arena, DType.F32, (long) prompts.size() * length, width);
    for (long row = 0; row < rows.dim(0); row++) {
      int place = (int) (row % length);
      long token = prompts.get((int) (row / length))[place];
      for (int c = 0; c < width; c++) {
        float sum =
            (float) tokens.get(token * width + c) + (float) places.get((long) place * width + c);
        rows.set(row * width + c, sum);
      }
    }
    return rows;
  }

  /** Rows before a block to its queries, keys and values side by side, [rows, 3 width]. */
  public Graph projections() {
    return new Writer().projections();
  }

  /**
   * The same where only the last row of each sequence asks: rows before a block to keys and values,
   * [rows, 2 width], and {@link #BEFORE} [sequences, width] to {@link #QUERIES}.
   */
  public Graph lastProjections() {
    return new Writer().lastProjections();
  }

  /** The heads' rows and {@link #BEFORE} to {@code hook_resid_mid}. */
  public Graph firstHalf() {
    return new Writer().firstHalf();
  }

  /** Rows of {@code hook_resid_mid} to rows behind the block. */
  public Graph secondHalf() {
    return new Writer().secondHalf();
  }

  /** The last norm, to what the head multiplies; its weights are constants. */
  public Graph lastNorm() {
    return new Writer().lastNorm();
  }

  /**
   * Writes one graph. Values get their types, which nobody infers where a dimension is a symbol:
   * the session's own operators need them.
   */
  private final class Writer implements Activations.Writer {
    private final Graph.Builder b =
        Graph.builder(name + " block").opset("", OPSET).opset(CONTRIB, 1);
    private final int width = config.width();

    Graph projections() {
      input(IN, ROWS, width);
      return ends(linear(norm(IN, "ln_1"), "attn.c_attn", width, 3 * width));
    }

    Graph lastProjections() {
      input(IN, ROWS, width);
      input(BEFORE, SEQUENCES, width);
      List<String> weights = split(weightInput("attn.c_attn", width, 3 * width), 1);
      String bias = biasInput("attn.c_attn", 3 * width);
      List<String> biases = bias == null ? Arrays.asList(null, null) : split(bias, 0);
      ends(QUERIES, gemm(norm(BEFORE, "ln_1"), weights.get(0), biases.get(0)));
      return ends(gemm(norm(IN, "ln_1"), weights.get(1), biases.get(1)));
    }

    /** The part of the queries, and that of keys and values. */
    private List<String> split(String x, int axis) {
      List<String> parts = List.of(b.fresh("part"), b.fresh("part"));
      long[] sizes = {width, 2L * width};
      String given = b.constant(b.fresh("sizes"), Tensor.ofLongs(sizes, 2));
      Map<String, Object> attributes = Map.of("axis", (long) axis);
      b.node(new Node(parts.getFirst(), "", "Split", List.of(x, given), parts, attributes));
      for (int part = 0; part < sizes.length; part++) {
        long[] shape = b.type(x).shape();
        shape[axis] = sizes[part];
        b.type(parts.get(part), TensorType.of(model.dtype(), shape));
      }
      return parts;
    }

    Graph firstHalf() {
      input(IN, ROWS, width);
      input(BEFORE, ROWS, width);
      return ends(op("Add", BEFORE, linear(IN, "attn.c_proj", width, width)));
    }

    Graph secondHalf() {
      input(IN, ROWS, width);
      int inner = config.inner();
      String moved = linear(norm(IN, "ln_2"), "mlp.c_fc", width, inner);
      return ends(op("Add", IN, linear(neurons(moved), "mlp.c_proj", inner, width)));
    }

    /** Gelu by tanh as one operator, which becomes part of the product before it. */
    private String neurons(String x) {
      if (!Activations.isGeluTanh(config.activation())) {
        return Activations.write(config.activation(), x, this);
      }
      String y = b.fresh("gelu");
      b.node(new Node(y, CONTRIB, "FastGelu", List.of(x), List.of(y), Map.of()));
      b.type(y, b.type(x));
      return y;
    }

    Graph lastNorm() {
      input(IN, ROWS, width);
      for (String kind : List.of("ln_f.weight", "ln_f.bias")) {
        if (model.has(kind)) {
          b.constant(kind, model.get(kind));
        }
      }
      return ends(normed(IN, "ln_f"));
    }

    private String norm(String x, String part) {
      for (String kind : List.of(part + ".weight", part + ".bias")) {
        if (model.has("h.0." + kind) && !b.has(kind)) {
          b.input(kind, TensorType.of(model.dtype(), width));
        }
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
      Map<String, Object> last = Map.of("axis", -1L, "epsilon", (float) config.epsilon());
      return op(b.type(x), "LayerNormalization", last, inputs);
    }

    private String linear(String x, String part, long in, long out) {
      return gemm(x, weightInput(part, in, out), biasInput(part, out));
    }

    private String weightInput(String part, long in, long out) {
      b.input(part + ".weight", TensorType.of(model.dtype(), in, out));
      return part + ".weight";
    }

    /** The bias of a part, or null. */
    private String biasInput(String part, long out) {
      if (!model.has("h.0." + part + ".bias")) {
        return null;
      }
      b.input(part + ".bias", TensorType.of(model.dtype(), out));
      return part + ".bias";
    }

    private String gemm(String x, String weight, String bias) {
      List<Dim> dims = List.of(b.type(x).dims().getFirst(), b.type(weight).dims().getLast());
      List<String> inputs = bias == null ? List.of(x, weight) : List.of(x, weight, bias);
      return op(new TensorType(model.dtype(), dims), "Gemm", Map.of(), inputs);
    }

    @Override
    public String real(double value) {
      return b.constant(b.fresh("real"), Tensor.scalar(model.dtype(), value));
    }

    private void input(String value, Dim rows, int columns) {
      b.input(value, new TensorType(model.dtype(), List.of(rows, Dim.of(columns))));
    }

    /** An element-wise operator; its result is like its first operand. */
    @Override
    public String op(String op, String... inputs) {
      return op(b.type(inputs[0]), op, Map.of(), List.of(inputs));
    }

    private String op(
        TensorType type, String op, Map<String, Object> attributes, List<String> inputs) {
      String y = b.fresh(op.toLowerCase(Locale.ROOT));
      b.op(y, op, attributes, inputs.toArray(String[]::new));
      b.type(y, type);
      return y;
    }

    private void ends(String output, String x) {
      b.op(output, "Identity", Map.of(), x);
      b.type(output, b.type(x)).output(output);
    }

    private Graph ends(String x) {
      ends(OUT, x);
      return b.build();
    }
  }
}
