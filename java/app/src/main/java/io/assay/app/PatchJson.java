package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.patch.AttributeSpec.Method;
import io.assay.engine.patch.EdgeMap;
import io.assay.engine.patch.PatchMap;
import java.util.List;
import java.util.function.IntToDoubleFunction;

/** A map of patches in the envelope. */
final class PatchJson {
  /** Why a score is missing. */
  static final String NO_SCORE =
      "clean and corrupt differ by less than 1e-6, so that there is nothing to normalise by";

  /** What {@code result.values} are: {@code metric}, {@code change} or {@code share}. */
  private static final String KIND = "values_are";

  private PatchJson() {}

  /** A map whose values are the metric after each patch. */
  static void fill(Envelope envelope, PatchMap map, boolean perPair) {
    fill(envelope, map, perPair, "metric");
  }

  private static void fill(Envelope envelope, PatchMap map, boolean perPair, String kind) {
    ObjectNode result = envelope.result();
    result.put(KIND, kind);
    result.set("axes", Envelope.JSON.valueToTree(map.axes()));
    result.set("labels", Envelope.JSON.valueToTree(map.labels()));
    result.put("clean", map.clean()).put("corrupt", map.corrupt());
    result.set("values", nested(map, map::mean));
    boolean scored = !Double.isNaN(map.normalised(0));
    result.set("normalised", scored ? nested(map, map::normalised) : null);
    result.put("reason", scored ? null : NO_SCORE);
    if (perPair) {
      ObjectNode pairs = result.putObject("pairs");
      pairs.set("clean", Envelope.JSON.valueToTree(map.base().clean()));
      pairs.set("corrupt", Envelope.JSON.valueToTree(map.base().corrupt()));
      ArrayNode values = pairs.putArray("values");
      for (int pair = 0; pair < map.base().clean().length; pair++) {
        int at = pair;
        values.add(nested(map, cell -> map.values()[cell][at]));
      }
    }
    envelope
        .metrics()
        .put("clean", map.clean())
        .put("corrupt", map.corrupt())
        .put("cells", map.cells())
        .put("pairs", map.base().clean().length);
  }

  /** Estimates of first order, which are changes of the metric, or shares of it. */
  static void estimates(Envelope envelope, PatchMap map, boolean perPair, Method method) {
    fill(envelope, map, perPair, method == Method.DLA ? "share" : "change");
    envelope.result().remove(List.of("normalised", "reason"));
  }

  /**
   * @param circuit the edges that were chosen
   */
  static void fill(Envelope envelope, EdgeMap map, List<EdgeMap.Edge> circuit) {
    List<String> sources = map.edges().sources();
    List<String> destinations = map.edges().destinations();
    ObjectNode result = envelope.result();
    result.put(KIND, "change");
    result.set("sources", Envelope.JSON.valueToTree(sources));
    result.set("destinations", Envelope.JSON.valueToTree(destinations));
    result.put("clean", map.clean()).put("corrupt", map.corrupt());
    result.set("values", Envelope.JSON.valueToTree(map.values()));
    ArrayNode mask = result.putArray("mask");
    for (int s = 0; s < sources.size(); s++) {
      ArrayNode row = mask.addArray();
      for (int d = 0; d < destinations.size(); d++) {
        row.add(map.edges().has(s, d) ? 1 : 0);
      }
    }
    ArrayNode chosen = result.putArray("circuit");
    circuit.forEach(
        e ->
            chosen
                .addObject()
                .put("source", sources.get(e.source()))
                .put("destination", destinations.get(e.destination()))
                .put("score", e.score()));
    envelope.metrics().put("clean", map.clean()).put("corrupt", map.corrupt());
    envelope.metrics().put("edges", map.edges().count()).put("pairs", map.base().clean().length);
  }

  /** One number for each cell, nested as the axes are; a number alone where there is no axis. */
  private static JsonNode nested(PatchMap map, IntToDoubleFunction value) {
    if (map.axes().isEmpty()) {
      return Envelope.JSON.getNodeFactory().numberNode(value.applyAsDouble(0));
    }
    return nested(map.labels(), 0, 0, value);
  }

  private static ArrayNode nested(
      List<List<String>> labels, int axis, int index, IntToDoubleFunction value) {
    ArrayNode list = Envelope.JSON.createArrayNode();
    int size = labels.get(axis).size();
    for (int i = 0; i < size; i++) {
      int next = index * size + i;
      if (axis == labels.size() - 1) {
        list.add(value.applyAsDouble(next));
      } else {
        list.add(nested(labels, axis + 1, next, value));
      }
    }
    return list;
  }
}
