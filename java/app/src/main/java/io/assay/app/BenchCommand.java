package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.bench.Roof;
import io.assay.app.bench.Rows;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** Times this machine. */
@Command(
    name = "bench",
    description = {
      "Times kernels, gradients and audits against what else people would use.",
      "Each answer is checked first. Both ways run in turn; medians count. On one thread, processor"
          + " time is measured.",
      "The benches of memory take half an hour and run only when they are named: assay bench memory"
    })
final class BenchCommand implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Parameters(
      paramLabel = "FILTER",
      arity = "0..1",
      defaultValue = "",
      description = "Only benches whose name contains this (default: all).")
  private String filter;

  @Override
  public Integer call() {
    if (Rows.names().stream().noneMatch(name -> name.contains(filter))) {
      throw new InputException(
          "there is no bench '" + filter + "'; there are " + String.join(", ", Rows.names()));
    }
    Envelope envelope = new Envelope("bench");
    envelope.spec().put("filter", filter);
    try (Engine engine = common.engine()) {
      envelope.device(engine.options());
      envelope.spec().put("kernels", engine.kernels().tier());
      try (Rows rows = new Rows(engine)) {
        say(rows.roof());
        ArrayNode list = envelope.result().putArray("rows");
        rows.run(
            filter,
            row -> {
              list.add(json(row));
              common.say(line(row));
            });
        Roof roof = rows.roof();
        envelope
            .metrics()
            .put("roof_bytes_per_s", roof.bytesPerSecond())
            .put("roof_bytes_per_s_1gb", roof.bytesPerSecondLarge())
            .put("roof_flop_per_s", roof.operationsPerSecond());
      }
    }
    if (common.json()) {
      common.out().println(envelope.text(null));
    }
    return 0;
  }

  private void say(Roof roof) {
    common.say(
        "roof: %.1f GB/s read (%.1f at 1 GB), %.1f GFLOP/s fp32"
            .formatted(
                roof.bytesPerSecond() / 1e9,
                roof.bytesPerSecondLarge() / 1e9,
                roof.operationsPerSecond() / 1e9));
  }

  private static ObjectNode json(Rows.Row row) {
    ObjectNode json =
        Envelope.JSON
            .createObjectNode()
            .put("bench", row.bench())
            .put("shape", row.shape())
            .put("clock", row.clock())
            .put("threads", row.threads())
            .put("ours_s", row.oursSeconds())
            .put("baseline", row.baseline())
            .put("baseline_s", row.baselineSeconds())
            .put("ratio", row.ratio())
            .put("share_of_roof", known(row.shareOfRoof()))
            .put("baseline_share_of_roof", known(row.baselineShareOfRoof()))
            .put("runs", row.runs());
    if (!Double.isNaN(row.boundSeconds())) {
      json.put("bound_s", row.boundSeconds());
    }
    if (!Double.isNaN(row.boundBytes())) {
      json.put("peak_bytes", known(row.peakBytes())).put("bound_bytes", row.boundBytes());
    }
    return json;
  }

  private static Double known(double value) {
    return Double.isNaN(value) ? null : value;
  }

  private static String line(Rows.Row row) {
    String bound =
        Double.isNaN(row.boundSeconds())
            ? ""
            : "; bound %.5f s: %s".formatted(row.boundSeconds(), said(row.holds()));
    if (!Double.isNaN(row.boundBytes())) {
      bound +=
          "; peak %.2f GB above the start, bound %.2f GB: %s"
              .formatted(row.peakBytes() / 1e9, row.boundBytes() / 1e9, said(row.fits()));
    }
    return "%-16s %-48s %9.5f s%s; %s %9.5f s%s; ratio %.2f%s"
        .formatted(
            row.bench(),
            row.shape(),
            row.oursSeconds(),
            ofRoof(row.shareOfRoof()),
            row.baseline(),
            row.baselineSeconds(),
            ofRoof(row.baselineShareOfRoof()),
            row.ratio(),
            bound);
  }

  private static String said(boolean holds) {
    return holds ? "holds" : "DOES NOT HOLD";
  }

  private static String ofRoof(double share) {
    return Double.isNaN(share) ? "" : ", %2.0f %% of the roof".formatted(100 * share);
  }
}
