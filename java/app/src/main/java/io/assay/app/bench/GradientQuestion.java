package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Forward and gradient of GPT-2 small's shape in one pass; the other way is the forward pass alone,
 * so that the ratio says what a gradient costs.
 */
public final class GradientQuestion implements Question {
  private static final String EMBED = "hook_embed";

  private final Engine engine;
  private final int rows;
  private final int length;
  private final boolean weights;
  private final Tensor ids;
  private final Tensor seed;
  private final Map<String, Tensor> outputs = new LinkedHashMap<>();
  private final String embedGradient;
  private final double operations;
  private final double forwardOperations;
  private final Session whole;
  private final Session forward;
  private final Binding wholeBinding;
  private final Binding forwardBinding;

  /**
   * Sets the question up.
   *
   * @param weights gradients of all weights and of the inputs, instead of the inputs' alone
   */
  public GradientQuestion(Engine engine, int rows, int length, boolean weights) {
    this.engine = engine;
    this.rows = rows;
    this.length = length;
    this.weights = weights;
    Draw draw = new Draw(320);
    Graph graph = Gpt2Small.whole(engine, Gpt2Small.model(), rows, length);
    ids = Tensor.allocate(Arena.ofAuto(), DType.I64, rows, length);
    int[] drawn = draw.ids(rows * length, Gpt2Small.VOCABULARY);
    for (int i = 0; i < drawn.length; i++) {
      ids.set(i, drawn[i]);
    }
    seed = Draw.all(0, rows, length, Gpt2Small.VOCABULARY);
    for (int r = 0; r < rows; r++) {
      long last = ((long) r * length + length - 1) * Gpt2Small.VOCABULARY;
      seed.set(last + drawn[r], 1);
    }
    List<String> wrt = new ArrayList<>(List.of(EMBED));
    if (weights) {
      graph
          .constants()
          .forEach(
              (name, t) -> {
                if (t.dtype() == DType.F32 && t.rank() > 0) {
                  wrt.add(name);
                }
              });
    }
    Gradient gradient = graph.differentiate(Map.of("logits", "seed"), wrt);
    embedGradient = gradient.gradients().get(EMBED);
    operations = gradient.graph().operations();
    forwardOperations = graph.operations();
    outputs.put("logits", Draw.all(0, rows, length, Gpt2Small.VOCABULARY));
    for (String value : wrt) {
      long[] shape = graph.type(value).shape();
      outputs.put(
          gradient.gradients().get(value), Tensor.allocate(Arena.ofAuto(), DType.F32, shape));
    }
    whole = engine.compile(gradient.graph());
    forward = engine.compile(graph);
    wholeBinding = whole.bind(Map.of("input_ids", ids, "seed", seed), outputs);
    forwardBinding =
        forward.bind(
            Map.of("input_ids", ids),
            Map.of("logits", Draw.all(0, rows, length, Gpt2Small.VOCABULARY)));
  }

  @Override
  public String name() {
    return "gradient";
  }

  @Override
  public String shape() {
    return "gpt2-small %dx%d tokens, %s"
        .formatted(rows, length, weights ? "all weights" : "inputs");
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
    return new Cost(forwardOperations, 0);
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
   * The gradient along a direction of the position table against the central difference of forward
   * passes. In float32 a difference of sums of 64 logits is right to some 1e-3 of itself.
   */
  @Override
  public void check() {
    ours();
    Tensor found = outputs.get(embedGradient);
    Tensor positions = Gpt2Small.weight("wpe.weight");
    Draw draw = new Draw(5);
    Tensor direction = draw.floats(1, length, Gpt2Small.WIDTH);
    double wanted = 0;
    for (int r = 0; r < rows; r++) {
      for (long i = 0; i < direction.elements(); i++) {
        wanted += found.get(r * direction.elements() + i) * direction.get(i);
      }
    }
    double step = 2e-4;
    double difference =
        (objective(positions, direction, step) - objective(positions, direction, -step))
            / (2 * step);
    if (!(Math.abs(wanted - difference) <= 0.02 * Math.abs(difference))) {
      throw new IllegalStateException(
          "%s %s: the gradient along a direction is %.6g, the difference quotient %.6g"
              .formatted(name(), shape(), wanted, difference));
    }
  }

  private double objective(Tensor positions, Tensor direction, double step) {
    Tensor moved = Tensor.allocate(Arena.ofAuto(), DType.F32, positions.shape());
    MemorySegment.copy(positions.data(), 0, moved.data(), 0, positions.data().byteSize());
    for (long i = 0; i < direction.elements(); i++) {
      moved.set(i, positions.get(i) + step * direction.get(i));
    }
    Graph graph = Gpt2Small.whole(engine, Gpt2Small.model(moved), rows, length);
    double sum = 0;
    try (Session session = engine.compile(graph)) {
      Tensor logits = session.run(Map.of("input_ids", ids)).get("logits");
      for (int r = 0; r < rows; r++) {
        long last = ((long) r * length + length - 1) * Gpt2Small.VOCABULARY;
        sum += logits.get(last + ids.getLong(r));
      }
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
