package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Line;
import io.assay.engine.train.TrainSpec;
import io.assay.engine.train.Trainer.Stretch;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.DoubleStream;
import java.util.stream.LongStream;

/** The report of a training: its loss, its learning rate, its checkpoints. */
final class TrainReport {
  /** The share of the updates so far over which the curve takes a mean. */
  private static final double SMOOTH = 0.04;

  private TrainReport() {}

  /**
   * Writes the report into {@code folder}, under the name of the run.
   *
   * @param name of the model
   * @param stretches all of them
   * @param heldOutLoss loss of the trained model on text that it did not read, nats
   * @throws io.assay.engine.InputException if it cannot be written
   */
  static Path write(
      Path folder,
      Envelope envelope,
      String name,
      TrainSpec spec,
      List<Stretch> stretches,
      double heldOutLoss) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    return new Page(
            "How " + name + " was trained",
            "AdamW, %d updates, each by the mean loss of one batch; gradients by Assay's own differentiation of the model's graph."
                .formatted(spec.steps()),
            List.of(
                new Fact("loss on text that it did not read", heldOutLoss, "nats a token"),
                new Fact(
                    "mean loss of the last stretch", stretches.getLast().loss(), "nats a token"),
                new Fact("updates", spec.steps(), "in all"),
                new Fact("time of the run", run.path("seconds").asDouble(), "s")),
            run,
            List.of(loss(stretches), rate(spec), checkpoints(stretches)))
        .write(file);
  }

  private static View loss(List<Stretch> stretches) {
    double[] losses =
        stretches.stream()
            .flatMapToDouble(s -> s.losses().stream().mapToDouble(Double::doubleValue))
            .toArray();
    return new View.Lines(
        "Loss",
        "Mean over neighbouring updates, the more the later; the band reaches from the least to the"
            + " greatest loss of a batch among them. Each is the loss before its update.",
        "update",
        "loss, nats a token",
        true,
        false,
        List.of(smooth(losses)));
  }

  /** Means over windows that grow with the step, with a band around the values in each. */
  static Line smooth(double[] losses) {
    List<double[]> points = new ArrayList<>();
    for (int from = 0; from < losses.length; ) {
      int to = Math.min(losses.length, from + 1 + (int) (SMOOTH * from));
      double[] window = Arrays.copyOfRange(losses, from, to);
      Arrays.sort(window);
      points.add(
          new double[] {
            (from + 1 + to) / 2.0,
            DoubleStream.of(window).average().orElseThrow(),
            window[0],
            window[window.length - 1]
          });
      from = to;
    }
    return new Line(
        "training", column(points, 0), column(points, 1), column(points, 2), column(points, 3));
  }

  private static double[] column(List<double[]> points, int column) {
    return points.stream().mapToDouble(p -> p[column]).toArray();
  }

  private static View rate(TrainSpec spec) {
    return new View.Lines(
        "Learning rate",
        "",
        "update",
        "learning rate",
        false,
        false,
        List.of(
            new Line(
                "learning rate",
                LongStream.rangeClosed(1, spec.steps()).asDoubleStream().toArray(),
                LongStream.range(0, spec.steps()).mapToDouble(spec::rate).toArray())));
  }

  private static View checkpoints(List<Stretch> stretches) {
    List<List<?>> rows = new ArrayList<>();
    for (Stretch s : stretches) {
      rows.add(List.of(s.step(), s.loss(), s.sha256()));
    }
    return new View.Table(
        "Stretches",
        "A run that is interrupted goes on after the last of these. The same build has the same"
            + " checkpoints, bit for bit, on one instruction set.",
        List.of(
            new Column("updates done"),
            new Column("mean loss", "nats a token", 4),
            new Column("SHA-256 of the checkpoint")),
        rows);
  }
}
