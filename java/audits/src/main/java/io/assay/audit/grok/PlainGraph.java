package io.assay.audit.grok;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.Data;
import io.assay.engine.train.Objective;
import io.assay.engine.train.Trainer;
import java.util.List;
import java.util.Map;

/**
 * The network as the official code computes it: all three positions through everything, as a graph
 * whose gradient the engine derives. It is what the kernel is measured by, in bits and in time.
 */
public final class PlainGraph {
  /** Logits at the last position [N, outputs]. */
  public static final String LOGITS = "logits";

  private static final String LOSS = "loss";
  private static final int LENGTH = GrokShape.LENGTH;

  private PlainGraph() {}

  /**
   * Mean cross-entropy over the task's training pairs, ascending, by float64 softmax.
   *
   * @param model weights, which become constants of the graph
   */
  public static Objective objective(Engine engine, GrokModel model, GrokTask task) {
    int[] pairs = task.trainPairs();
    long n = pairs.length;
    GrokShape s = model.shape();
    float[] tokens = new float[pairs.length * LENGTH * s.tokens()];
    long[] labels = new long[pairs.length];
    for (int i = 0; i < pairs.length; i++) {
      int[] ids = {pairs[i] / s.p(), pairs[i] % s.p(), s.p()};
      for (int at = 0; at < LENGTH; at++) {
        tokens[(LENGTH * i + at) * s.tokens() + ids[at]] = 1;
      }
      labels[i] = task.labels().of(pairs[i]);
    }
    Graph.Builder b = Graph.builder("grok").opset("", 17);
    model.weights().forEach(b::constant);
    // Not a Gather: the runtime adds the rows of its gradient on several threads, and where
    // thousands go to one row it loses some.
    b.constant("tokens", Tensor.ofFloats(tokens, n * LENGTH, s.tokens()));
    b.constant("labels", Tensor.ofLongs(labels, n, 1));
    b.op("rows", "Gemm", Map.of("transB", 1L), "tokens", GrokShape.EMBEDDING);
    reshape(b, "by position", "rows", n, LENGTH, s.width());
    b.op("embedded", "Add", Map.of(), "by position", GrokShape.POSITIONS);
    reshape(b, "x", "embedded", n * LENGTH, s.width());
    List<Long> byHead = List.of(0L, 2L, 1L, 3L);
    heads(b, s, "queries", GrokShape.QUERIES, byHead);
    heads(b, s, "keys", GrokShape.KEYS, List.of(0L, 2L, 3L, 1L));
    heads(b, s, "values", GrokShape.VALUES, byHead);
    b.op("products", "MatMul", Map.of(), "queries", "keys");
    b.constant("scale", Tensor.scalar(DType.F32, 1 / Math.sqrt(s.headWidth())));
    b.op("scaled", "Mul", Map.of(), "products", "scale");
    b.constant("causal", causal());
    b.op("scores", "Add", Map.of(), "scaled", "causal");
    b.op("pattern", "Softmax", Map.of("axis", 3L), "scores");
    b.op("mixed", "MatMul", Map.of(), "pattern", "values");
    b.op("side by side", "Transpose", Map.of("perm", List.of(0L, 2L, 1L, 3L)), "mixed");
    reshape(b, "z", "side by side", n * LENGTH, (long) s.heads() * s.headWidth());
    linear(b, "attended", "z", GrokShape.ATTENTION_OUT, null);
    b.op("middle", "Add", Map.of(), "x", "attended");
    linear(
        b, "before", "middle", GrokShape.NEURONS_IN, s.mlpBias() ? GrokShape.NEURONS_BIAS : null);
    b.op("neurons", "Relu", Map.of(), "before");
    linear(b, "added", "neurons", GrokShape.NEURONS_OUT, s.mlpBias() ? GrokShape.OUT_BIAS : null);
    b.op("end", "Add", Map.of(), "middle", "added");
    b.op("every logit", "MatMul", Map.of(), "end", GrokShape.UNEMBEDDING);
    reshape(b, "by pair", "every logit", n, LENGTH, s.outputClasses());
    // Neither a Gather, which is scattered back an element at a time.
    b.constant("last", Tensor.ofLongs(new long[] {LENGTH - 1}, 1));
    b.constant("behind it", Tensor.ofLongs(new long[] {LENGTH}, 1));
    b.constant("axis of positions", Tensor.ofLongs(new long[] {1}, 1));
    b.op("at last", "Slice", Map.of(), "by pair", "last", "behind it", "axis of positions");
    reshape(b, LOGITS, "at last", n, s.outputClasses());
    b.op("wide", "Cast", Map.of("to", 11L), LOGITS);
    b.op("log probabilities", "LogSoftmax", Map.of("axis", 1L), "wide");
    b.op("picked", "GatherElements", Map.of("axis", 1L), "log probabilities", "labels");
    b.op("mean", "ReduceMean", Map.of("keepdims", 0L), "picked");
    b.op("wide loss", "Neg", Map.of(), "mean");
    b.op(LOSS, "Cast", Map.of("to", 1L), "wide loss");
    Graph graph = b.output(LOSS).build().specialise(Map.of(), engine.evaluator());
    return new Objective(graph, LOSS, List.copyOf(s.weightShapes().keySet()), n);
  }

  /** A trainer of the network on the training pairs, by this graph. */
  public static Trainer trainer(Engine engine, GrokSpec spec, GrokModel initial) {
    Data none = (batch, inputs) -> {};
    return Trainer.open(engine, objective(engine, initial, spec.task()), spec.training(), none);
  }

  /** [n 3, in] times W [out, in] transposed, and a bias. */
  private static void linear(Graph.Builder b, String value, String in, String weight, String bias) {
    if (bias == null) {
      b.op(value, "Gemm", Map.of("transB", 1L), in, weight);
    } else {
      b.op(value, "Gemm", Map.of("transB", 1L), in, weight, bias);
    }
  }

  /** x by one of the attention's weights [H, d_h, D]: [n, 3, H, d_h], its axes permuted. */
  private static void heads(
      Graph.Builder b, GrokShape s, String value, String weight, List<Long> perm) {
    reshape(b, value + " weight", weight, (long) s.heads() * s.headWidth(), s.width());
    linear(b, value + " rows", "x", value + " weight", null);
    reshape(b, value + " by head", value + " rows", -1, LENGTH, s.heads(), s.headWidth());
    b.op(value, "Transpose", Map.of("perm", perm), value + " by head");
  }

  private static void reshape(Graph.Builder b, String value, String of, long... shape) {
    b.constant(value + " shape", Tensor.ofLongs(shape, shape.length));
    b.op(value, "Reshape", Map.of(), of, value + " shape");
  }

  private static Tensor causal() {
    float[] mask = new float[LENGTH * LENGTH];
    for (int i = 0; i < mask.length; i++) {
      mask[i] = i % LENGTH > i / LENGTH ? -1e10f : 0;
    }
    return Tensor.ofFloats(mask, LENGTH, LENGTH);
  }
}
