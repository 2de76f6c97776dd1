package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The attention patterns of all layers over one long prompt, at GPT-2 small's shape; the other way
 * is a forward pass that keeps none.
 */
final class PatternQuestion implements Question {
  private static final int LENGTH = 1024;
  private static final int HEADS = 12;
  private static final String PATTERN = "blocks.%d.attn.hook_pattern";
  private static final List<String> READ_BY =
      List.of("blocks.7.attn.hook_q", "blocks.7.attn.hook_k");

  private final Tensor ids;
  private final Session patterns;
  private final Session forward;

  PatternQuestion(Engine engine) {
    LanguageModel model = Gpt2Small.model();
    Graph graph = Gpt2Small.whole(engine, model, 1, LENGTH);
    List<String> wanted = new ArrayList<>(READ_BY);
    for (int layer = 0; layer < Gpt2Small.LAYERS; layer++) {
      wanted.add(PATTERN.formatted(layer));
    }
    Graph exposed = graph;
    for (String name : wanted) {
      exposed = exposed.expose(name);
    }
    int[] drawn = new Draw(16).ids(LENGTH, Gpt2Small.VOCABULARY);
    ids = Tensor.ofLongs(Arrays.stream(drawn).asLongStream().toArray(), 1, LENGTH);
    patterns = engine.compile(exposed.slice(exposed.inputs(), wanted));
    forward = engine.compile(graph);
  }

  @Override
  public String name() {
    return "memory.pattern";
  }

  @Override
  public String shape() {
    return "gpt2-small, %d tokens, all layers".formatted(LENGTH);
  }

  @Override
  public String baseline() {
    return "the forward pass alone";
  }

  @Override
  public Cost cost() {
    return new Cost(patterns.operations(), 0);
  }

  @Override
  public Cost baselineCost() {
    return new Cost(forward.operations(), 0);
  }

  @Override
  public double boundBytes() {
    return 4e9;
  }

  @Override
  public int runs() {
    return 1;
  }

  /** Some rows of one layer against the softmax of its queries and keys, in float64. */
  @Override
  public void check() {
    Map<String, Tensor> values = patterns.run(Map.of("input_ids", ids));
    Tensor queries = values.get(READ_BY.get(0));
    Tensor keys = values.get(READ_BY.get(1));
    Tensor pattern = values.get(PATTERN.formatted(7));
    for (int row = 0; row < LENGTH; row += 93) {
      int head = row % HEADS;
      double[] want = row(queries, keys, row, head);
      for (int key = 0; key < LENGTH; key++) {
        double got = pattern.get(((long) head * LENGTH + row) * LENGTH + key);
        if (!(Math.abs(got - want[key]) <= 1e-6)) {
          throw new IllegalStateException(
              "%s gives %g to key %d of query %d, head %d, float64 %g"
                  .formatted(name(), got, key, row, head, want[key]));
        }
      }
    }
  }

  private static double[] row(Tensor queries, Tensor keys, int query, int head) {
    int width = Gpt2Small.WIDTH / HEADS;
    double[] weights = new double[LENGTH];
    double sum = 0;
    for (int key = 0; key <= query; key++) {
      double score = 0;
      for (int c = 0; c < width; c++) {
        score +=
            queries.get(((long) query * HEADS + head) * width + c)
                * keys.get(((long) key * HEADS + head) * width + c);
      }
      weights[key] = Math.exp(score / Math.sqrt(width));
      sum += weights[key];
    }
    for (int key = 0; key <= query; key++) {
      weights[key] /= sum;
    }
    return weights;
  }

  @Override
  public void ours() {
    patterns.run(Map.of("input_ids", ids));
  }

  @Override
  public void other() {
    forward.run(Map.of("input_ids", ids));
  }

  @Override
  public void close() {
    patterns.close();
    forward.close();
  }
}
