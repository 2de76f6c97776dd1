package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Forward and gradient of a model in one pass; the other way is the forward pass alone, so that the
 * ratio says what a gradient costs.
 */
public final class GradientQuestion implements Question {
  private static final String SEED = "seed";

  private final Engine engine;
  private final Subject subject;
  private final boolean weights;
  private final Tensor found;
  private final double operations;
  private final Session whole;
  private final Session forward;
  private final Binding wholeBinding;
  private final Binding forwardBinding;

  private GradientQuestion(Engine engine, Subject subject, boolean weights) {
    this.engine = engine;
    this.subject = subject;
    this.weights = weights;
    Graph graph = subject.graph().specialise(Map.of(), engine.evaluator());
    List<String> wrt = new ArrayList<>(List.of(subject.at()));
    if (weights) {
      wrt.addAll(subject.weights());
    }
    Gradient gradient = graph.differentiate(Map.of(subject.output(), SEED), wrt);
    operations = gradient.graph().operations();
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    outputs.put(subject.output(), like(graph, subject.output()));
    gradient.gradients().forEach((value, name) -> outputs.put(name, like(graph, value)));
    found = outputs.get(gradient.gradients().get(subject.at()));
    Map<String, Tensor> inputs = new LinkedHashMap<>(subject.inputs());
    whole = engine.compile(gradient.graph());
    forward = engine.compile(graph);
    forwardBinding = forward.bind(inputs, Map.of(subject.output(), like(graph, subject.output())));
    inputs.put(SEED, subject.seed());
    wholeBinding = whole.bind(inputs, outputs);
  }

  /**
   * GPT-2 small.
   *
   * @param weights gradients of all weights and of the inputs, instead of the inputs' alone
   */
  public static GradientQuestion gpt2(Engine engine, int rows, int length, boolean weights) {
    return new GradientQuestion(engine, Subject.gpt2(engine, rows, length), weights);
  }

  /** ResNet-18; see {@link #gpt2}. */
  public static GradientQuestion resnet18(Engine engine, int images, boolean weights) {
    return new GradientQuestion(engine, Subject.resnet18(images), weights);
  }

  /** Llama with 8 layers of width 512; see {@link #gpt2}. */
  public static GradientQuestion llama(Engine engine, int rows, int length, boolean weights) {
    return new GradientQuestion(engine, Subject.llama(rows, length), weights);
  }

  private static Tensor like(Graph graph, String value) {
    return Tensor.allocate(Arena.ofAuto(), DType.F32, graph.type(value).shape());
  }

  @Override
  public String name() {
    return "gradient";
  }

  @Override
  public String shape() {
    return subject.name() + ", " + (weights ? "all weights" : "inputs");
  }

  @Override
  public String baseline() {
    return "the forward pass alone";
  }

  @Override
  public Cost cost() {
    return new Cost(operations, 0);
  }

  @Override
  public Cost baselineCost() {
    return new Cost(forward.operations(), 0);
  }

  @Override
  public void ours() {
    wholeBinding.run();
  }

  @Override
  public void other() {
    forwardBinding.run();
  }

  @Override
  public int runs() {
    return 5;
  }

  /**
   * The gradient along a direction against the central difference of forward passes. In float32
   * such a difference is right to some 1e-3 of itself.
   */
  @Override
  public void check() {
    ours();
    Graph graph = subject.graph().specialise(Map.of(), engine.evaluator());
    Tensor at;
    try (Session session = engine.compile(graph.slice(graph.inputs(), List.of(subject.at())))) {
      at = session.run(subject.inputs()).get(subject.at());
    }
    Tensor random = new Draw(5).floats(1, at.shape());
    Tensor direction = Tensor.allocate(Arena.ofAuto(), DType.F32, at.shape());
    double own = length(found);
    double other = length(random);
    double wanted = 0;
    for (long i = 0; i < direction.elements(); i++) {
      direction.set(i, found.get(i) / own + random.get(i) / other);
      wanted += found.get(i) * direction.get(i);
    }
    double difference;
    double step = 1e-4 * length(at);
    Graph rest = graph.slice(List.of(subject.at()), graph.outputs());
    try (Session session = engine.compile(rest)) {
      difference =
          (objective(session, at, direction, step) - objective(session, at, direction, -step))
              / (2 * step);
    }
    if (!(Math.abs(wanted - difference) <= 0.02 * Math.abs(difference))) {
      throw new IllegalStateException(
          "%s %s: the gradient along a direction is %.6g, the difference quotient %.6g"
              .formatted(name(), shape(), wanted, difference));
    }
  }

  private static double length(Tensor t) {
    double sum = 0;
    for (long i = 0; i < t.elements(); i++) {
      sum += t.get(i) * t.get(i);
    }
    return Math.sqrt(sum);
  }

  private double objective(Session session, Tensor at, Tensor direction, double step) {
    Tensor moved = Tensor.allocate(Arena.ofAuto(), DType.F32, at.shape());
    for (long i = 0; i < direction.elements(); i++) {
      moved.set(i, at.get(i) + step * direction.get(i));
    }
    Tensor output = session.run(Map.of(subject.at(), moved)).get(subject.output());
    double sum = 0;
    for (long i = 0; i < output.elements(); i++) {
      sum += output.get(i) * subject.seed().get(i);
    }
    return sum;
  }

  @Override
  public void close() {
    wholeBinding.close();
    forwardBinding.close();
    whole.close();
    forward.close();
  }
}
