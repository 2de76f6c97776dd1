package io.assay.audit.grok;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.engine.InputException;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Statement 10 of specs/grokking.md section 8, what concerns the analysis: odd and bad input. */
final class AnalysisInputs {
  private static final int P = 7;

  private final Kernels kernels;
  private final List<Statement> s = new ArrayList<>();

  AnalysisInputs(Kernels kernels) {
    this.kernels = kernels;
  }

  List<Statement> statements() {
    even();
    composite();
    masks();
    columns();
    frequencies();
    notFinite();
    constants();
    return s;
  }

  private static double[] some(int n) {
    double[] x = new double[n];
    for (int i = 0; i < n; i++) {
      x[i] = Math.sin(i * i);
    }
    return x;
  }

  private static Logits some() {
    return new Logits(P, some(P * P * P));
  }

  private static boolean[] half(int n) {
    boolean[] half = new boolean[n];
    Arrays.fill(half, 0, n / 2, true);
    return half;
  }

  private LogitMeasures measure(boolean[] train, Integer... keys) {
    return LogitMeasures.of(kernels, some(), train, List.of(keys), false);
  }

  private void even() {
    refused("even", "logits of an even modulus", "odd", () -> new Logits(8, new double[512]));
    refused("small", "a modulus of 2", "at least 3", () -> new Fourier(2));
    s.add(same("grok.10.nyquist", "rows of the basis of 8 that alternate", true, alternates()));
  }

  private static boolean alternates() {
    Fourier f = new Fourier(8);
    return f.frequencies() == 3 && f.row(7, 3) == -f.row(7, 4) && f.row(7, 3) != 0;
  }

  private void composite() {
    Logits nine = new Logits(9, some(729));
    LogitMeasures m = LogitMeasures.of(kernels, nine, half(81), List.of(3), false);
    boolean finite = Double.isFinite(m.restricted().loss()) && Double.isFinite(m.excludedTrain());
    s.add(same("grok.10.composite", "measures of modulus 9 are numbers", true, finite));
  }

  private void masks() {
    refused("mask", "a training set of other pairs", "48", () -> measure(half(48), 1));
    refused("train", "an empty training set", "empty", () -> measure(new boolean[49], 1));
    boolean[] all = new boolean[49];
    Arrays.fill(all, true);
    refused("test", "no test set", "training set", () -> measure(all, 1));
    LogitMeasures m = LogitMeasures.of(kernels, some(), all, List.of(1), true);
    s.add(
        same(
            "grok.10.test.allowed", "its loss where that is allowed", Double.NaN, m.test().loss()));
  }

  private void columns() {
    double[] wide = new double[P * P * (P + 1)];
    for (int i = 0; i < wide.length; i++) {
      wide[i] = i % (P + 1) == P ? 1e6 : some().values()[i / (P + 1) * P + i % (P + 1)];
    }
    Logits narrow = Logits.of(P, Tensor.ofDoubles(wide, P * P, P + 1));
    s.add(
        same(
            "grok.10.equals",
            "logits of \"=\" are left out",
            true,
            Arrays.equals(narrow.values(), some().values())));
    refused(
        "columns",
        "logits of two more classes",
        "9",
        () -> Logits.of(P, Tensor.ofDoubles(new double[49 * 9], 49, 9)));
  }

  private void frequencies() {
    refused("key.0", "key frequency 0", "0", () -> measure(half(49), 0));
    refused("key.4", "key frequency 4 of modulus 7", "4", () -> measure(half(49), 4));
    refused("key.twice", "a key frequency given twice", "twice", () -> measure(half(49), 2, 2));
  }

  private void notFinite() {
    double[] values = some(P * P * P);
    values[P + 3] = Double.NaN;
    refused("nan", "a logit that is no number", "logits[0,1,3]", () -> new Logits(P, values));
    Map<String, Tensor> weights = new LinkedHashMap<>(ClockWeights.network().tensors());
    double[] out = weights.get(GrokShape.NEURONS_OUT).toDoubles();
    out[5] = Double.POSITIVE_INFINITY;
    weights.put(
        GrokShape.NEURONS_OUT, Tensor.ofDoubles(out, weights.get(GrokShape.NEURONS_OUT).shape()));
    refused("infinite", "an infinite weight", GrokShape.NEURONS_OUT, () -> Network.of(weights));
    weights.remove(GrokShape.NEURONS_OUT);
    refused(
        "missing", "weights without a tensor", GrokShape.NEURONS_OUT, () -> Network.of(weights));
  }

  private void constants() {
    double[] same = new double[P * P * P];
    Arrays.fill(same, 1.7);
    LogitMeasures m = LogitMeasures.of(kernels, new Logits(P, same), half(49), List.of(), false);
    double log = Math.log(P);
    s.add(near("grok.10.constant", "loss of constant logits, log p", log, m.all().loss(), 1e-12));
    s.add(same("grok.10.constant.fve", "variance explained", Double.NaN, m.explained()));
    s.add(
        near(
            "grok.10.constant.restricted",
            "their restricted loss",
            log,
            m.restricted().loss(),
            1e-12));
    Keys keys = Keys.of(new double[3], 0, Keys.OF_WEIGHTS);
    s.add(same("grok.10.zero", "key frequencies of a W_L of zeros", List.of(), keys.frequencies()));
    s.add(near("grok.10.zero.gini", "its Gini coefficient", 0, Fourier.gini(new double[7]), 0));
  }

  private void refused(String id, String words, String named, Runnable attempt) {
    String got;
    try {
      attempt.run();
      got = "accepted";
    } catch (InputException e) {
      got = e.getMessage().contains(named) ? "refused" : "refused with: " + e.getMessage();
    }
    s.add(same("grok.10." + id, words + ", refused by name", "refused", got));
  }
}
