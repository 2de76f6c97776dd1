package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.report.View;
import io.assay.app.report.View.Column;
import io.assay.engine.patch.Metric;
import java.util.List;

/**
 * The six choices on which an effect depends as much as on the model.
 *
 * @param granularity node, path or edge
 * @param component what is patched
 * @param value what it is replaced by
 * @param positions which at once
 * @param direction which prompt runs
 * @param set the prompts
 */
record PatchChoices(
    String granularity,
    String component,
    String value,
    String positions,
    String direction,
    String set) {

  /** Puts them into a record of the run. */
  void put(ObjectNode node) {
    node.set("choices", Envelope.JSON.valueToTree(this));
  }

  /**
   * As a table of the report.
   *
   * @param metric what is read, which decides no less
   */
  View table(Metric metric) {
    return new View.Table(
        "The six choices, and the metric",
        "Other choices ask other questions and give other numbers; say them with every number.",
        List.of(new Column("choice"), new Column("here")),
        List.of(
            List.of("granularity", granularity),
            List.of("component", component),
            List.of("replaced by", value),
            List.of("positions", positions),
            List.of("direction", direction),
            List.of("prompts", set),
            List.of("metric", metric.formula() + " at the last position, mean over the pairs")));
  }
}
