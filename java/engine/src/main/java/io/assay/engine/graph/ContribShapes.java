package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.Arrays;
import java.util.List;

/** Shape rules of the fused operators that exporters and the runtime's optimiser write. */
final class ContribShapes {
  private ContribShapes() {}

  static void register(LayoutShapes.Table table) {
    table.rule(
        o -> List.of(o.type(0)),
        "com.microsoft.Gelu",
        "com.microsoft.FastGelu",
        "com.microsoft.QuickGelu",
        "com.microsoft.BiasGelu",
        "com.microsoft.RotaryEmbedding");
    table.rule(
        ContribShapes::skipLayerNormalization,
        "com.microsoft.SkipLayerNormalization",
        "com.microsoft.SkipSimplifiedLayerNormalization");
    table.rule(ContribShapes::embedLayerNormalization, "com.microsoft.EmbedLayerNormalization");
    table.rule(ContribShapes::attention, "Attention");
    table.rule(ContribShapes::multiHead, "com.microsoft.MultiHeadAttention");
    table.rule(ContribShapes::packedAttention, "com.microsoft.Attention");
  }

  /** The normalised sum, its mean and deviation, and the sum itself. */
  private static List<TensorType> skipLayerNormalization(Operands o) {
    long[] rows = o.shape(0);
    rows[rows.length - 1] = 1;
    TensorType statistics = TensorType.of(o.dtype(0), rows);
    return List.of(o.type(0), statistics, statistics, o.type(0));
  }

  /** The normalised sum, the mask's lengths, the sum itself. */
  private static List<TensorType> embedLayerNormalization(Operands o) {
    long[] ids = o.shape(0);
    TensorType sum = TensorType.of(o.dtype(2), ids[0], ids[1], o.shape(2)[1]);
    return List.of(sum, TensorType.of(DType.I32, ids[0]), sum);
  }

  /** ONNX, Attention: the mixed values, all keys, all values, the scores. */
  private static List<TensorType> attention(Operands o) {
    long[] q = o.shape(0);
    long[] k = o.shape(1);
    long[] v = o.shape(2);
    boolean flat = q.length == 3;
    long heads = flat ? o.node().integer("q_num_heads", 1) : q[1];
    long shared = flat ? o.node().integer("kv_num_heads", 1) : k[1];
    long past = o.has(4) ? o.shape(4)[2] : 0;
    long queries = q[q.length - 2];
    long keys = k[k.length - 2] + past;
    long keyWidth = flat ? k[2] / shared : k[3];
    long width = flat ? v[2] / shared : v[3];
    return List.of(
        flat
            ? TensorType.of(o.dtype(0), q[0], queries, heads * width)
            : TensorType.of(o.dtype(0), q[0], heads, queries, width),
        TensorType.of(o.dtype(1), q[0], shared, keys, keyWidth),
        TensorType.of(o.dtype(2), q[0], shared, keys, width),
        TensorType.of(o.dtype(0), q[0], heads, queries, keys));
  }

  private static List<TensorType> multiHead(Operands o) {
    if (!o.has(1) || !o.has(2) || o.rank(0) != 3 || o.rank(2) != 3) {
      throw o.wrong("has packed keys or values, whose shapes Assay cannot infer");
    }
    long[] out = o.shape(0);
    out[2] = o.shape(2)[2];
    return o.one(o.dtype(0), out);
  }

  private static List<TensorType> packedAttention(Operands o) {
    long[] out = o.shape(0);
    long[] sizes = o.node().integers("qkv_hidden_sizes");
    out[2] = sizes == null ? o.shape(1)[1] / 3 : sizes[2];
    if (o.node().outputs().stream().filter(v -> !v.isEmpty()).count() > 1) {
      throw o.wrong("puts out its keys and values, " + Arrays.toString(out) + " is known alone");
    }
    return o.one(o.dtype(0), out);
  }
}
