package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Line;
import io.assay.audit.grok.GrokSpec;
import io.assay.engine.train.Trainer.Stretch;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The report of {@code grok train}: losses, accuracies and weights over the steps. */
final class GrokTrainReport {
  private GrokTrainReport() {}

  /**
   * Writes the report into {@code folder}, under the name of the run.
   *
   * @throws io.assay.engine.InputException if it cannot be written
   */
  static Path write(Path folder, Envelope envelope, GrokSpec spec, List<Stretch> stretches) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    Stretch last = stretches.getLast();
    List<Fact> facts = new ArrayList<>();
    facts.add(new Fact("loss on training pairs", last.measures().get("trainLoss"), "nats"));
    if (last.measures().containsKey("testLoss")) {
      facts.add(new Fact("loss on test pairs", last.measures().get("testLoss"), "nats"));
      facts.add(new Fact("test pairs that are right", last.measures().get("testAcc"), "of 1"));
    }
    facts.add(new Fact("steps", last.step(), "in all"));
    facts.add(new Fact("time of the run", run.path("seconds").asDouble(), "s"));
    return new Page(
            "How a network learned " + spec.task().labels().name() + " mod " + spec.shape().p(),
            "%d of %d pairs are trained on, all in each step; AdamW with a weight decay of %s."
                .formatted(spec.task().trainCount(), spec.task().pairs(), spec.weightDecay()),
            facts,
            run,
            List.of(losses(stretches), accuracies(stretches), weights(stretches), table(stretches)))
        .write(file);
  }

  private static View losses(List<Stretch> stretches) {
    List<Line> lines = new ArrayList<>();
    double[] all =
        stretches.stream()
            .flatMapToDouble(s -> s.losses().stream().mapToDouble(Double::doubleValue))
            .toArray();
    Line smooth = TrainReport.smooth(all);
    lines.add(new Line("training pairs", smooth.x(), smooth.y(), smooth.low(), smooth.high()));
    add(lines, "test pairs", stretches, "testLoss");
    return new View.Lines(
        "Loss",
        "Mean cross-entropy. On training pairs the mean over neighbouring steps, the more the"
            + " later, with a band from the least to the greatest; on test pairs at each"
            + " evaluation. The gap that opens and closes is grokking.",
        "step",
        "loss, nats",
        false,
        true,
        lines);
  }

  private static View accuracies(List<Stretch> stretches) {
    List<Line> lines = new ArrayList<>();
    add(lines, "training pairs", stretches, "trainAcc");
    add(lines, "test pairs", stretches, "testAcc");
    return new View.Lines(
        "Right answers",
        "Share of the pairs whose largest output is the answer.",
        "step",
        "share",
        false,
        false,
        lines);
  }

  private static View weights(List<Stretch> stretches) {
    List<Line> lines = new ArrayList<>();
    add(lines, "all weights", stretches, "sumSq");
    return new View.Lines(
        "Sum of squared weights",
        "It grows while pairs are learned by heart, and falls when what that took is cleaned up.",
        "step",
        "sum of squares",
        false,
        false,
        lines);
  }

  private static void add(List<Line> lines, String name, List<Stretch> stretches, String measure) {
    List<Stretch> having =
        stretches.stream().filter(s -> s.measures().containsKey(measure)).toList();
    if (!having.isEmpty()) {
      lines.add(
          new Line(
              name,
              having.stream().mapToDouble(Stretch::step).toArray(),
              having.stream().mapToDouble(s -> s.measures().get(measure)).toArray()));
    }
  }

  private static View table(List<Stretch> stretches) {
    List<List<?>> rows = new ArrayList<>();
    for (Stretch s : stretches) {
      rows.add(
          List.of(
              s.step(),
              s.measures().get("trainLoss"),
              s.measures().getOrDefault("testLoss", Double.NaN),
              s.measures().getOrDefault("testAcc", Double.NaN),
              s.measures().get("sumSq"),
              s.sha256()));
    }
    return new View.Table(
        "Evaluations",
        "A run that is interrupted goes on after the last of these. The same run has the same"
            + " checkpoints, bit for bit, on one instruction set.",
        List.of(
            new Column("steps"),
            new Column("training loss", "nats", 4),
            new Column("test loss", "nats", 4),
            new Column("test pairs right", "of 1", 4),
            new Column("sum of squares", "", 1),
            new Column("SHA-256 of the checkpoint")),
        rows);
  }
}
