package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * A model of a well-known shape with random weights, and a scalar of its output to differentiate.
 *
 * @param name what it is called in the rows
 * @param graph of fixed sizes, with one output
 * @param inputs what it is run on
 * @param at the float value that stands for the model's input
 * @param seed gradient of the scalar to the output, of its shape
 */
record Subject(String name, Graph graph, Map<String, Tensor> inputs, String at, Tensor seed) {
  String output() {
    return graph.outputs().getFirst();
  }

  /** GPT-2 small; the scalar is the sum of one logit of each row's last position. */
  static Subject gpt2(Engine engine, int rows, int length) {
    Draw draw = new Draw(320);
    Graph graph = Gpt2Small.whole(engine, Gpt2Small.model(), rows, length);
    Tensor ids = Tensor.allocate(Arena.ofAuto(), DType.I64, rows, length);
    int[] drawn = draw.ids(rows * length, Gpt2Small.VOCABULARY);
    for (int i = 0; i < drawn.length; i++) {
      ids.set(i, drawn[i]);
    }
    Tensor seed = Draw.all(0, rows, length, Gpt2Small.VOCABULARY);
    for (int r = 0; r < rows; r++) {
      long last = ((long) r * length + length - 1) * Gpt2Small.VOCABULARY;
      seed.set(last + drawn[r], 1);
    }
    String name = "gpt2-small %dx%d tokens".formatted(rows, length);
    return new Subject(name, graph, Map.of("input_ids", ids), "hook_embed", seed);
  }

  /**
   * ResNet-18 (He et al. 2015, arXiv 1512.03385, table 1) with its batch norms folded, as exporters
   * write it, on images of 3 x 224 x 224.
   */
  static Subject resnet18(int images) {
    ResNet net = new ResNet();
    net.b.input("images", Draw.f32(images, 3, 224, 224));
    String x = net.relu(net.conv("images", 3, 64, 7, 2));
    x = net.window("MaxPool", x, 3, 2);
    int in = 64;
    for (int stage = 0; stage < 4; stage++) {
      int out = 64 << stage;
      for (int block = 0; block < 2; block++) {
        int stride = stage > 0 && block == 0 ? 2 : 1;
        String y = net.relu(net.conv(x, in, out, 3, stride));
        y = net.conv(y, out, out, 3, 1);
        String shortcut = in == out ? x : net.conv(x, in, out, 1, stride);
        x = net.relu(net.op("Add", Map.of(), y, shortcut));
        in = out;
      }
    }
    x = net.op("Flatten", Map.of(), net.op("GlobalAveragePool", Map.of(), x));
    String head = net.weight(Math.sqrt(1.0 / in), in, 1000);
    String bias = net.weight(0, 1000);
    net.b.output(net.b.op("logits", "Gemm", Map.of(), x, head, bias));
    Tensor drawn = net.draw.floats(1, images, 3, 224, 224);
    Tensor seed = net.draw.floats(1, images, 1000);
    String name = "resnet-18 %d images".formatted(images);
    return new Subject(name, net.b.build(), Map.of("images", drawn), "images", seed);
  }

  private static final class ResNet extends Net {
    String conv(String x, int in, int out, int size, int stride) {
      String w = weight(Math.sqrt(1.0 / (in * size * size)), out, in, size, size);
      return op("Conv", sliding(size, stride), x, w, weight(0.01, out));
    }

    String window(String kind, String x, int size, int stride) {
      return op(kind, sliding(size, stride), x);
    }

    private static Map<String, Object> sliding(int size, int stride) {
      long pad = size / 2;
      return Map.of(
          "kernel_shape",
          List.of((long) size, (long) size),
          "strides",
          List.of((long) stride, (long) stride),
          "pads",
          List.of(pad, pad, pad, pad));
    }

    String relu(String x) {
      return op("Relu", Map.of(), x);
    }
  }

  /**
   * Llama's shape (Touvron et al. 2023, arXiv 2302.13971) as PyTorch's exporter writes it: RMSNorm,
   * rotary positions and SwiGLU in single operators. 8 layers of width 512, 8 heads, 1376 wide in
   * between, 32000 tokens; from the embedded tokens on.
   */
  static Subject llama(int rows, int length) {
    Llama net = new Llama(rows, length);
    net.b.input("embedded", Draw.f32(rows, length, Llama.WIDTH));
    String x = "embedded";
    for (int layer = 0; layer < 8; layer++) {
      x = net.op("Add", Map.of(), x, net.attention(net.norm(x)));
      x = net.op("Add", Map.of(), x, net.mlp(net.norm(x)));
    }
    String head = net.weight(0.02, Llama.WIDTH, Llama.VOCABULARY);
    net.b.output(net.b.op("logits", "MatMul", Map.of(), net.norm(x), head));
    Tensor drawn = net.draw.floats(1, rows, length, Llama.WIDTH);
    Tensor seed = net.draw.floats(1e-2, rows, length, Llama.VOCABULARY);
    String name = "llama-8x512 %dx%d tokens".formatted(rows, length);
    return new Subject(name, net.b.build(), Map.of("embedded", drawn), "embedded", seed);
  }

