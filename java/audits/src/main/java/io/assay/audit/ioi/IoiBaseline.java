package io.assay.audit.ioi;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.kernel.HeadRows;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;

/**
 * How well a model does the task, without any intervention (specs/ioi.md 2.3).
 *
 * @param prompts in the order in which they were given
 */
public record IoiBaseline(List<Scored> prompts) {
  private static final int ROWS = 64;

  /**
   * What a model says behind a prompt.
   *
   * @param logitDifference logit(IO) - logit(S) at the last token, nats
   * @param answerProbability softmax probability of IO there
   * @param said the most likely token
   */
  public record Scored(
      IoiPrompt prompt, double logitDifference, double answerProbability, int said) {
    /** Whether no token is more likely than IO. */
    public boolean isAnswered() {
      return said == prompt.answer();
    }
  }

  /**
   * Means over some prompts.
   *
   * @param prompts how many
   * @param logitDifference mean, nats
   * @param deviation standard deviation over the prompts, nats; NaN of one prompt
   * @param answerOverWrong share with a positive logit difference
   * @param answered share whose most likely token is IO
   * @param answerProbability mean probability of IO
   */
  public record Summary(
      int prompts,
      double logitDifference,
      double deviation,
      double answerOverWrong,
      double answered,
      double answerProbability) {
    /** Half width of the interval of 95 % around the mean, by the normal distribution. */
    public double interval() {
      return 1.959963984540054 * deviation / Math.sqrt(prompts);
    }
  }

  public IoiBaseline {
    prompts = List.copyOf(prompts);
  }

  /**
   * Runs a model on prompts.
   *
   * @throws InputException if there is none, or one is too long for the model or holds a token that
   *     the model does not have
   */
  public static IoiBaseline run(Engine engine, LanguageModel model, List<IoiPrompt> prompts) {
    if (prompts.isEmpty()) {
      throw new InputException("there is no prompt; give at least one");
    }
    requireVocabulary(model, prompts);
    int rows = Math.min(ROWS, prompts.size());
    int length = prompts.stream().mapToInt(p -> p.ids().length).max().orElseThrow();
    List<Scored> scored = new ArrayList<>();
    try (KnockOut run = new KnockOut(engine, model, rows, length, 0);
        Arena arena = Arena.ofShared()) {
      Tensor end = Tensor.allocate(arena, model.dtype(), rows, model.width());
      Tensor targets = Tensor.allocate(arena, DType.I32, rows);
      Tensor logProb = Tensor.allocate(arena, model.dtype(), rows);
      Tensor lse = Tensor.allocate(arena, model.dtype(), rows);
      Tensor margin = Tensor.allocate(arena, model.dtype(), rows);
      Tensor said = Tensor.allocate(arena, DType.I32, rows);
      HeadRows head = new HeadRows(Matrix.of(end), model.head(), model.headBias(), targets.data());
      for (int from = 0; from < prompts.size(); from += rows) {
        List<IoiPrompt> chunk = prompts.subList(from, Math.min(prompts.size(), from + rows));
        run.run(chunk.stream().map(IoiPrompt::ids).toList());
        for (int r = 0; r < chunk.size(); r++) {
          double[] hidden = run.hidden(r, chunk.get(r).positions().end());
          for (int i = 0; i < hidden.length; i++) {
            end.set((long) r * hidden.length + i, hidden[i]);
          }
          targets.set(r, chunk.get(r).answer());
        }
        engine.kernels().headRows(head, logProb.data(), lse.data(), said.data(), margin.data());
        for (int r = 0; r < chunk.size(); r++) {
          IoiPrompt p = chunk.get(r);
          double difference = run.logitDifference(Example.of(p), r);
          int token = Math.toIntExact(said.getLong(r));
          scored.add(new Scored(p, difference, Math.exp(logProb.get(r)), token));
        }
      }
    }
    return new IoiBaseline(scored);
  }

  static void requireVocabulary(LanguageModel model, List<IoiPrompt> prompts) {
    for (IoiPrompt p : prompts) {
      for (long[] ids : new long[][] {p.ids(), p.corruptIds(), {p.answer(), p.wrong()}}) {
        long most = Arrays.stream(ids).max().orElseThrow();
        if (most >= model.vocabulary()) {
          throw new InputException(
              "the tokenizer reads '"
                  + p.text()
                  + "' with the id "
                  + most
                  + "; the ids of the model "
                  + model.model().name()
                  + " end at "
                  + (model.vocabulary() - 1));
        }
      }
    }
  }

  /** Means over all prompts. */
  public Summary summary() {
    return summary(p -> true);
  }

  /**
   * Means over some prompts.
   *
   * @throws IllegalArgumentException if there are none
   */
  public Summary summary(Predicate<IoiPrompt> which) {
    List<Scored> some = prompts.stream().filter(s -> which.test(s.prompt())).toList();
    if (some.isEmpty()) {
      throw new IllegalArgumentException("no prompt is of this kind");
    }
    double mean = mean(some, Scored::logitDifference);
    double squares = some.stream().mapToDouble(s -> Math.pow(s.logitDifference() - mean, 2)).sum();
    return new Summary(
        some.size(),
        mean,
        some.size() == 1 ? Double.NaN : Math.sqrt(squares / (some.size() - 1)),
        mean(some, s -> s.logitDifference() > 0 ? 1 : 0),
        mean(some, s -> s.isAnswered() ? 1 : 0),
        mean(some, Scored::answerProbability));
  }

  private static double mean(List<Scored> some, ToDoubleFunction<Scored> value) {
    return some.stream().mapToDouble(value).average().orElseThrow();
  }
}
