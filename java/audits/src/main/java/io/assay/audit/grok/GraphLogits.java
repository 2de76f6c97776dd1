package io.assay.audit.grok;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Logits of all pairs by an ONNX graph, whatever is inside. Its one input are whole numbers [N,3],
 * rows (a, b, p) with p for "="; its output {@code logits} is [N,p] or [N,p+1], or has a place
 * more, of which the last counts: [N,3,p] or [N,3,p+1].
 */
final class GraphLogits {
  private static final String LOGITS = "logits";

  private GraphLogits() {}

  /**
   * The modulus: the number of classes, or one less where that is even.
   *
   * @throws InputException if the file is no such graph
   */
  static int modulus(Path file) {
    return modulus(read(file));
  }

  /**
   * @throws InputException if the file is no such graph, or gives logits that are not finite
   */
  static Logits of(Engine engine, Path file) {
    Graph graph = read(file);
    int p = modulus(graph);
    String input = graph.inputs().getFirst();
    long pairs = (long) p * p;
    Tensor ids =
        Tensor.allocate(Arena.ofAuto(), graph.type(input).dtype(), pairs, GrokShape.LENGTH);
    for (int i = 0; i < pairs; i++) {
      ids.set(3L * i, i / p);
      ids.set(3L * i + 1, i % p);
      ids.set(3L * i + 2, p);
    }
    Graph all = graph.specialise(Map.of(input, ids.shape()), engine.evaluator());
    try (Session session = engine.compile(all)) {
      Tensor logits = session.run(Map.of(input, ids)).get(LOGITS);
      return Logits.of(p, logits.rank() == 3 ? last(logits) : logits);
    }
  }

  private static Graph read(Path file) {
    Graph graph = Graph.read(file).widened();
    if (!graph.outputs().contains(LOGITS)) {
      throw new InputException(
          "%s has the outputs %s; name the one of all classes '%s'"
              .formatted(file, graph.outputs(), LOGITS));
    }
    Graph sliced = graph.slice(graph.inputs(), List.of(LOGITS));
    if (sliced.inputs().size() != 1 || !isIds(sliced.type(sliced.inputs().getFirst()))) {
      throw new InputException(
          "%s has the inputs %s; one of whole numbers [N,3] is needed, with a, b and \"=\""
              .formatted(file, sliced.inputs()));
    }
    return sliced;
  }

  private static boolean isIds(TensorType type) {
    return (type.dtype() == DType.I64 || type.dtype() == DType.I32) && type.dims().size() == 2;
  }

  private static int modulus(Graph graph) {
    TensorType type = graph.type(LOGITS);
    Dim classes = type == null || type.dims().isEmpty() ? Dim.symbol("?") : type.dims().getLast();
    if (!classes.isKnown()) {
      throw new InputException(
          graph.name() + " does not say how many classes its logits have; export it with that");
    }
    int odd = Math.toIntExact(classes.size() - 1 + classes.size() % 2);
    GrokShape.requireModulus(odd);
    return odd;
  }

  /** The last place of each row. */
  private static Tensor last(Tensor logits) {
    int places = Math.toIntExact(logits.dim(1));
    int classes = Math.toIntExact(logits.dim(2));
    double[] all = logits.toDoubles();
    double[] rows = new double[all.length / places];
    for (int i = 0; i < rows.length / classes; i++) {
      System.arraycopy(all, ((i + 1) * places - 1) * classes, rows, i * classes, classes);
    }
    return Tensor.ofDoubles(rows, logits.dim(0), classes);
  }
}