  private static final class Llama extends Net {
    static final int WIDTH = 512;
    static final int VOCABULARY = 32000;
    private static final int HEADS = 8;
    private static final int HEAD = WIDTH / HEADS;
    private static final int INNER = 1376;

    private final int rows;
    private final int length;
    private final String cos;
    private final String sin;
    private final String mask;

    Llama(int rows, int length) {
      this.rows = rows;
      this.length = length;
      Tensor c = Tensor.allocate(Arena.ofAuto(), DType.F32, length, HEAD);
      Tensor s = Tensor.allocate(Arena.ofAuto(), DType.F32, length, HEAD);
      Tensor m = Tensor.allocate(Arena.ofAuto(), DType.F32, length, length);
      for (int t = 0; t < length; t++) {
        for (int i = 0; i < HEAD; i++) {
          double angle = t * Math.pow(10000, -2.0 * (i % (HEAD / 2)) / HEAD);
          c.set((long) t * HEAD + i, Math.cos(angle));
          s.set((long) t * HEAD + i, Math.sin(angle));
        }
        for (int k = t + 1; k < length; k++) {
          m.set((long) t * length + k, Float.NEGATIVE_INFINITY);
        }
      }
      cos = b.constant("cos", c);
      sin = b.constant("sin", s);
      mask = b.constant("mask", m);
    }

    String norm(String x) {
      String square = op("Pow", Map.of(), x, real(2));
      Map<String, Object> last = Map.of("axes", List.of(-1L), "keepdims", 1L);
      String mean = op("Add", Map.of(), op("ReduceMean", last, square), real(1e-5));
      String inverse = op("Reciprocal", Map.of(), op("Sqrt", Map.of(), mean));
      return op("Mul", Map.of(), b.constant(b.fresh("w"), Draw.all(1, WIDTH)), mul(x, inverse));
    }

    String attention(String x) {
      String q = rotated(heads(linear(x, WIDTH, WIDTH)));
      String k = rotated(heads(linear(x, WIDTH, WIDTH)));
      String v = heads(linear(x, WIDTH, WIDTH));
      String turned = op("Transpose", Map.of("perm", List.of(0L, 1L, 3L, 2L)), k);
      String scores = mul(op("MatMul", Map.of(), q, turned), real(1 / Math.sqrt(HEAD)));
      String seen = op("Add", Map.of(), scores, mask);
      String pattern = op("Softmax", Map.of("axis", -1L), seen);
      String z = op("MatMul", Map.of(), pattern, v);
      String back = op("Transpose", Map.of("perm", List.of(0L, 2L, 1L, 3L)), z);
      String flat = op("Reshape", Map.of(), back, longs(rows, length, WIDTH));
      return linear(flat, WIDTH, WIDTH);
    }

    String mlp(String x) {
      String gate = linear(x, WIDTH, INNER);
      String silu = mul(gate, op("Sigmoid", Map.of(), gate));
      return linear(mul(silu, linear(x, WIDTH, INNER)), INNER, WIDTH);
    }

    private String heads(String x) {
      String apart = op("Reshape", Map.of(), x, longs(rows, length, HEADS, HEAD));
      return op("Transpose", Map.of("perm", List.of(0L, 2L, 1L, 3L)), apart);
    }

    private String rotated(String x) {
      String first = op("Slice", Map.of(), x, longs(0), longs(HEAD / 2), longs(3));
      String second = op("Slice", Map.of(), x, longs(HEAD / 2), longs(HEAD), longs(3));
      String minus = op("Neg", Map.of(), second);
      String half = op("Concat", Map.of("axis", 3L), minus, first);
      return op("Add", Map.of(), mul(x, cos), mul(half, sin));
    }

    private String linear(String x, int in, int out) {
      return op("MatMul", Map.of(), x, weight(0.02, in, out));
    }

    private String mul(String x, String y) {
      return op("Mul", Map.of(), x, y);
    }
  }

  /** A graph with random weights under construction. */
  private static class Net {
    final Draw draw = new Draw(18);
    final Graph.Builder b = Graph.builder("subject").opset("", 17);

    String weight(double deviation, long... shape) {
      return b.constant(b.fresh("w"), draw.floats(deviation, shape));
    }

    String real(double x) {
      return shared("real " + x, Draw.all(x));
    }

    String longs(long... x) {
      return shared("longs " + Arrays.toString(x), Tensor.ofLongs(x, x.length));
    }

    private String shared(String name, Tensor t) {
      return b.has(name) ? name : b.constant(name, t);
    }

    String op(String op, Map<String, Object> attributes, String... inputs) {
      return b.op(b.fresh(op), op, attributes, inputs);
    }
  }

  /** All float weights that are matrices, vectors or more. */
  List<String> weights() {
    List<String> names = new ArrayList<>();
    graph
        .constants()
        .forEach(
            (name, t) -> {
              if (t.dtype() == DType.F32 && t.rank() > 0) {
                names.add(name);
              }
            });
    return names;
  }
}
