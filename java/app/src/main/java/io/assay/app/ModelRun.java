package io.assay.app;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.Model;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One run of a model on named tensors, with exposed values and gradients. */
final class ModelRun {
  private final Engine engine;
  private final Model model;
  private final Map<String, Tensor> given;

  /**
   * @param given tensors by name: those that are inputs of the model, and those that gradients are
   *     weighted by; others are left alone
   */
  ModelRun(Engine engine, Model model, Map<String, Tensor> given) {
    this.engine = engine;
    this.model = model;
    this.given = given;
  }

  /**
   * The model's outputs, the exposed values and the gradients, the latter as {@code grad.NAME}.
   *
   * @param gradientsOf texts of the form {@code VALUE=TENSOR}
   * @throws InputException if a name is unknown, an input is missing, or a shape or value does not
   *     fit
   */
  Map<String, Tensor> run(List<String> exposed, List<String> gradientsOf, List<String> wrt) {
    boolean past = given.keySet().stream().anyMatch(name -> name.startsWith("past."));
    Graph graph = past ? model.cached().orElseGet(model::graph) : model.graph();
    graph = model.hooks().withResults(model.hooks().withResults(graph, exposed), wrt);
    Map<String, Tensor> inputs = inputs(graph);
    // Names of the results, and the graph's values that they stand for.
    Map<String, String> wanted = new LinkedHashMap<>();
    graph.outputs().forEach(name -> wanted.put(name, name));
    for (String name : exposed) {
      wanted.put(name, model.hooks().resolve(graph, name));
    }
    if (!gradientsOf.isEmpty()) {
      graph = differentiate(graph, inputs, gradientsOf, wrt, wanted);
    }
    graph = withOutputs(graph, wanted);
    try (Session session = engine.compile(graph)) {
      inputs.keySet().retainAll(graph.inputs());
      Map<String, Tensor> values = session.run(inputs);
      Map<String, Tensor> results = new LinkedHashMap<>();
      wanted.forEach((name, value) -> results.put(name, values.get(value)));
      return results;
    } catch (SessionException e) {
      if (e.blamesValue()) {
        throw new InputException("the values of the input file do not fit: " + e.getMessage(), e);
      }
      throw e;
    }
  }

  private Map<String, Tensor> inputs(Graph graph) {
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    boolean past =
        graph.inputs().stream().anyMatch(v -> v.startsWith("past") && given.containsKey(v));
    for (String name : graph.inputs()) {
      Tensor tensor = given.get(name);
      if (tensor == null && !past) {
        tensor = model.emptyPast(name, rows(graph)).orElse(null);
      }
      if (tensor == null) {
        throw new InputException(
            "the input file has no tensor "
                + name
                + "; the model "
                + model.name()
                + " takes "
                + String.join(", ", graph.inputs()));
      }
      TensorType type = graph.type(name);
      tensor = widened(tensor, type);
      if (type != null && type.dtype() != tensor.dtype()) {
        throw new InputException(
            "the tensor " + name + " is " + tensor + "; the model takes " + type);
      }
      inputs.put(name, tensor);
    }
    requireAgreement(graph, inputs);
    return inputs;
  }

  /** Refuses inputs that differ in the size of a dimension that has the same name in both. */
  private static void requireAgreement(Graph graph, Map<String, Tensor> inputs) {
    Map<String, String> first = new LinkedHashMap<>();
    Map<String, Long> sizes = new LinkedHashMap<>();
    inputs.forEach(
        (name, tensor) -> {
          TensorType type = graph.type(name);
          boolean comparable = type != null && type.dims() != null;
          for (int i = 0;
              comparable && i < Math.min(type.dims().size(), tensor.shape().length);
              i++) {
            String symbol = type.dims().get(i).symbol();
            long size = tensor.dim(i);
            if (symbol != null && sizes.putIfAbsent(symbol, size) == null) {
              first.put(symbol, name);
            } else if (symbol != null && sizes.get(symbol) != size) {
              throw new InputException(
                  "the dimension "
                      + symbol
                      + " is "
                      + sizes.get(symbol)
                      + " in the tensor "
                      + first.get(symbol)
                      + " and "
                      + size
                      + " in the tensor "
                      + name
                      + "; they must be the same");
            }
          }
        });
  }

