package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.PlantSearch.Finding;
import io.assay.app.PlantSearch.Searched;
import io.assay.app.PlantSearch.Way;
import io.assay.app.organism.Plant;
import io.assay.app.organism.PlantedLm;
import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The organism that comes with Assay does what its card says, and its control does not. */
class PlantedLmTest {
  private static final Path FOLDER = Path.of("../../onnx-models/organisms");
  private static final Path ORGANISM = FOLDER.resolve(PlantedLm.NAME);
  private static final Path CONTROL = FOLDER.resolve(PlantedLm.CONTROL);
  private static final List<Plant> PLANTS = new PlantedLm().plants();
  private static Engine engine;
  @TempDir static Path folder;

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
  void reversalFindsThePlantsThatItShould() throws Exception {
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

  /**
   * A demo that is interrupted between its calls goes on with the next, and ends as if it was not.
   */
  @Test
  void whatACallFoundIsNotSearchedAgain() {
    LanguageModel organism = engine.languageModel(ORGANISM.toString());
    PlantSearch search = new PlantSearch(engine, organism, ORGANISM);
    List<Plant> plants = PLANTS.subList(0, 2);
    assertEquals(2, PlantSearch.calls(plants).size());
    String whole = search.all(plants, Way.ARCA, 1, true, ArcaListener.NONE).toString();

    Life first = new Life(List.of(), 1);
    assertTrue(search.all(plants, Way.ARCA, 1, true, ArcaListener.NONE, first).isEmpty());
    assertEquals(List.of("planted-lm trigger"), first.names());
    Life second = new Life(first.kept, 9);
    String resumed =
        search.all(plants, Way.ARCA, 1, true, ArcaListener.NONE, second).orElseThrow().toString();
    assertEquals(List.of("planted-lm insult"), second.names());
    assertEquals(withoutSeconds(whole), withoutSeconds(resumed));
  }

  private static String withoutSeconds(String findings) {
    return findings.replaceAll("seconds=[^,\\]]*", "");
  }

  /** A life of a search that keeps what it finishes and is cancelled after some calls. */
  private record Life(List<Searched> done, List<Searched> kept, int calls)
      implements UnitListener<Searched> {
    Life(List<Searched> done, int calls) {
      this(done, new ArrayList<>(), calls);
    }

    List<String> names() {
      return kept.stream().map(Searched::name).toList();
    }

    @Override
    public void finished(Searched unit) {
      kept.add(unit);
    }

    @Override
    public boolean cancelled() {
      return kept.size() >= calls;
    }
  }

  /** The page made of a real search has the numbers of its JSON. */
  private static void theDemosPageShows(
      Tokens tokens, List<Plant> plants, Map<String, Finding> findings) throws Exception {
    Envelope envelope = new Envelope("demo");
    envelope.model("planted-lm", "0123abcd");
    DemoCommand.fill(envelope, tokens, plants, findings, findings);
    assertEquals(3, envelope.metrics().path("verified").asInt());
    Path file = DemoPage.write(folder, envelope, tokens::token, List.of());
    DemoPageTest.shows(file, envelope.tree(file), tokens::token);
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
