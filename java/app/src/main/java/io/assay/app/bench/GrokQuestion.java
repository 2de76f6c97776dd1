package io.assay.app.bench;

import io.assay.audit.grok.GrokModel;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokTask;
import io.assay.audit.grok.PlainGraph;
import io.assay.engine.Engine;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.kernel.GrokPairs;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.Objective;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Losses and gradients of the published grokking run's 3830 training pairs; the other way is the
 * graph of all three positions with its derived gradient.
 */
public final class GrokQuestion implements Question {
  private static final int P = 113;

  /**
   * Of the first weights: the published run's. With others a neuron can be so near to 0 for some
   * pair that float32 takes it for the other side (seed 1: 467), which no bound on roundings
   * covers.
   */
  private static final long SEED = 0;

  private final Kernels kernels;
  private final GrokModel model = GrokModel.initial(GrokShape.of(P), SEED);
  private final GrokTask task = GrokTask.addition(P, 0.3, 0);
  private final int count = task.trainCount();
  private final Map<String, Tensor> mine = new LinkedHashMap<>();
  private final Map<String, Tensor> theirs = new LinkedHashMap<>();
  private final GrokPairs pairs;
  private final double plainOperations;
  private final Session session;
  private final Binding binding;

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   */
  public GrokQuestion(Engine engine, Kernels kernels) {
    this.kernels = kernels;
    int[] chosen = task.trainPairs();
    int[] first = new int[count];
    int[] second = new int[count];
    int[] labels = new int[count];
    for (int i = 0; i < count; i++) {
      first[i] = chosen[i] / P;
      second[i] = chosen[i] % P;
      labels[i] = task.labels().of(chosen[i]);
    }
    model.weights().forEach((name, t) -> mine.put(name, Draw.all(0, t.shape())));
    Tensor losses = Tensor.ofDoubles(new double[count], count);
    pairs =
        new GrokPairs(
            GrokModel.forKernel(model.weights()),
            GrokModel.forKernel(mine),
            Draw.segment(first),
            Draw.segment(second),
            Draw.segment(labels),
            losses.data(),
            Draw.segment(new int[count]));
    Objective objective = PlainGraph.objective(engine, model, task);
    Gradient gradient = gradient(objective);
    plainOperations = gradient.graph().operations();
    session = engine.compile(gradient.graph());
    Map<String, Tensor> inputs = new LinkedHashMap<>(model.weights());
    inputs.put("seed", Tensor.scalar(DType.F32, 1));
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    outputs.put(objective.loss(), Tensor.scalar(DType.F32, 0));
    gradient
        .gradients()
        .forEach(
            (weight, value) -> {
              theirs.put(weight, Draw.all(0, model.weight(weight).shape()));
              outputs.put(value, theirs.get(weight));
            });
    binding = session.bind(inputs, outputs);
  }

  /** Of the loss by all weights, times the input "seed". */
  static Gradient gradient(Objective objective) {
    Graph open = objective.graph().slice(objective.weights(), List.of(objective.loss()));
    return open.differentiate(Map.of(objective.loss(), "seed"), objective.weights());
  }

  @Override
  public String name() {
    return "grok";
  }

  @Override
  public String shape() {
    return "p=%d, %d pairs, losses and gradients, %s".formatted(P, count, kernels.tier());
  }

  @Override
  public String baseline() {
    return "ONNX Runtime, all three positions";
  }

  @Override
  public Cost cost() {
    return EpochQuestion.collapsed(model.shape(), count);
  }

  @Override
  public Cost baselineCost() {
    return new Cost(plainOperations, 0);
  }

  @Override
  public void ours() {
    kernels.grok(pairs);
  }

  @Override
  public void other() {
    binding.run();
  }

  /** Pair by pair in plain Java, in float64: the gradients of the mean loss. */
  public Map<String, double[]> naive() {
    NaiveGrok naive = new NaiveGrok(model);
    for (int pair : task.trainPairs()) {
      naive.add(pair / P, pair % P, task.labels().of(pair), 1.0 / count);
    }
    return naive.gradients();
  }

  @Override
  public void check() {
    ours();
    other();
    naive()
        .forEach(
            (name, wanted) -> {
              require(name, wanted, mine.get(name));
              require("graph's " + name, wanted, theirs.get(name));
            });
  }

  /** Relative to the length of a weight's gradient. */
  private void require(String what, double[] wanted, Tensor got) {
    double difference = 0;
    double length = 0;
    for (int i = 0; i < wanted.length; i++) {
      difference += Math.pow(wanted[i] - got.get(i), 2);
      length += Math.pow(wanted[i], 2);
    }
    if (!(Math.sqrt(difference / length) <= 1e-5)) {
      throw new IllegalStateException(
          "%s %s: the gradient of %s is off by %.3g of its length"
              .formatted(name(), shape(), what, Math.sqrt(difference / length)));
    }
  }

  @Override
  public void close() {
    binding.close();
    session.close();
  }
}
