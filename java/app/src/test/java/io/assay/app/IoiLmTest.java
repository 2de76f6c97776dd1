package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.app.organism.IoiLm;
import io.assay.audit.ioi.CircuitAudit;
import io.assay.audit.ioi.CircuitResult;
import io.assay.audit.ioi.CircuitSpec;
import io.assay.audit.ioi.Circuits;
import io.assay.audit.ioi.Circuits.Evaluated;
import io.assay.audit.ioi.IoiBaseline;
import io.assay.audit.ioi.IoiGenerator;
import io.assay.audit.ioi.IoiPrompt;
import io.assay.audit.ioi.IoiSpec;
import io.assay.audit.ioi.Node;
import io.assay.engine.Engine;
import io.assay.engine.Sha256;
import io.assay.engine.model.LanguageModel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The organism of the task does it, by a circuit that is found; its control does not. */
class IoiLmTest {
  private static final Path FOLDER = Path.of("../../onnx-models/organisms");
  private static final Path ORGANISM = FOLDER.resolve(IoiLm.NAME);
  private static final Path CONTROL = FOLDER.resolve(IoiLm.CONTROL);
  private static Engine engine;
  @TempDir private Path folder;

  @BeforeAll
  static void open() {
    engine = Engine.open();
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  private static LanguageModel model(Path path) {
    return engine.languageModel(path.toString());
  }

  @Test
  void itPrefersTheRightNameInTemplatesAndPairsThatItHasNotRead() {
    LanguageModel model = model(ORGANISM);
    IoiSpec spec = IoiSpec.of(8000, 3).withTemplates(IoiLm.UNREAD.stream().sorted().toList());
    List<IoiPrompt> prompts =
        new IoiGenerator(spec, model.tokenizer().orElseThrow())
            .prompts().stream().filter(IoiLm::isUnread).toList();
    assertTrue(prompts.size() > 300, "prompts " + prompts.size());
    double share = IoiBaseline.run(engine, model, prompts).summary().answerOverWrong();
    assertTrue(share >= 0.98, "share " + share);
    double bare = IoiBaseline.run(engine, model(CONTROL), prompts).summary().answerOverWrong();
    assertTrue(bare < CircuitSpec.POSITIVE, "control " + bare);
  }

  /** Some of its heads can stand in for others; which are found does not depend on the prompts. */
  @Test
  void itsCircuitIsSmallFaithfulAndTheSameOnOtherPrompts() {
    List<Set<Node>> found = new ArrayList<>();
    for (int seed = 10; seed <= 30; seed += 10) {
      CircuitSpec spec = CircuitSpec.of(IoiSpec.of(96, seed));
      CircuitResult r =
          CircuitAudit.run(engine, model(ORGANISM), spec, Circuits.Listener.NONE).orElseThrow();
      assertTrue(r.isClaimed(), r.reason());
      assertTrue(r.faithfulness() >= 0.8, "faithfulness " + r.faithfulness());
      assertTrue(3 * r.circuit().size() <= r.layers() * r.heads(), r.circuit().toString());
      found.add(Set.copyOf(r.circuit()));
    }
    for (Set<Node> one : found) {
      for (Set<Node> other : found) {
        Set<Node> both = new HashSet<>(one);
        both.retainAll(other);
        double all = one.size() + other.size() - both.size();
        assertTrue(both.size() / all >= 0.7, one + " and " + other);
      }
    }
  }

  /** Keeps what is evaluated and ends after so many. */
  private record Life(List<Evaluated> done, List<Evaluated> kept, int most)
      implements Circuits.Listener {
    @Override
    public void finished(Evaluated unit) {
      kept.add(unit);
    }

    @Override
    public boolean cancelled() {
      return kept.size() >= most;
    }
  }

  @Test
  void whatWasEvaluatedIsNotEvaluatedAgain() {
    CircuitSpec spec = CircuitSpec.of(IoiSpec.of(20, 5));
    LanguageModel model = model(ORGANISM);
    Life whole = new Life(List.of(), new ArrayList<>(), Integer.MAX_VALUE);
    CircuitResult undisturbed = CircuitAudit.run(engine, model, spec, whole).orElseThrow();
    Life first = new Life(List.of(), new ArrayList<>(), 70);
    assertTrue(CircuitAudit.run(engine, model, spec, first).isEmpty());
    Life second = new Life(first.kept(), new ArrayList<>(), Integer.MAX_VALUE);
    CircuitResult resumed = CircuitAudit.run(engine, model, spec, second).orElseThrow();
    assertEquals(whole.kept().size(), first.kept().size() + second.kept().size());
    assertEquals(undisturbed.search(), resumed.search());
    assertEquals(undisturbed.completeness(), resumed.completeness());
    assertEquals(undisturbed.minimality(), resumed.minimality());
    assertArrayEquals(undisturbed.kept(), resumed.kept());
  }

  @Test
  void noCircuitIsClaimedInTheControl() throws Exception {
    Answer answer =
        Answer.to(
            "ioi",
            "circuit",
            CONTROL.toString(),
            "--prompts",
            "100",
            "--out",
            folder.toString(),
            "--json");
    assertEquals(0, answer.status(), answer.err());
    JsonNode root = Envelope.JSON.readTree(answer.out());
    assertFalse(root.at("/metrics/claimed").asBoolean());
    assertTrue(root.at("/result/circuit").isEmpty());
    assertTrue(
        Files.readString(Path.of(root.path("report").asText())).contains("No circuit is claimed"));
  }

  @Test
  void theCardsHoldTheHashesOfTheFiles() throws Exception {
    for (Path organism : List.of(ORGANISM, CONTROL)) {
      JsonNode card = Envelope.JSON.readTree(organism.resolve("card.json").toFile());
      long bytes = 0;
      for (JsonNode file : card.path("files")) {
        byte[] content = Files.readAllBytes(organism.resolve(file.path("name").asText()));
        assertEquals(file.path("sha256").asText(), Sha256.hex(content));
        bytes += content.length;
      }
      assertTrue(bytes > 0 && bytes <= 8 << 20, "bytes " + bytes);
      assertTrue(card.at("/shape/layers").asInt() >= 4 && card.at("/shape/heads").asInt() >= 4);
    }
  }
}