  /** Floats of 16 bits as what the graph takes; other tensors as they are. */
  private static Tensor widened(Tensor tensor, TensorType type) {
    boolean half = tensor.dtype() == DType.F16 || tensor.dtype() == DType.BF16;
    if (!half || type == null || type.dtype() != DType.F32 && type.dtype() != DType.F64) {
      return tensor;
    }
    Tensor out = Tensor.allocate(Arena.ofAuto(), type.dtype(), tensor.shape());
    for (long i = 0; i < out.elements(); i++) {
      out.set(i, tensor.get(i));
    }
    return out;
  }

  /** Rows of the batch: the first size of the first input that is given. */
  private long rows(Graph graph) {
    return graph.inputs().stream()
        .map(given::get)
        .filter(t -> t != null && t.rank() > 0)
        .mapToLong(t -> t.dim(0))
        .findFirst()
        .orElse(0);
  }

  /** Appends the gradients; adds the seeds to the inputs and the gradients to what is wanted. */
  private Graph differentiate(
      Graph graph,
      Map<String, Tensor> inputs,
      List<String> gradientsOf,
      List<String> wrt,
      Map<String, String> wanted) {
    Map<String, String> targets = new LinkedHashMap<>();
    for (String name : wrt) {
      targets.put(name, model.hooks().resolve(graph, name));
    }
    // What is not an output may be folded away when the shapes are fixed.
    Map<String, String> kept = new LinkedHashMap<>(wanted);
    targets.forEach((name, value) -> kept.put("grad." + name, value));
    for (String text : gradientsOf) {
      kept.put("=" + text, model.hooks().resolve(graph, valueOf(text)));
    }
    Map<String, long[]> shapes = new LinkedHashMap<>();
    inputs.forEach((name, tensor) -> shapes.put(name, tensor.shape()));
    Graph fixed = withOutputs(graph, kept).specialise(shapes, engine.evaluator());
    Map<String, String> seeds = new LinkedHashMap<>();
    for (String text : gradientsOf) {
      String value = kept.get("=" + text);
      Tensor seed = given.get(text.substring(text.lastIndexOf('=') + 1));
      if (seed == null) {
        throw new InputException(
            "--gradient-of "
                + text
                + " names no tensor of the input file; write VALUE=TENSOR with one of "
                + String.join(", ", given.keySet()));
      }
      TensorType type = fixed.type(value);
      seed = widened(seed, type);
      if (type != null && type.isStatic() && !Arrays.equals(type.shape(), seed.shape())) {
        throw new InputException(
            "the tensor of --gradient-of " + text + " is " + seed + ", but the value is " + type);
      }
      String input = value + ".seed";
      if (seeds.put(value, input) != null) {
        throw new InputException("--gradient-of names the value " + value + " twice; add them up");
      }
      inputs.put(input, seed);
    }
    Gradient gradient = fixed.differentiate(seeds, targets.values());
    targets.forEach((name, value) -> wanted.put("grad." + name, gradient.gradients().get(value)));
    return gradient.graph();
  }

  private static String valueOf(String gradientOf) {
    int at = gradientOf.lastIndexOf('=');
    if (at <= 0) {
      throw new InputException("--gradient-of " + gradientOf + " is not of the form VALUE=TENSOR");
    }
    return gradientOf.substring(0, at);
  }

  private static Graph withOutputs(Graph graph, Map<String, String> wanted) {
    Graph.Builder builder = graph.edit().clearOutputs();
    wanted.values().stream().distinct().forEach(builder::output);
    return builder.build();
  }
}
