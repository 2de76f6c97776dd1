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
   * What a model said where an output was expected.
   *
   * @param ids as many tokens as expected
   * @param margin smallest distance, over the output, of the expected token's logit from the best
   *     other; negative or 0 where they part, and positions behind that one do not count
   */
  record Said(List<Integer> ids, double margin) {}

  /**
   * The {@code count} tokens that follow {@code prompt}; the lowest id wins a tie.
   *
   * @throws InputException if the prompt is empty, too long, or has an id that does not exist
   */
  List<Integer> continuation(List<Integer> prompt, int count) {
    return said(prompt, count, List.of()).ids();
  }

  /**
   * What follows {@code prompt}, against the output that is expected of it.
   *
   * @throws InputException if the prompt is empty, too long, or has an id that does not exist
   */
  Said said(List<Integer> prompt, List<Integer> expected) {
    return said(prompt, expected.size(), expected);
  }

  private Said said(List<Integer> prompt, int count, List<Integer> expected) {
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
    double margin = Double.POSITIVE_INFINITY;
    boolean same = true;
    for (int i = 0; i < count; i++) {
      Tensor logits = logits(all);
      int best = best(logits, -1);
      if (same && i < expected.size()) {
        int wanted = expected.get(i);
        long row = logits.elements() - logits.dim(2);
        int other = best(logits, wanted);
        margin = Math.min(margin, logits.get(row + wanted) - logits.get(row + other));
        same = best == wanted;
      }
      all.add(best);
    }
    return new Said(List.copyOf(all.subList(prompt.size(), all.size())), margin);
  }

  private Tensor logits(List<Integer> ids) {
    Tensor input =
        Tensor.ofLongs(ids.stream().mapToLong(Integer::longValue).toArray(), 1, ids.size());
    return session.run(Map.of("input_ids", input)).get("logits");
  }

  /** The most likely token at the last position, apart from {@code except}. */
  private int best(Tensor logits, int except) {
    long row = logits.elements() - logits.dim(2);
    int best = except == 0 ? 1 : 0;
    for (int v = best + 1; v < model.vocabulary(); v++) {
      if (v != except && logits.get(row + v) > logits.get(row + best)) {
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
