package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.audit.grok.GrokAnalysis;
import io.assay.audit.grok.GrokAnalysis.Point;
import io.assay.audit.grok.GrokSource;
import io.assay.audit.grok.LogitMeasures;
import io.assay.audit.grok.Neurons;
import io.assay.audit.grok.Phases;
import io.assay.engine.Engine;
import io.assay.engine.Sha256;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * The organism grok-113: what the paper finds in such a run is found in it; the control shows none.
 */
class Grok113Test {
  private static final Path FOLDER = Path.of("../../onnx-models/organisms/grok-113");
  private static final Path CONTROL = Path.of("../../onnx-models/organisms/grok-113-control");

  private static GrokAnalysis analysis(Path folder) {
    try (Engine engine = Engine.open()) {
      GrokSource source = GrokSource.open(folder);
      return GrokAnalysis.run(engine, source, source.split(), List.of(), false, (done, all) -> {});
    }
  }

  private static void within(double low, double high, double got, String what) {
    assertTrue(low <= got && got <= high, what + " is " + got + ", not " + low + " to " + high);
  }

  @Test
  void theRunGroksInThreePhasesByAFewFrequencies() {
    GrokAnalysis found = analysis(FOLDER);
    Phases phases = found.phases();
    assertTrue(phases.memorised() < phases.formed(), phases.toString());
    assertTrue(phases.formed() <= phases.cleaned(), phases.toString());
    Point end = found.points().getLast();
    LogitMeasures logits = end.logits();
    assertTrue(logits.test().loss() < 1e-6, "test loss " + logits.test().loss());
    assertEquals(1, logits.test().accuracy());
    within(3, 6, found.keys().frequencies().size(), "number of key frequencies");
    assertFalse(found.keys().notSparse());
    within(2e-8, 2e-7, logits.restricted().loss(), "restricted loss");
    assertTrue(logits.restricted().loss() < logits.all().loss());
    within(4, 10, logits.excludedTrain(), "excluded loss");
    within(0.93, 1, logits.explained(), "FVE of the logits");
    within(0.5, 1, end.weights().giniEmbedding(), "Gini of W_E");
    within(0.75, 1, end.weights().giniNeuronLogits(), "Gini of W_L");
    double[] explained = end.neurons().explained();
    double clear = Arrays.stream(explained).filter(x -> x > Neurons.CLUSTERED).count();
    within(0.7, 1, clear / explained.length, "share of clear neurons");
  }

  @Test
  void withoutDecayNothingIsGeneralised() {
    GrokAnalysis found = analysis(CONTROL);
    assertFalse(found.generalised());
    assertTrue(found.keys().notSparse());
    Point end = found.points().getLast();
    assertTrue(end.logits().train().accuracy() == 1);
    within(0, 0.6, end.logits().test().accuracy(), "test accuracy");
  }

  @Test
  void cardsHoldTheFiles() throws Exception {
    long bytes = 0;
    for (Path folder : List.of(FOLDER, CONTROL)) {
      JsonNode card = Envelope.JSON.readTree(folder.resolve("card.json").toFile());
      for (JsonNode file : card.path("files")) {
        byte[] content = Files.readAllBytes(folder.resolve(file.path("name").asText()));
        assertEquals(file.path("sha256").asText(), Sha256.hex(content), file.toString());
      }
      try (Stream<Path> all = Files.list(folder)) {
        bytes += all.mapToLong(f -> f.toFile().length()).sum();
      }
    }
    assertTrue(bytes < 12_000_000, "bytes " + bytes);
  }
}
