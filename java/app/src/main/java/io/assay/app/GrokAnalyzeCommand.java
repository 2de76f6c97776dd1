package io.assay.app;

import io.assay.audit.grok.GrokAnalysis;
import io.assay.audit.grok.GrokAnalysis.Point;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokSource;
import io.assay.audit.grok.GrokTask;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import io.assay.engine.run.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Takes a network that adds mod p apart. */
@Command(
    name = "analyze",
    sortOptions = false,
    description = {
      "Takes a network that adds mod p apart, and follows its training by progress measures.",
      "Finds the frequencies by which it adds, removes them and all else, and says what is left."
    },
    footer = {
      "",
      "  assay grok analyze FOLDER                      checkpoints of `assay grok train`",
      "  assay grok analyze run.pth --split-seed 1      a published run",
      "  assay grok analyze logits.safetensors --fraction 0.3 --split-seed 0",
      "  assay grok analyze network.onnx --fraction 0.3 --split-seed 0"
    })
final class GrokAnalyzeCommand implements Callable<Integer> {
  private static final String METHOD = "grok.analyze";
  private static final double PUBLISHED_SHARE = 0.3;

  @Mixin private Help help;

  @Parameters(
      paramLabel = "CHECKPOINTS",
      description =
          "A folder of checkpoints, a single .safetensors file of weights or of `logits` [p p, p]"
              + " for all pairs, a PyTorch file of the published runs, or an .onnx graph from ids"
              + " [N, 3] of a, b and \"=\" to `logits`.")
  private Path path;

  @Option(
      names = "--keys",
      split = ",",
      paramLabel = "K",
      description = "Key frequencies (default: those of which W_L has a quarter of the most).")
  private List<Integer> keys = List.of();

  @Option(
      names = {"--fraction", "--frac-train"},
      paramLabel = "SHARE",
      description = "Share of the pairs that was trained on, where the file does not say (0.3).")
  private Double share;

  @Option(
      names = "--split-seed",
      paramLabel = "SEED",
      description = "Seed of the shuffle of the pairs, where the file does not say (0).")
  private Long seed;

