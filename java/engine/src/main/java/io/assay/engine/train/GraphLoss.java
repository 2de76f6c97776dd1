package io.assay.engine.train;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The loss of an {@link Objective} with its derived gradient, compiled once with the weights as
 * inputs; a step copies nothing but its batch.
 */
final class GraphLoss implements Loss {
  private final Engine engine;
  private final Objective objective;
  private final Data data;
  private final Map<String, Tensor> weights;
  private final Map<String, Tensor> batch = new LinkedHashMap<>();
  private final Tensor loss;
  private final Session session;
  private final Binding binding;

  /** The loss without a gradient, for {@link #evaluate}; null until then. */
  private Session lossSession;

  private Binding lossBinding;

  GraphLoss(
      Engine engine,
      Objective objective,
      Data data,
      Map<String, Tensor> weights,
      Map<String, Tensor> gradients) {
    this.engine = engine;
    this.objective = objective;
    this.data = data;
    this.weights = weights;
    Graph open = lossGraph();
    String seed = objective.loss() + ".seed";
    Gradient gradient = open.differentiate(Map.of(objective.loss(), seed), objective.weights());
    for (String input : open.inputs()) {
      if (!weights.containsKey(input)) {
        batch.put(input, allocate(open, input));
      }
    }
    this.loss = allocate(open, objective.loss());
    Map<String, Tensor> inputs = new LinkedHashMap<>(weights);
    inputs.putAll(batch);
    Tensor one = Tensor.allocate(Arena.ofAuto(), loss.dtype(), loss.shape());
    one.set(0, 1);
    inputs.put(seed, one);
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    outputs.put(objective.loss(), loss);
    gradient.gradients().forEach((weight, name) -> outputs.put(name, gradients.get(weight)));
    this.session = compile(gradient.graph());
    this.binding = session.bind(inputs, outputs);
  }

  private static Tensor allocate(Graph graph, String value) {
    return Tensor.allocate(Arena.ofAuto(), graph.type(value).dtype(), graph.type(value).shape());
  }

  /** Training takes long and shares its machine: threads that wait give their core back. */
  private Session compile(Graph graph) {
    return engine.compile(graph, options -> options.withSpin(false));
  }

  /** The computation of the loss, with the weights as inputs. */
  private Graph lossGraph() {
    return objective.graph().slice(objective.weights(), List.of(objective.loss()));
  }

  @Override
  public long items() {
    return objective.items();
  }

  /**
   * @throws InputException if the data hold a token that the model does not have
   */
  @Override
  public double gradients(long step) {
    data.fill(step, batch);
    objective.requireTokens(step, batch);
    binding.run();
    return loss.get(0);
  }

  /**
   * Mean loss of the present weights over batches 0 to {@code batches - 1} of some data.
   *
   * @throws InputException if {@code batches} is below 1, or the data hold a token that the model
   *     does not have
   */
  double evaluate(Data held, long batches) {
    if (batches < 1) {
      throw new InputException("batches is " + batches + "; at least 1 is needed");
    }
    if (lossSession == null) {
      Map<String, Tensor> inputs = new LinkedHashMap<>(weights);
      inputs.putAll(batch);
      lossSession = compile(lossGraph());
      lossBinding = lossSession.bind(inputs, Map.of(objective.loss(), loss));
    }
    double sum = 0;
    for (long n = 0; n < batches; n++) {
      held.fill(n, batch);
      objective.requireTokens(n, batch);
      lossBinding.run();
      sum += loss.get(0);
    }
    return sum / batches;
  }

  @Override
  public void close() {
    binding.close();
    session.close();
    if (lossSession != null) {
      lossBinding.close();
      lossSession.close();
    }
  }
}
