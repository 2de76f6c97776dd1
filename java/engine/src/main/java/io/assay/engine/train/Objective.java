package io.assay.engine.train;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.Model;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What training makes small: a scalar of a graph, as a function of some of its constants.
 *
 * @param graph a specialised graph; its inputs are the data of a step
 * @param loss the scalar
 * @param weights names of the float constants that are trained, all of one type
 * @param items what one step learns from, in tokens or examples; for rates
 * @param vocabulary tokens that {@link #INPUT} and {@link #TARGETS} may name; 0 if the graph has no
 *     such inputs
 */
public record Objective(
    Graph graph, String loss, List<String> weights, long items, int vocabulary) {
  /** Input of {@link #nextToken}: token ids, I64 [row, position]. */
  public static final String INPUT = "input_ids";

  /** Input of {@link #nextToken}: the id that follows each token, I64 [row, position]. */
  public static final String TARGETS = "targets";

  /** Input of {@link #nextToken}: share of each prediction in the loss [row, position]. */
  public static final String WEIGHTS = "weights";

  private static final String LOGITS = "logits";

  /**
   * @throws InputException if the loss is no scalar of the graph, or a weight no float constant
   */
  public Objective {
    weights = List.copyOf(weights);
    TensorType type = graph.type(loss);
    if (type == null || !type.isStatic() || Tensor.elements(type.shape()) != 1) {
      throw new InputException("the loss " + loss + " is " + type + "; it must be one number");
    }
    if (weights.isEmpty()) {
      throw new InputException("nothing is to be trained; name at least one weight");
    }
    for (String weight : weights) {
      Tensor t = graph.constant(weight);
      if (t == null || t.dtype() != type.dtype()) {
        throw new InputException(
            "the weight "
                + weight
                + " is "
                + (t == null ? "no constant" : t)
                + " of the graph "
                + graph.name()
                + "; only constants of the loss's type, "
                + type.dtype()
                + ", can be trained");
      }
    }
  }

  /** An objective whose data are no tokens. */
  public Objective(Graph graph, String loss, List<String> weights, long items) {
    this(graph, loss, weights, items, 0);
  }

  /**
   * @param batch number of the batch that {@code inputs} hold
   * @throws InputException if a token is none of the vocabulary
   */
  void requireTokens(long batch, Map<String, Tensor> inputs) {
    for (String name : vocabulary == 0 ? List.<String>of() : List.of(INPUT, TARGETS)) {
      Tensor ids = inputs.get(name);
      for (long i = 0; i < ids.elements(); i++) {
        if (!(ids.get(i) >= 0 && ids.get(i) < vocabulary)) {
          throw new InputException(
              "batch "
                  + batch
                  + " holds the token id "
                  + (long) ids.get(i)
                  + "; the ids of the model end at "
                  + (vocabulary - 1));
        }
      }
    }
  }

  /**
   * Prediction of the next token: the weighted mean over a batch's tokens, but for the first of
   * each row, of {@code -log p(token | tokens before it)}, in nats. {@link Data#of} gives the
   * inputs. All weights are trained; where head and embedding are tied the gradient is the sum of
   * both uses.
   *
   * @param model a model of the GPT-2 family; it is not changed
   * @param rows sequences of a batch
   * @param length tokens of a sequence, 2 to 1 more than the model's context
   * @throws InputException if the model is not one that Assay builds, or a size is out of range
   */
  public static Objective nextToken(Engine engine, Model model, int rows, int length) {
    Gpt2Config config =
        model
            .gpt2()
            .orElseThrow(
                () ->
                    new InputException(
                        "the model "
                            + model.name()
                            + " is not a GPT-2 folder, so that its weights"
                            + " are not known; give one with config.json and model.safetensors"));
    if (rows < 1 || length < 2 || length > config.context() + 1) {
      throw new InputException(
          "a batch of "
              + rows
              + " rows of "
              + length
              + " tokens cannot be trained on; give at"
              + " least 1 row and 2 to "
              + (config.context() + 1)
              + " tokens");
    }
    int predicted = length - 1;
    Graph fixed =
        model.graph().specialise(Map.of(INPUT, new long[] {rows, predicted}), engine.evaluator());
    Graph graph = withLoss(fixed, rows, predicted, config.vocabulary());
    List<String> names = new ArrayList<>();
    for (String bare : config.weightShapes().keySet()) {
      String name = graph.has(bare) ? bare : "transformer." + bare;
      if (graph.constant(name) != null) {
        names.add(name);
      }
    }
    return new Objective(graph, "loss", names, (long) rows * predicted, config.vocabulary());
  }

  /** The graph with the loss alone as output. */
  private static Graph withLoss(Graph g, long rows, long length, long vocabulary) {
    DType dtype = g.type(LOGITS).dtype();
    long n = rows * length;
    Graph.Builder b = g.edit().clearOutputs();
    b.input(TARGETS, TensorType.of(DType.I64, rows, length));
    b.input(WEIGHTS, TensorType.of(dtype, rows, length));
    b.constant("loss.table", Tensor.ofLongs(new long[] {n, vocabulary}, 2));
    b.constant("loss.column", Tensor.ofLongs(new long[] {n, 1}, 2));
    TensorType table = TensorType.of(dtype, n, vocabulary);
    TensorType column = TensorType.of(dtype, n, 1);
    Map<String, Object> last = Map.of("axis", 1L);
    b.type(b.op("loss.logits", "Reshape", Map.of(), LOGITS, "loss.table"), table);
    b.type(b.op("loss.log_probs", "LogSoftmax", last, "loss.logits"), table);
    b.type(
        b.op("loss.targets", "Reshape", Map.of(), TARGETS, "loss.column"),
        TensorType.of(DType.I64, n, 1));
    b.type(b.op("loss.picked", "GatherElements", last, "loss.log_probs", "loss.targets"), column);
    b.type(b.op("loss.weights", "Reshape", Map.of(), WEIGHTS, "loss.column"), column);
    b.type(b.op("loss.weighted", "Mul", Map.of(), "loss.picked", "loss.weights"), column);
    TensorType scalar = TensorType.of(dtype);
    b.type(b.op("loss.sum", "ReduceSum", Map.of("keepdims", 0L), "loss.weighted"), scalar);
    b.type(b.op("loss", "Neg", Map.of(), "loss.sum"), scalar);
    return b.output("loss").build();
  }
}
