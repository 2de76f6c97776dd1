package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.grok.Attention;
import io.assay.audit.grok.GrokAnalysis;
import io.assay.audit.grok.GrokAnalysis.Point;
import io.assay.audit.grok.Keys;
import io.assay.audit.grok.LogitMeasures;
import io.assay.audit.grok.Mechanism;
import io.assay.audit.grok.Neurons;
import io.assay.audit.grok.WeightMeasures;

/** An analysis as JSON, by the names of specs/grokking.md 2.5; what is not a number is null. */
final class GrokJson {
  private GrokJson() {}

  /** Metrics: the last checkpoint's headline numbers. Result: everything. */
  static void write(Envelope envelope, GrokAnalysis a) {
    ObjectNode last = point(a, a.points().getLast());
    for (String field :
        new String[] {
          "epoch",
          "trainLoss",
          "testLoss",
          "allLoss",
          "trainAcc",
          "testAcc",
          "restrictedAll",
          "excludedTrain",
          "cosOnlyAll",
          "giniWE",
          "giniWL",
          "sumSq",
          "restrictedNull"
        }) {
      if (last.has(field)) {
        envelope.metrics().set(field, last.get(field));
      }
    }
    envelope.metrics().set("fveLogits", last.at("/fveLogits/global"));
    ObjectNode result = envelope.result();
    result.put("p", a.p());
    keys(result, a);
    number(result, "distanceIrrelevance", a.distanceIrrelevance());
    result
        .putObject("phases")
        .put("memorised", a.phases().memorised())
        .put("formed", a.phases().formed())
        .put("cleaned", a.phases().cleaned());
    ArrayNode checkpoints = result.putArray("checkpoints");
    a.points().forEach(x -> checkpoints.add(point(a, x)));
    if (a.mechanism() != null) {
      mechanism(result.putObject("mechanism"), a.mechanism());
    }
  }

  private static void keys(ObjectNode node, GrokAnalysis a) {
    Keys keys = a.keys();
    node.set("keyFreqs", Envelope.JSON.valueToTree(keys.frequencies()));
    node.put("keyFreqRule", keys.rule())
        .put("keyFreqAmbiguous", keys.ambiguous())
        .put("keysNotSparse", keys.notSparse())
        .put("keysFromUngeneralisedModel", !a.generalised());
  }

  private static ObjectNode point(GrokAnalysis a, Point x) {
    ObjectNode node = Envelope.JSON.createObjectNode();
    node.put("epoch", x.epoch());
    logits(node, x.logits());
    keys(node, a);
    if (x.weights() != null) {
      weights(node, x.weights());
      neurons(node, x.neurons());
    }
    return node;
  }

  private static void logits(ObjectNode node, LogitMeasures m) {
    number(node, "trainLoss", m.train().loss());
    number(node, "testLoss", m.test().loss());
    number(node, "allLoss", m.all().loss());
    number(node, "trainAcc", m.train().accuracy());
    number(node, "testAcc", m.test().accuracy());
    number(node, "restrictedAll", m.restricted().loss());
    number(node, "restrictedTrain", m.restrictedTrain().loss());
    number(node, "restrictedTest", m.restrictedTest().loss());
    number(node, "restrictedAccAll", m.restricted().accuracy());
    number(node, "restrictedAccTrain", m.restrictedTrain().accuracy());
    number(node, "restrictedAccTest", m.restrictedTest().accuracy());
    number(node, "restrictedNull", m.restrictedNull());
    number(node, "excludedTrain", m.excludedTrain());
    number(node, "excludedTest", m.excludedTest());
    number(node, "excludedRotationTrain", m.excludedRotation());
    numbers(node, "excludedByFreqTrain", m.excludedByFrequency());
    number(node, "excludedMaxTrain", m.excludedMax());
    numbers(node, "a", m.a());
    ObjectNode explained = node.putObject("fveLogits");
    number(explained, "global", m.explained());
    number(explained, "perClass", m.explainedPerClass());
    number(explained, "both", m.explainedBoth());
    number(node, "cosOnlyAll", m.cosineLoss());
  }

  private static void weights(ObjectNode node, WeightMeasures w) {
    number(node, "giniWE", w.giniEmbedding());
    number(node, "giniWL", w.giniNeuronLogits());
    number(node, "giniWEPairs", w.giniEmbeddingPairs());
    number(node, "giniWLPairs", w.giniNeuronLogitsPairs());
    numbers(node, "weNorm", w.embedding());
    numbers(node, "wlNorm", w.neuronLogits());
    ObjectNode squares = node.putObject("sumSqByParam");
    w.sumOfSquares().forEach(squares::put);
    number(node, "sumSq", w.sumSquares());
  }

  private static void neurons(ObjectNode node, Neurons n) {
    node.set("neuronFreq", Envelope.JSON.valueToTree(n.frequency()));
    numbers(node, "neuronFve", n.explained());
    numbers(node, "neuronSumShare", n.sumShare());
    ObjectNode clusters = node.putObject("clusters");
    n.clusters().forEach((k, count) -> clusters.put(k.toString(), count));
  }

  private static void mechanism(ObjectNode node, Mechanism m) {
    numbers(node, "wlSingularValues", m.singularValues());
    node.put("wlRank", m.rank());
    number(node, "wlResidual", m.residual());
    ArrayNode readOuts = node.putArray("readOuts");
    for (Mechanism.ReadOut r : m.readOuts()) {
      ObjectNode each = readOuts.addObject().put("frequency", r.frequency());
      number(each, "cos", r.cosine());
      number(each, "cosFve", r.cosineExplained());
      number(each, "sin", r.sine());
      number(each, "sinFve", r.sineExplained());
      numbers(each, "products", r.products());
    }
    ArrayNode heads = node.putArray("attention");
    for (Attention head : m.attention()) {
      ObjectNode each =
          heads.addObject().put("head", head.head()).put("frequency", head.frequency());
      number(each, "toEquals", head.equals());
      number(each, "mean", head.mean());
      number(each, "alpha", head.alpha());
      number(each, "beta", head.beta());
      number(each, "fve", head.explained());
      numbers(each, "scoreNorm", head.scores());
    }
    ArrayNode ablations = node.putArray("ablations");
    for (Mechanism.Ablated x : m.ablations()) {
      ObjectNode each = ablations.addObject().put("name", x.name());
      number(each, "loss", x.loss());
      number(each, "acc", x.accuracy());
    }
    number(node, "gradientSymmetricity", m.kind().gradientSymmetricity());
    number(node, "circularity", m.kind().circularity());
  }

  private static void numbers(ObjectNode node, String field, double[] values) {
    ArrayNode list = node.putArray(field);
    for (double x : values) {
      if (Double.isFinite(x)) {
        list.add(x);
      } else {
        list.addNull();
      }
    }
  }

  private static void number(ObjectNode node, String field, double value) {
    node.put(field, Double.isFinite(value) ? value : null);
  }
}
