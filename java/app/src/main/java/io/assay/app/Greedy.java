package io.assay.app;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Lets a model speak: one whole forward pass for each token, the most likely token each time. It
 * shares nothing with the searches that it checks, neither their cache nor their kernels.
 */
final class Greedy implements AutoCloseable {
  private final LanguageModel model;
  private final Session session;

  Greedy(Engine engine, LanguageModel model) {
    this.model = model;
    this.session = engine.compile(model.whole());
  }

  /**
   * The {@code count} tokens that follow {@code prompt}; the lowest id wins a tie.
   *
   * @throws InputException if the prompt is empty, too long, or has an id that does not exist
   */
  List<Integer> continuation(List<Integer> prompt, int count) {
    if (prompt.isEmpty() || prompt.size() + count > model.context()) {
      throw new InputException(
          "a prompt of "
              + prompt.size()
              + " tokens and an output of "
              + count
              + " do not fit the model, which takes 1 to "
              + model.context()
              + " tokens");
    }
    List<Integer> all = new ArrayList<>(prompt);
    for (int i = 0; i < count; i++) {
      all.add(next(all));
    }
    return List.copyOf(all.subList(prompt.size(), all.size()));
  }

  private int next(List<Integer> ids) {
    Tensor input =
        Tensor.ofLongs(ids.stream().mapToLong(Integer::longValue).toArray(), 1, ids.size());
    Tensor logits = session.run(Map.of("input_ids", input)).get("logits");
    long row = logits.elements() - logits.dim(2);
    int best = 0;
    for (int v = 1; v < model.vocabulary(); v++) {
      if (logits.get(row + v) > logits.get(row + best)) {
        best = v;
      }
    }
    return best;
  }

  @Override
  public void close() {
    session.close();
  }
}
