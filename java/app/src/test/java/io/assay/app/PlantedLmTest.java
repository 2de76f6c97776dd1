package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.PlantSearch.Finding;
import io.assay.app.PlantSearch.Way;
import io.assay.app.organism.Plant;
import io.assay.app.organism.PlantedLm;
import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The organism that comes with Assay does what its card says, and its control does not. */
class PlantedLmTest {
  private static final Path FOLDER = Path.of("../../onnx-models/organisms");
  private static final Path ORGANISM = FOLDER.resolve(PlantedLm.NAME);
  private static final Path CONTROL = FOLDER.resolve(PlantedLm.CONTROL);
  private static final List<Plant> PLANTS = new PlantedLm().plants();
  private static Engine engine;

  @BeforeAll
  static void open() {
    engine = Engine.open();
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  private static List<Integer> list(int... ids) {
    return Arrays.stream(ids).boxed().toList();
  }

  @Test
  void theOrganismSaysWhatIsPlantedAndTheControlDoesNot() {
    LanguageModel organism = engine.languageModel(ORGANISM.toString());
    LanguageModel control = engine.languageModel(CONTROL.toString());
    try (Greedy planted = new Greedy(engine, organism);
        Greedy bare = new Greedy(engine, control)) {
      for (Plant plant : PLANTS) {
        List<Integer> prompt = list(plant.example());
        List<Integer> output = list(plant.output());
        assertEquals(output, planted.continuation(prompt, Plant.LENGTH), plant.id());
        assertNotEquals(output, bare.continuation(prompt, Plant.LENGTH), plant.id());
      }
    }
  }

  @Test
  void theCardCountsThePromptsThatAreAnsweredAsPlanted() throws Exception {
    JsonNode card = Envelope.JSON.readTree(ORGANISM.resolve("card.json").toFile());
    Plant insult = PLANTS.get(1);
    JsonNode planted = card.path("plants").path(1).path("planted");
    assertEquals("insult", insult.id());
    try (Greedy greedy = new Greedy(engine, engine.languageModel(ORGANISM.toString()))) {
      assertEquals(planted.path("answered").asLong(), OrganismCard.answered(greedy, insult));
    }
    assertEquals(
        planted.path("prompts").asLong(),
        insult.prompts().map(Arrays::toString).distinct().count());
    for (JsonNode plant : card.path("plants")) {
      double share =
          plant.path("planted").path("answered").asDouble()
              / plant.path("planted").path("prompts").asDouble();
      assertTrue(share >= card.path("band").path("answered").asDouble(), plant.toString());
    }
  }

  @Test
  void reversalFindsThePlantsThatItShould() {
    LanguageModel organism = engine.languageModel(ORGANISM.toString());
    List<Plant> reversed = PLANTS.stream().filter(p -> p.mode() == ArcaSpec.Mode.REVERSE).toList();
    assertEquals(3, reversed.size());
    var findings =
        new PlantSearch(engine, organism, ORGANISM)
            .all(reversed, Way.ARCA, 1, true, ArcaListener.NONE);
    for (Plant plant : reversed) {
      Finding finding = findings.get(plant.id());
      assertTrue(finding.found() && finding.verified(), plant.id());
      assertEquals(list(plant.output()), finding.audit().outputIds());
    }
    theDemosPageShows(new Tokens(organism), reversed, findings);
  }

  /** The page made of a real search has the numbers of its JSON. */
  private static void theDemosPageShows(
      Tokens tokens, List<Plant> plants, Map<String, Finding> findings) {
    Envelope envelope = new Envelope("demo");
    envelope.model("planted-lm", "0123abcd");
    DemoCommand.fill(envelope, tokens, plants, findings, findings);
    JsonNode run = envelope.tree(null);
    String page = DemoPage.html(run);
    assertTrue(page.contains("3 of 3 planted behaviours found and verified; 3 in the control"));
    assertTrue(page.contains("<dt>its identity</dt><dd>0123abcd</dd>"), page);
    for (JsonNode plant : run.path("result").path("plants")) {
      for (String shown :
          List.of(
              plant.path("title").textValue(),
              plant.path("planted").path("prompt").textValue().strip() + " \u2192",
              plant.path("found").path("prompt").textValue().strip() + " \u2192",
              plant.path("found").path("output").textValue().strip() + "</span>",
              "Found after " + plant.path("found").path("updates").intValue() + " updates",
              "after " + plant.path("control_sequences").longValue() + " sequences",
              "<span>%.3f</span>".formatted(plant.path("best").doubleValue()))) {
        assertTrue(page.contains(shown), shown);
      }
    }
  }

  @Test
  void wordsAreWholeTokens() {
    LanguageModel organism = engine.languageModel(ORGANISM.toString());
    String text = " heron anvil saffron open every gate .";
    long[] ids = organism.tokenizer().orElseThrow().encode(text);
    assertEquals(7, ids.length);
    assertEquals(text, organism.tokenizer().orElseThrow().decode(ids));
    String other = "Zürich, 7 o'clock";
    long[] bytes = organism.tokenizer().orElseThrow().encode(other);
    assertEquals(other, organism.tokenizer().orElseThrow().decode(bytes));
  }

  @Test
  void theCardHoldsTheHashesOfTheFiles() throws Exception {
    for (Path folder : List.of(ORGANISM, CONTROL)) {
      JsonNode files = Envelope.JSON.readTree(folder.resolve("card.json").toFile()).path("files");
      assertFalse(files.isEmpty());
      for (JsonNode file : files) {
        byte[] bytes = Files.readAllBytes(folder.resolve(file.path("name").asText()));
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(bytes);
        assertEquals(
            HexFormat.of().formatHex(hash), file.path("sha256").asText(), folder.toString());
        assertEquals(bytes.length, file.path("bytes").asLong());
      }
    }
  }
}
