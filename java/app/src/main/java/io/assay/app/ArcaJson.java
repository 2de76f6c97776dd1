package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.arca.ArcaResult;
import java.util.List;

/** What a search found, as JSON. */
final class ArcaJson {
  private ArcaJson() {}

  /**
   * Fills in metrics and result.
   *
   * @param searches the search, and those that it is compared with
   * @param resumed whether the run has had an earlier life; operations are then not known
   */
  static void fill(Envelope envelope, List<ArcaSearch> searches, boolean resumed) {
    ArcaSearch first = searches.getFirst();
    metrics(envelope.metrics(), first)
        .put("coordinateUpdates", first.result().coordinateUpdates())
        .put("operations", resumed ? null : first.result().operations())
        .put("slots", first.result().slots());
    envelope.result().set("audits", audits(first.result().audits()));
    for (ArcaSearch other : searches.subList(1, searches.size())) {
      ObjectNode node = envelope.result().withArray("comparison").addObject();
      metrics(node.put("method", other.method()), other);
      node.set("audits", audits(other.result().audits()));
    }
    envelope.result().set("warnings", Envelope.JSON.valueToTree(first.result().warnings()));
  }

  private static ObjectNode metrics(ObjectNode node, ArcaSearch search) {
    return node.put("finds", search.finds().size())
        .put("verified", search.result().audits().stream().filter(search.story()::holds).count())
        .put("successRate", search.result().successRate())
        .put("anySuccessRate", search.result().anySuccessRate())
        .put("sequences", search.sequences());
  }

  /** JSON has no number for what is none. */
  private static Double number(double x) {
    return Double.isFinite(x) ? x : null;
  }

  private static ArrayNode audits(List<ArcaResult.Audit> audits) {
    ArrayNode list = Envelope.JSON.createArrayNode();
    for (ArcaResult.Audit a : audits) {
      ObjectNode node =
          list.addObject()
              .put("target", a.target())
              .put("restart", a.restart())
              .put("success", a.success())
              .put("sweep", a.sweep())
              .put("coordinateUpdates", a.coordinateUpdates());
      node.set("promptIds", Envelope.JSON.valueToTree(a.promptIds()));
      node.set("outputIds", Envelope.JSON.valueToTree(a.outputIds()));
      node.put("promptText", a.promptText())
          .put("outputText", a.outputText())
          .put("J", number(a.J()))
          .put("LP", number(a.LP()))
          .put("FL", number(a.FL()));
      node.set("promptUnigram", Envelope.JSON.valueToTree(a.promptUnigram()));
      node.set("outputUnigram", Envelope.JSON.valueToTree(a.outputUnigram()));
      node.put("greedyMargin", number(a.greedyMargin()))
          .put("textStable", a.textStable())
          .put("alreadyProduced", a.alreadyProduced())
          .put("forbidden", a.forbidden());
      if (a.bestSoFar() == null) {
        node.putNull("bestSoFar");
      } else {
        ObjectNode best = node.putObject("bestSoFar");
        best.set("promptIds", Envelope.JSON.valueToTree(a.bestSoFar().promptIds()));
        best.set("outputIds", Envelope.JSON.valueToTree(a.bestSoFar().outputIds()));
        best.put("J", a.bestSoFar().J());
      }
      node.put("forwardSequences", a.forwardSequences())
          .put("backwardSequences", a.backwardSequences())
          .put("seconds", a.seconds())
          .put("seed", a.seed())
          .put("stopReason", a.stopReason().name());
    }
    return list;
  }
}
