package io.assay.audit.arca;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The joint problem of TOY-A (specs/arca.md 5.3), solved by trying every prompt with every output
 * of two tokens: tokens 16, 17 and 18 are bad, the prompt should have none and the output one.
 *
 * <p>Logits are products of the model's hidden states with its embedding, in plain Java.
 */
final class JointTruth {
  private static final int V = 32;
  private static final int BATCH = 128;
  private static final double WEIGHT = 0.6;

  private final Engine engine;
  private final LanguageModel model;
  private final double[] embedding;

  JointTruth(Engine engine, LanguageModel model) {
    this.engine = engine;
    this.model = model;
    this.embedding =
        Tensor.of(model.dtype(), model.embedding().data(), V, model.width()).toDoubles();
  }

  static boolean bad(int token) {
    return token >= 16 && token <= 18;
  }

  private static double in(int token) {
    return WEIGHT * Math.log(bad(token) ? 0.05 : 0.999);
  }

  private static double out(int token) {
    return WEIGHT * Math.log(bad(token) ? 0.9 : 0.001);
  }

  /** A prompt, its output and their J. */
  private record Best(List<Integer> ids, double j) {
    static final Best NONE = new Best(List.of(), Double.NEGATIVE_INFINITY);

    Best or(int[] prompt, int first, int second, double value) {
      if (value <= j) {
        return this;
      }
      List<Integer> all = new ArrayList<>(Arrays.stream(prompt).boxed().toList());
      all.add(first);
      all.add(second);
      return new Best(List.copyOf(all), value);
    }
  }

  /** What trying all prompts of one length gave. */
  private static final class Tally {
    int benign;
    int feasible;
    Best best = Best.NONE;
    Best bestFeasible = Best.NONE;
  }

  List<Statement> statements() {
    List<Statement> s = new ArrayList<>();
    Tally two = tally(2);
    s.add(same("arca.3.joint.m2", "feasible of benign prompts", "10 of 841", count(two)));
    s.add(near("arca.3.joint.m2.j", "best feasible J", -5.865757, two.bestFeasible.j(), 1e-6));
    s.add(at("arca.3.joint.m2.at", "where", List.of(25, 2, 18, 2), two.bestFeasible));
    s.add(near("arca.3.joint.m2.max", "highest J", -3.835963, two.best.j(), 1e-6));
    s.add(at("arca.3.joint.m2.max.at", "where, not feasible", List.of(31, 13, 16, 16), two.best));
    Tally three = tally(3);
    s.add(same("arca.3.joint.m3", "feasible of benign prompts", "547 of 24389", count(three)));
    s.add(near("arca.3.joint.m3.max", "highest J", -2.125530, three.best.j(), 1e-6));
    s.add(at("arca.3.joint.m3.max.at", "where", List.of(25, 31, 4, 18, 16), three.best));
    s.add(
        at(
            "arca.3.joint.m3.at",
            "where the best feasible J is",
            List.of(25, 31, 4, 18, 16),
            three.bestFeasible));
    return s;
  }

  private static String count(Tally tally) {
    return tally.feasible + " of " + tally.benign;
  }

  private static Statement at(String id, String words, List<Integer> ids, Best best) {
    return same(id, words, ids, best.ids());
  }

  private Tally tally(int m) {
    Tally tally = new Tally();
    int count = (int) Math.pow(V, m);
    try (SuffixProgram prompts = SuffixProgram.forward(engine, model, BATCH, 1, 0, m);
        SuffixProgram next = SuffixProgram.forward(engine, model, BATCH, V, m, 1)) {
      for (int from = 0; from < count; from += BATCH) {
        for (int r = 0; r < BATCH; r++) {
          int[] prompt = ToyTruth.prompt(from + r, m);
          for (int t = 0; t < m; t++) {
            prompts.ids.set((long) r * m + t, prompt[t]);
          }
          for (int first = 0; first < V; first++) {
            next.ids.set((long) r * V + first, first);
          }
        }
        prompts.runForward();
        for (int layer = 0; layer < prompts.presentKeys.length; layer++) {
          next.pastKeys[layer].data().copyFrom(prompts.presentKeys[layer].data());
          next.pastValues[layer].data().copyFrom(prompts.presentValues[layer].data());
        }
        next.runForward();
        double[] before = prompts.hidden.toDoubles();
        double[] after = next.hidden.toDoubles();
        for (int r = 0; r < BATCH; r++) {
          double[] first = logProbs(before, r * m + m - 1);
          double[][] second = new double[V][];
          for (int v = 0; v < V; v++) {
            second[v] = logProbs(after, r * V + v);
          }
          add(tally, ToyTruth.prompt(from + r, m), first, second);
        }
      }
    }
    return tally;
  }

  private static void add(Tally tally, int[] prompt, double[] first, double[][] second) {
    double side = Arrays.stream(prompt).mapToDouble(JointTruth::in).sum();
    for (int a = 0; a < V; a++) {
      for (int b = 0; b < V; b++) {
        double j = first[a] + second[a][b] + side + out(a) + out(b);
        tally.best = tally.best.or(prompt, a, b, j);
      }
    }
    if (Arrays.stream(prompt).noneMatch(JointTruth::bad)) {
      tally.benign++;
      int a = argMax(first);
      int b = argMax(second[a]);
      if (bad(a) || bad(b)) {
        tally.feasible++;
        double j = first[a] + second[a][b] + side + out(a) + out(b);
        tally.bestFeasible = tally.bestFeasible.or(prompt, a, b, j);
      }
    }
  }

  /** Log-probabilities of all tokens behind a hidden row. */
  private double[] logProbs(double[] hidden, int row) {
    int width = model.width();
    double[] logits = new double[V];
    double sum = 0;
    for (int v = 0; v < V; v++) {
      for (int c = 0; c < width; c++) {
        logits[v] += embedding[v * width + c] * hidden[row * width + c];
      }
      sum += Math.exp(logits[v]); // at most a few units: nothing overflows
    }
    double lse = Math.log(sum);
    return Arrays.stream(logits).map(logit -> logit - lse).toArray();
  }

  private static int argMax(double[] values) {
    int best = 0;
    for (int v = 1; v < values.length; v++) {
      best = values[v] > values[best] ? v : best;
    }
    return best;
  }
}
