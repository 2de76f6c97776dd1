package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One coordinate update of one ARCA audit, k = q = 32; the other way is the form of the first
 * implementations on the same engine: whole sequences, heads at all positions, gradients of all
 * weights.
 */
public final class ArcaUpdateQuestion extends ArcaQuestion {
  private static final int CANDIDATES = 32;
  private static final int LENGTH = 5;

  private final int prefix;
  private final double naiveOperations;
  private final Session gradient;
  private final Session forward;
  private final Binding gradientBinding;
  private final Binding forwardBinding;

  /**
   * Sets the question up.
   *
   * @param prefix fixed tokens before the prompt
   */
  public ArcaUpdateQuestion(Engine engine, int prefix) {
    super(engine, CANDIDATES, 1, prefix);
    this.prefix = prefix;
    int length = LENGTH + prefix;
    Graph graph = Gpt2Small.whole(engine, Gpt2Small.model(), CANDIDATES, length);
    List<String> wrt =
        graph.constants().entrySet().stream()
            .filter(e -> e.getValue().dtype() == DType.F32 && e.getValue().rank() > 0)
            .map(Map.Entry::getKey)
            .toList();
    Gradient derived = graph.differentiate(Map.of("logits", "seed"), wrt);
    naiveOperations = derived.graph().operations() + graph.operations();
    Tensor ids = Tensor.allocate(Arena.ofAuto(), DType.I64, CANDIDATES, length);
    long[] shape = {CANDIDATES, length, Gpt2Small.VOCABULARY};
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    outputs.put("logits", Draw.all(0, shape));
    derived
        .gradients()
        .forEach(
            (value, name) ->
                outputs.put(
                    name, Tensor.allocate(Arena.ofAuto(), DType.F32, graph.type(value).shape())));
    gradient = engine.compile(derived.graph(), true);
    forward = engine.compile(graph, true);
    gradientBinding =
        gradient.bind(Map.of("input_ids", ids, "seed", Draw.all(1e-3, shape)), outputs);
    forwardBinding = forward.bind(Map.of("input_ids", ids), Map.of("logits", Draw.all(0, shape)));
  }

  @Override
  public String name() {
    return "arca.update";
  }

  @Override
  public String shape() {
    return "gpt2-small k=q=%d m=3 n=2 prefix=%d".formatted(CANDIDATES, prefix);
  }

  @Override
  public String baseline() {
    return "naive form, same engine";
  }

  @Override
  public Cost baselineCost() {
    return new Cost(naiveOperations, 0);
  }

  @Override
  public void other() {
    gradientBinding.run();
    forwardBinding.run();
  }

  @Override
  public void close() {
    super.close();
    gradientBinding.close();
    forwardBinding.close();
    gradient.close();
    forward.close();
  }
}
