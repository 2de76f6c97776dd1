package io.assay.audit.grok;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;
import static io.assay.audit.Statement.skipped;

import io.assay.audit.Statement;
import io.assay.audit.grok.Mechanism.Ablated;
import io.assay.audit.grok.Mechanism.ReadOut;
import io.assay.engine.Engine;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Statement 8 of specs/grokking.md section 8: the published runs, where their files are given. */
final class OfficialStatements {
  private static final String DECAY = "wd_10-1_mod_addition_loss_curve.pth";
  private static final String NO_DECAY = "mod_addition_no_wd.pth";
  private static final double[][] READ = {
    {.9412, .9339}, {.9854, .9854}, {.9354, .9465}, {.8957, .8879}, {.8694, .8786}
  };

  private final Engine engine;
  private final Path folder;
  private final List<Statement> s = new ArrayList<>();

  /**
   * @param folder with the files of the published runs, or null to skip
   */
  OfficialStatements(Engine engine, Path folder) {
    this.engine = engine;
    this.folder = folder;
  }

  List<Statement> statements() {
    String words = "the published run with weight decay 0.1";
    if (folder == null || !Files.exists(folder.resolve(DECAY))) {
      s.add(skipped("grok.8.decay", words, missing(DECAY)));
    } else {
      decay();
    }
    if (folder == null || !Files.exists(folder.resolve(NO_DECAY))) {
      s.add(skipped("grok.8.none", "the published run without weight decay", missing(NO_DECAY)));
    } else {
      noDecay();
    }
    return s;
  }

  private static String missing(String file) {
    return "the file " + file + " is not given; name its folder with --official";
  }

  /** A number that is known to so many digits. */
  private void close(String id, String words, double expected, double got, double relative) {
    s.add(near("grok.8." + id, words, expected, got, relative * Math.abs(expected)));
  }

  private GrokAnalysis analyse(String file, double share, long seed) {
    GrokSource source = GrokSource.open(folder.resolve(file));
    GrokTask split = GrokTask.addition(source.modulus(), share, seed);
    return GrokAnalysis.run(engine, source, split, List.of(), false, (_, _) -> {});
  }

  private void decay() {
    GrokAnalysis a = analyse(DECAY, 0.3, 1);
    LogitMeasures m = a.points().getLast().logits();
    WeightMeasures w = a.points().getLast().weights();
    close("train", "training loss", 9.20e-9, m.train().loss(), 1e-3);
    close("test", "test loss", 4.988e-7, m.test().loss(), 1e-3);
    s.add(
        same("grok.8.keys", "key frequencies", List.of(6, 23, 37, 39, 41), a.keys().frequencies()));
    close("restricted", "restricted loss", 2.20e-9, m.restricted().loss(), 3e-3);
    close("excluded", "excluded loss", 8.385, m.excludedTrain(), 1e-3);
    close("explained", "variance explained", 0.9748, m.explained(), 1e-3);
    close("explained.class", "by class", 0.9756, m.explainedPerClass(), 1e-3);
    close("cosine", "loss of the cosines alone", 1.6e-9, m.cosineLoss(), 4e-2);
    close("gini.W_E", "Gini of W_E", 0.5386, w.giniEmbedding(), 1e-3);
    close("gini.W_L", "Gini of W_L", 0.7576, w.giniNeuronLogits(), 1e-3);
    close("squares", "sum of squared weights", 1181.0, w.sumSquares(), 1e-3);
    s.add(
        same(
            "grok.8.clusters",
            "neurons by frequency",
            Map.of(6, 47, 23, 31, 37, 65, 39, 11, 41, 31),
            a.points().getLast().neurons().clusters()));
    Mechanism mechanism = a.mechanism();
    close("residual", "what the key frequencies leave of W_L", 0.0996, mechanism.residual(), 1e-3);
    for (Attention head : mechanism.attention()) {
      s.add(
          near(
              "grok.8.equals." + head.head(),
              "attention of head " + head.head() + " to \"=\"",
              0.0019,
              head.equals(),
              0.00015));
    }
    ablated(mechanism, "only 3 x 3 blocks of the key frequencies kept", 3.77e-9, 3e-3);
    ablated(mechanism, "skip around the MLP zero", 1.13e-6, 1e-2);
    ablated(mechanism, "skip around the MLP at its mean", 8.18e-7, 1e-2);
    ablated(mechanism, "neurons projected on their complement", 5.727, 1e-3);
    for (int i = 0; i < READ.length; i++) {
      ReadOut r = mechanism.readOuts().get(i);
      String of = " along the directions of " + r.frequency();
      close("u." + r.frequency(), "cos explained" + of, READ[i][0], r.cosineExplained(), 1e-3);
      close("v." + r.frequency(), "sin explained" + of, READ[i][1], r.sineExplained(), 1e-3);
    }
    double wrong = analyse(DECAY, 0.3, 0).points().getLast().logits().train().loss();
    close("wrong", "training loss with the pairs of another seed", 3.75e-7, wrong, 5e-3);
  }

  private void ablated(Mechanism mechanism, String name, double expected, double relative) {
    Ablated got =
        mechanism.ablations().stream().filter(a -> a.name().equals(name)).findFirst().orElseThrow();
    int number = mechanism.ablations().indexOf(got) + 1;
    close("ablated." + number, "loss, " + name, expected, got.loss(), relative);
  }

  private void noDecay() {
    GrokAnalysis a = analyse(NO_DECAY, 0.9, 0);
    LogitMeasures m = a.points().getLast().logits();
    close("none.train", "training loss without decay", 1.681e-10, m.train().loss(), 1e-3);
    close("none.test", "test loss", 1.1097e-6, m.test().loss(), 1e-3);
    s.add(same("grok.8.none.keys", "key frequencies", List.of(36, 52), a.keys().frequencies()));
  }
}