  @Option(
      names = "--allow-no-test",
      description = "Go on where all pairs were trained on; what is of the test set is then null.")
  private boolean allowNoTest;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "Folder for the run's ledger, its report and a CSV of all checkpoints (default:"
              + " $ASSAY_HOME, else $XDG_DATA_HOME/assay, else ~/.local/share/assay).")
  private Path out;

  @Mixin private Common common;

  @Override
  public Integer call() {
    GrokSource source = GrokSource.open(path);
    return Recording.of(common, common.recordFolder(out), METHOD, run -> analyze(source, run));
  }

  private GrokTask split(GrokSource source) {
    GrokTask said = source.split();
    double fraction = share != null ? share : said != null ? said.fracTrain() : PUBLISHED_SHARE;
    long shuffle = seed != null ? seed : said != null ? said.splitSeed() : 0;
    return GrokTask.addition(source.modulus(), fraction, shuffle);
  }

  private static String sha256(Path file) {
    try {
      return Sha256.hex(Files.readAllBytes(file));
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read", e);
    }
  }

  private void warn(GrokSource source, GrokTask split) {
    if (source.split() == null && (share == null || seed == null)) {
      common.warn(
          "the file does not say which pairs were trained on; taken as the share %s under seed %d"
              .formatted(split.fracTrain(), split.splitSeed()));
    }
    if (source.split() != null && !source.split().labels().name().equals(split.labels().name())) {
      common.warn(
          "the network was trained on the labels '%s'; it is measured against a + b"
              .formatted(source.split().labels().name()));
    }
    if (!GrokShape.of(split.p()).isPrime()) {
      common.warn(
          "the modulus %d is not prime; a frequency that shares a factor with it cannot tell all remainders apart"
              .formatted(split.p()));
    }
  }

  private int analyze(GrokSource source, Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    GrokTask split = split(source);
    try (Engine engine = common.engine()) {
      envelope.device(engine);
      envelope.model(path.getFileName().toString(), sha256(source.files().getLast()));
      envelope
          .spec()
          .put("checkpoints", path.toString())
          .put("fracTrain", split.fracTrain())
          .put("splitSeed", split.splitSeed())
          .put("allowNoTest", allowNoTest)
          .set("keys", Envelope.JSON.valueToTree(keys));
      envelope.describe(1);
      warn(source, split);
      GrokAnalysis analysis;
      try (Bar bar = new Bar(common, "analyses", "checkpoints")) {
        analysis =
            GrokAnalysis.run(
                engine,
                source,
                split,
                keys,
                allowNoTest,
                new GrokAnalysis.Listener() {
                  @Override
                  public void measured(int done, int all) {
                    String state = done + " of " + all + " checkpoints";
                    bar.show(done, all, Optional.empty(), "", () -> state);
                  }

                  @Override
                  public boolean isCancelled() {
                    return run.isCancelled();
                  }
                });
      }
      if (analysis == null) {
        return Recording.INTERRUPTED;
      }
      if (run.done().isEmpty()) {
        run.finish("checkpoints", "{}");
      }
      Path folder = common.recordFolder(out);
      GrokJson.write(envelope, analysis);
      Path csv = folder.resolve(envelope.run() + ".csv");
      GrokCsv.write(csv, envelope.result().path("checkpoints"));
      envelope.result().put("csv", csv.toString());
      Path report = GrokReport.analysis(folder, envelope, analysis);
      String text = envelope.text(report);
      run.complete(text);
      if (common.json()) {
        common.out().println(text);
      } else {
        table(analysis);
        common.out().println("table:  " + csv);
        common.out().println("report: " + report);
      }
      return 0;
    }
  }

  private void table(GrokAnalysis a) {
    Point end = a.points().getLast();
    line("key frequencies", a.keys().frequencies().toString() + notes(a));
    line("loss", losses(end.logits().train().loss(), end.logits().test().loss()));
    line("accuracy", losses(end.logits().train().accuracy(), end.logits().test().accuracy()));
    line(
        "restricted loss",
        "%.3g over all pairs; with random frequencies %.3g"
            .formatted(end.logits().restricted().loss(), end.logits().restrictedNull()));
    line("excluded loss", "%.3g over the training set".formatted(end.logits().excludedTrain()));
    line("explained", "%.1f %% of the logits".formatted(100 * end.logits().explained()));
    if (a.mechanism() != null) {
      line(
          "Gini",
          "%.3f of W_E, %.3f of W_L"
              .formatted(end.weights().giniEmbedding(), end.weights().giniNeuronLogits()));
      line("neurons", end.neurons().clusters() + " of " + end.neurons().frequency().length);
      line(
          "clock or pizza",
          "gradient symmetricity %.3f, distance irrelevance %.3f"
              .formatted(a.mechanism().kind().gradientSymmetricity(), a.distanceIrrelevance()));
    }
    if (a.phases().formed() != null) {
      line(
          "phases end",
          "memorisation %s, circuit %s, cleanup %s"
              .formatted(
                  epoch(a.phases().memorised()),
                  epoch(a.phases().formed()),
                  epoch(a.phases().cleaned())));
    }
  }

  private static String epoch(Double end) {
    return end == null ? "not yet" : "%.0f".formatted(end);
  }

  private static String notes(GrokAnalysis a) {
    String notes = a.keys().ambiguous() ? ", ambiguous" : "";
    notes += a.keys().notSparse() ? ", not sparse: the restricted loss says nothing" : "";
    return notes + (a.generalised() ? "" : ", of a network that has not generalised");
  }

  private static String losses(double train, double test) {
    return "%.4g in training, %.4g in test".formatted(train, test);
  }

  private void line(String name, String value) {
    common.out().printf(Locale.ROOT, "%-16s  %s%n", name, value);
  }
}
