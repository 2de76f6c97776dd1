package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;

/** A bigram model as a graph: a row of the embedding, and its products with the head. */
final class TableGraph {
  private static final String EMBED = "hook_embed";

  private TableGraph() {}

  /** Token ids [batch, sequence] to logits. */
  static Graph whole(Decoder.Table model) {
    TensorType ids =
        new TensorType(DType.I64, List.of(Dim.symbol("batch"), Dim.symbol("sequence")));
    Graph.Builder b = body(model, ids);
    long width = model.embedding().dim(1);
    String head =
        model.head() == model.embedding() ? "embedding" : b.constant("head", model.head());
    b.op("rows", "Reshape", Map.of(), EMBED, vector(b, "row shape", -1, width));
    b.op("flat", "Gemm", Map.of("transB", 1L), "rows", head);
    b.op("id shape", "Shape", Map.of(), Gpt2Graph.INPUT);
    b.op(
        "shape",
        "Concat",
        Map.of("axis", 0L),
        "id shape",
        vector(b, "vocabulary", model.head().dim(0)));
    return b.output(b.op(Gpt2Graph.LOGITS, "Reshape", Map.of(), "flat", "shape")).build();
  }

  /** Token ids [rows, length] to hidden rows. */
  static Graph suffix(Decoder.Table model, long rows, long length) {
    Graph.Builder b = body(model, TensorType.of(DType.I64, rows, length));
    return b.output(b.op(Gpt2Graph.HIDDEN, "Identity", Map.of(), EMBED)).build();
  }

  private static Graph.Builder body(Decoder.Table model, TensorType ids) {
    Graph.Builder b = Graph.builder(model.name()).opset("", 17).input(Gpt2Graph.INPUT, ids);
    b.op(EMBED, "Gather", Map.of(), b.constant("embedding", model.embedding()), Gpt2Graph.INPUT);
    return b;
  }

  private static String vector(Graph.Builder b, String name, long... values) {
    return b.constant(name, Tensor.ofLongs(values, values.length));
  }
}
