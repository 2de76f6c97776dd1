package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.grok.GrokSpec;
import io.assay.audit.grok.GrokTraining;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import io.assay.engine.train.Trainer.Stretch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Trains a network until it groks. */
@Command(
    name = "train",
    sortOptions = false,
    description = {
      "Trains the published network on its task, and keeps its weights along the way.",
      "The defaults are the published run. The same call gives the same weights, bit for bit on one"
          + " instruction set, whatever the number of threads and the interruptions."
    },
    footer = {
      "",
      "  assay grok train --trajectory grok-113",
      "  assay grok train --p 59 --fraction 0.5 --weight-decay 2 --width 64 --neurons 256 \\",
      "      --epochs 4000 --every 50 --trajectory small"
    })
final class GrokTrainCommand implements Callable<Integer> {
  private static final String METHOD = "grok.train";

  /** The evaluations as a table, beside the weights. */
  static final String CURVES = "curves.csv";

  /** What was trained and how, beside the weights. */
  static final String CARD = "card.json";

  private static final List<String> COLUMNS =
      List.of("trainLoss", "testLoss", "allLoss", "trainAcc", "testAcc", "allAcc", "sumSq");

  @Mixin private Help help;
  @Mixin private GrokOptions options;

  @Option(
      names = "--trajectory",
      paramLabel = "DIR",
      description =
          "Folder for the weights along the way and the curves (default: in that of --out, by the"
              + " name of the run).")
  private Path trajectory;

  @Option(
      names = "--keep",
      paramLabel = "EPOCH",
      split = ",",
      description = "Keep weights only at these evaluations, and the first and last (all).")
  private Set<Long> keep;

  @Mixin private RunFolder out;

  @Mixin private Common common;

  @Override
  public Integer call() {
    GrokSpec spec = options.spec();
    for (long epoch : keep == null ? Set.<Long>of() : keep) {
      if (epoch % spec.every() != 0 || epoch < 0 || epoch > spec.epochs()) {
        throw new InputException(
            "--keep names "
                + epoch
                + ", where there is no evaluation; they are every "
                + spec.every()
                + " steps up to "
                + spec.epochs());
      }
    }
    return Recording.of(common, out.of(common), METHOD, run -> train(spec, run));
  }

  private int train(GrokSpec spec, Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    if (!spec.shape().isPrime()) {
      common.warn(
          "p is "
              + spec.shape().p()
              + ", which is not prime: a frequency that shares a factor with it cannot tell all"
              + " remainders apart");
    }
    Path folder =
        trajectory != null ? trajectory : out.of(common).resolve(run.name() + "-trajectory");
    try (Engine engine = common.engine()) {
      envelope.device(engine);
      describe(envelope.spec(), spec);
      envelope.describe(Math.ceilDiv(spec.epochs(), spec.every()));
      GrokTraining.Result result;
      try (GrokProgress progress = new GrokProgress(common)) {
        UnitListener<Stretch> units = run.units(Stretch.class, Stretch::name);
        units.done().forEach(progress::evaluated);
        result =
            GrokTraining.run(
                engine,
                spec,
                progress,
                shown(units, progress),
                run.folder(),
                folder,
                epoch -> keep == null || keep.contains(epoch));
      }
      if (!result.finished()) {
        return Recording.INTERRUPTED;
      }
      write(folder.resolve(CURVES), curves(result.stretches()));
      Stretch last = result.stretches().getLast();
      write(folder.resolve(CARD), card(engine, envelope.spec(), last, folder));
      envelope.metrics().put("epochs", last.step());
      last.measures().forEach(envelope.metrics()::put);
      envelope.result().put("trajectory", folder.toString());
      for (Stretch s : result.stretches()) {
        ObjectNode row = envelope.result().withArray("evaluations").addObject();
        row.put("epoch", s.step());
        s.measures().forEach(row::put);
        row.put("sha256", s.sha256());
      }
      Path report = GrokTrainReport.write(out.of(common), envelope, spec, result.stretches());
      String text = envelope.text(report);
      run.complete(text);
      if (common.json()) {
        common.out().println(text);
      } else {
        common
            .out()
            .printf(
                Locale.ROOT,
                "%d steps, %.0f s: loss %.3g on training pairs%s%nweights: %s%nreport: %s%n",
                last.step(),
                envelope.seconds(),
                last.measures().get("trainLoss"),
                tested(last),
                folder,
                report);
      }
      return 0;
    }
  }

