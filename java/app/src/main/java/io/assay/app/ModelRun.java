package io.assay.app;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.Model;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionException;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

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
   * @param patches values that tensors of the input file stand for, as texts {@code VALUE=TENSOR}
   * @param gradientsOf likewise, what to differentiate and its weights
   * @throws InputException if a name is unknown, an input is missing, or a shape or value does not
   *     fit
   */
  Map<String, Tensor> run(
      List<String> exposed, List<String> patches, List<String> gradientsOf, List<String> wrt) {
    boolean past = given.keySet().stream().anyMatch(name -> name.startsWith("past."));
    Graph graph = past ? model.cached().orElseGet(model::graph) : model.graph();
    List<String> named = new ArrayList<>(exposed);
    patches.forEach(text -> named.add(valueOf("--patch", text)));
    gradientsOf.forEach(text -> named.add(valueOf("--gradient-of", text)));
    named.addAll(wrt);
    graph = model.hooks().withResults(graph, named);
    Map<String, Tensor> inputs = inputs(graph);
    // Names of the results, and the graph's values that they stand for.
    Map<String, String> wanted = new LinkedHashMap<>();
    graph.outputs().forEach(name -> wanted.put(name, name));
    for (String name : exposed) {
      wanted.put(name, model.hooks().resolve(graph, name));
    }
    if (!patches.isEmpty()) {
      Set<String> kept = new LinkedHashSet<>(wanted.values());
      for (String name : named) {
        kept.add(model.hooks().resolve(graph, name));
      }
      graph = patch(graph, inputs, patches, kept);
    }
    if (!gradientsOf.isEmpty()) {
      graph = differentiate(graph, inputs, gradientsOf, wrt, wanted);
    }
    graph = withOutputs(graph, wanted.values());
    try (Session session = engine.compile(graph)) {
      inputs.keySet().retainAll(graph.inputs());
      Map<String, Tensor> values = session.run(inputs);
      Map<String, Tensor> results = new LinkedHashMap<>();
      wanted.forEach((name, value) -> results.put(name, values.get(value)));
      return results;
    } catch (SessionException e) {
      requireInTables(inputs);
      requireShapes(graph, inputs);
      if (e.blamesValue()) {
        throw new InputException("the values of the input file do not fit: " + e.getMessage(), e);
      }
      throw e;
    }
  }

  /** Refuses shapes of inputs that the graph cannot have, where it can have others. */
  private static void requireShapes(Graph graph, Map<String, Tensor> inputs) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    inputs.forEach((name, tensor) -> shapes.put(name, tensor.shape()));
    Model.misfit(graph, shapes)
        .ifPresent(
            why -> {
              throw new InputException("the shapes of the input file do not fit: " + why);
            });
  }

  /** Refuses ids beyond the table that they are looked up in. */
  private void requireInTables(Map<String, Tensor> inputs) {
    inputs.forEach(
        (name, tensor) -> {
          long rows = model.tableRows(name).orElse(Long.MAX_VALUE);
          for (long i = 0; rows < Long.MAX_VALUE && i < tensor.elements(); i++) {
            long id = tensor.getLong(i);
            if (id < -rows || id >= rows) {
              throw new InputException(
                  "the tensor "
                      + name
                      + " holds "
                      + id
                      + ", which is looked up in a table of "
                      + rows
                      + " rows; give ids from 0 to "
                      + (rows - 1));
            }
          }
        });
  }

  /** The graph in which values are inputs, with the tensors that stand for them. */
  private Graph patch(
      Graph graph, Map<String, Tensor> inputs, List<String> patches, Set<String> kept) {
    Map<String, String> texts = new LinkedHashMap<>();
    for (String text : patches) {
      String value = model.hooks().resolve(graph, valueOf("--patch", text));
      if (texts.put(value, text) != null) {
        throw new InputException("--patch names the value " + value + " twice; give it once");
      }
    }
    Graph typed = specialised(withOutputs(graph, texts.keySet()), inputs);
    Graph.Builder b = graph.edit();
    texts.forEach(
        (value, text) -> {
          Tensor tensor = tensor("--patch", text, typed.type(value));
          inputs.put(value, tensor);
          b.type(value, TensorType.of(tensor.dtype(), tensor.shape()));
        });
    Graph cut = b.build().slice(texts.keySet(), kept);
    inputs.keySet().retainAll(cut.inputs());
    return cut;
  }

  private Graph specialised(Graph graph, Map<String, Tensor> inputs) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    inputs.forEach((name, tensor) -> shapes.put(name, tensor.shape()));
    return graph.specialise(shapes, engine.evaluator());
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
                + ", only "
                + String.join(", ", given.keySet())
                + "; the model "
                + model.name()
                + " takes "
                + String.join(", ", graph.inputs()));
      }
      TensorType type = graph.type(name);
      tensor = converted(tensor, type);
      if (tensor.elements() == 0 && !name.startsWith("past")) {
        throw new InputException(
            "the tensor " + name + " is " + tensor + ", which is empty; give no size of 0");
      }
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

  /** Floats as the graph takes them; other tensors as they are. */
  private static Tensor converted(Tensor tensor, TensorType type) {
    boolean both = type != null && type.dtype().isFloat() && tensor.dtype().isFloat();
    return both ? tensor.toFloat(type.dtype()) : tensor;
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
      kept.put("=" + text, model.hooks().resolve(graph, valueOf("--gradient-of", text)));
    }
    Graph fixed = specialised(withOutputs(graph, kept.values()), inputs);
    Map<String, String> seeds = new LinkedHashMap<>();
    for (String text : gradientsOf) {
      String value = kept.get("=" + text);
      String input = value + ".seed";
      inputs.put(input, tensor("--gradient-of", text, fixed.type(value)));
      if (seeds.put(value, input) != null) {
        throw new InputException("--gradient-of names the value " + value + " twice; add them up");
      }
    }
    Gradient gradient = fixed.differentiate(seeds, targets.values());
    targets.forEach((name, value) -> wanted.put("grad." + name, gradient.gradients().get(value)));
    return gradient.graph();
  }

  /**
   * The tensor of an option {@code VALUE=TENSOR}.
   *
   * @param type of the value, null where it is not known
   */
  private Tensor tensor(String option, String text, TensorType type) {
    Tensor found = given.get(text.substring(text.lastIndexOf('=') + 1));
    if (found == null) {
      throw new InputException(
          option
              + " "
              + text
              + " names no tensor of the input file; write VALUE=TENSOR with one of "
              + String.join(", ", given.keySet()));
    }
    Tensor tensor = converted(found, type);
    boolean fits =
        type == null
            || type.dtype() == tensor.dtype()
                && (!type.isStatic() || Arrays.equals(type.shape(), tensor.shape()));
    if (!fits) {
      throw new InputException(
          "the tensor of " + option + " " + text + " is " + tensor + ", but the value is " + type);
    }
    return tensor;
  }

  private static String valueOf(String option, String text) {
    int at = text.lastIndexOf('=');
    if (at <= 0) {
      throw new InputException(option + " " + text + " is not of the form VALUE=TENSOR");
    }
    return text.substring(0, at);
  }

  private static Graph withOutputs(Graph graph, Collection<String> values) {
    Graph.Builder builder = graph.edit().clearOutputs();
    values.stream().distinct().forEach(builder::output);
    return builder.build();
  }
}