  private static String tested(Stretch last) {
    return last.measures().containsKey("testLoss")
        ? String.format(
            Locale.ROOT,
            ", %.3g on test pairs, of which %.2f %% are right",
            last.measures().get("testLoss"),
            100 * last.measures().get("testAcc"))
        : "";
  }

  private static void describe(ObjectNode node, GrokSpec spec) {
    node.put("p", spec.shape().p())
        .put("width", spec.shape().width())
        .put("heads", spec.shape().heads())
        .put("headWidth", spec.shape().headWidth())
        .put("inner", spec.shape().inner())
        .put("outputClasses", spec.shape().outputClasses())
        .put("mlpBias", spec.shape().mlpBias())
        .put("fracTrain", spec.task().fracTrain())
        .put("splitSeed", spec.task().splitSeed())
        .put("labels", spec.task().labels().name())
        .put("initSeed", spec.initSeed())
        .put("epochs", spec.epochs())
        .put("learningRate", spec.learningRate())
        .put("weightDecay", spec.weightDecay())
        .put("every", spec.every())
        .put("stopLoss", spec.stopLoss());
    // Runs from before there was this rule have no word of it, and can be resumed.
    if (spec.stopSettled() > 0) {
      node.put("stopSettled", spec.stopSettled());
    }
  }

  private static UnitListener<Stretch> shown(UnitListener<Stretch> units, GrokProgress progress) {
    return new UnitListener<>() {
      @Override
      public List<Stretch> done() {
        return units.done();
      }

      @Override
      public void finished(Stretch unit) {
        progress.evaluated(unit);
        units.finished(unit);
      }

      @Override
      public void lost(Stretch unit) {
        units.lost(unit);
      }

      @Override
      public boolean cancelled() {
        return units.cancelled();
      }
    };
  }

  /** A line for each evaluation; a number that there is not is left out. */
  private static String curves(List<Stretch> stretches) {
    return stretches.stream()
        .map(
            s ->
                s.step()
                    + COLUMNS.stream()
                        .map(c -> s.measures().containsKey(c) ? "," + s.measures().get(c) : ",")
                        .collect(Collectors.joining()))
        .collect(Collectors.joining("\n", "epoch," + String.join(",", COLUMNS) + "\n", "\n"));
  }

  private String card(Engine engine, ObjectNode spec, Stretch last, Path folder) {
    ObjectNode card = Envelope.JSON.createObjectNode();
    card.put(
        "what",
        "A one-layer transformer that learned %s mod %d, along its training."
            .formatted(spec.path("labels").asText(), spec.path("p").asInt()));
    card.put("command", command());
    card.set("training", spec);
    card.put(
        "builtOn",
        System.getProperty("os.arch")
            + ", kernels "
            + engine.kernels().implementation()
            + " "
            + engine.kernels().tier());
    ObjectNode end = card.putObject("end").put("epochs", last.step());
    last.measures().forEach(end::put);
    OrganismCard.files(card.putArray("files"), folder);
    return OrganismCard.text(card);
  }

  /** The command line without the folders, which are where they are. */
  private String command() {
    List<String> words = new ArrayList<>(List.of("assay"));
    List<String> given = common.arguments();
    for (int i = 0; i < given.size(); i++) {
      if (given.get(i).equals("--trajectory") || given.get(i).equals("--out")) {
        i++;
      } else if (!given.get(i).startsWith("--trajectory=") && !given.get(i).startsWith("--out=")) {
        words.add(given.get(i));
      }
    }
    return String.join(" ", words) + " --trajectory DIR";
  }

  private static void write(Path file, String text) {
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be written: " + e.getMessage(), e);
    }
  }
}
