package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunsCommandTest {
  @TempDir Path folder;
  private Path out;
  private String[] search;

  @BeforeEach
  void makeModel() throws Exception {
    Path model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7);
    out = folder.resolve("out");
    search =
        "arca reverse %s --target-ids 5 --prompt-length 2 --sweeps 2 --k 4 --q 4 --json --out %s"
            .formatted(model, out)
            .split(" ");
  }

  private static JsonNode json(Answer answer) throws Exception {
    assertEquals(0, answer.status(), answer.err());
    assertEquals(1, answer.out().lines().count(), answer.out());
    return Envelope.JSON.readTree(answer.out());
  }

  private Answer runs(String... verb) {
    List<String> line = new ArrayList<>(List.of("runs"));
    line.addAll(List.of(verb));
    line.addAll(List.of("--out", out.toString()));
    return Answer.to(line.toArray(String[]::new));
  }

  @Test
  void aFinishedRunIsListedShownExportedAndForgotten() throws Exception {
    JsonNode found = json(Answer.to(search));
    String name = found.get("run").textValue();
    assertTrue(Files.exists(Path.of(found.get("report").textValue())));

    JsonNode listed = json(runs("list", "--json")).get("result").get("runs");
    assertEquals(1, listed.size());
    assertEquals(name, listed.get(0).get("run").textValue());
    assertEquals("arca.reverse", listed.get(0).get("method").textValue());
    assertEquals("finished", listed.get(0).get("state").textValue());
    assertEquals(5, listed.get(0).get("units").intValue());
    assertEquals(5, listed.get(0).get("finished").intValue());

    JsonNode shown = json(runs("show", name, "--json")).get("result");
    assertEquals(found, shown.get("envelope"));
    JsonNode provenance = shown.get("provenance");
    assertEquals(found.get("spec"), provenance.get("spec"));
    assertEquals(found.get("model"), provenance.get("model"));
    for (String field : List.of("kernels", "onnxruntime", "system", "java", "name")) {
      assertFalse(provenance.get("device").path(field).asText().isEmpty(), field);
    }
    assertTrue(runs("show", name).out().contains("arca.reverse"));

    // Of a finished run, the same line again.
    assertEquals(found, json(runs("resume", name, "--json")));

    List<String> lines = runs("export", name).out().lines().toList();
    assertEquals(5, lines.size());
    for (int i = 0; i < 5; i++) {
      JsonNode row = Envelope.JSON.readTree(lines.get(i));
      JsonNode audit = row.get("result").get("audit");
      assertEquals(row.get("unit").textValue(), "arca 0." + audit.get("restart").intValue());
      assertEquals(
          found.get("result").get("audits").get(audit.get("restart").intValue()).get("J"),
          audit.get("J"));
    }
    List<String> csv = runs("export", name, "--format", "csv").out().lines().toList();
    assertEquals(6, csv.size());
    int column = List.of(csv.getFirst().split(",")).indexOf("result.audit.stopReason");
    assertTrue(column > 0, csv.getFirst());

    assertEquals(0, json(runs("gc", "--json")).get("metrics").get("removed").intValue());
    assertEquals(
        1, json(runs("gc", "--days", "0", "--json")).get("metrics").get("removed").intValue());
    assertEquals(0, json(runs("list", "--json")).get("result").get("runs").size());
    assertFalse(Files.exists(Path.of(found.get("report").textValue())), "the report goes too");
  }

  @Test
  void csvQuotesWhatItMust() {
    assertEquals(
        List.of("a.b,c", "\"x,\"\"y\"\"\",", "1,\"[1,2]\""),
        RunsCommand.Csv.lines(
            List.of(
                Envelope.JSON.createObjectNode().set("a", object("b", "x,\"y\"")),
                Envelope.JSON
                    .createObjectNode()
                    .<ObjectNode>set("a", object("b", "1"))
                    .set("c", Envelope.JSON.createArrayNode().add(1).add(2)))));
  }

  private static ObjectNode object(String name, String value) {
    return Envelope.JSON.createObjectNode().put(name, value);
  }

  @Test
  void runsAreCompared() throws Exception {
    String first = json(Answer.to(search)).get("run").textValue();
    String second = json(Answer.to(search)).get("run").textValue();
    assertEquals(0, runs("compare", first, second).status());
    search[6] = "3";
    String third = json(Answer.to(search)).get("run").textValue();
    Answer differ = runs("compare", first, third, "--json");
    assertEquals(1, differ.status(), differ.err());
    assertTrue(differ.out().contains("spec.promptLength"), differ.out());
  }

  /** Begun, and killed before its first unit: goes on with its own settings. */
  @Test
  void anInterruptedRunGoesOnOnlyAsItWasBegun() throws Exception {
    JsonNode whole = json(Answer.to(search));
    String done = whole.get("run").textValue();
    try (Ledger ledger = Ledger.open(out)) {
      ledger.begin("killed", "arca.reverse", ledger.run(done).arguments()).close();
      try (Run busy = ledger.begin("busy", "arca.reverse", ledger.run(done).arguments())) {
        runs("resume", busy.name()).assertRefused("another process");
      }
    }
    JsonNode resumed = json(runs("resume", "killed", "--json"));
    assertEquals("killed", resumed.get("run").textValue());
    assertEquals(
        whole.get("result").get("audits").get(0).get("J"),
        resumed.get("result").get("audits").get(0).get("J"));

    try (Ledger ledger = Ledger.open(out);
        Run run = ledger.begin("other", "arca.reverse", ledger.run(done).arguments())) {
      run.describe(
          5,
          (ObjectNode)
              Envelope.JSON.readTree(
                  ledger.run(done).provenance().replace("\"seed\":0", "\"seed\":9,\"zeal\":1")));
    }
    runs("resume", "other").assertRefused("spec.seed 9, and now it is 0");
    runs("resume", "none").assertRefused("no run none");
    assertEquals(3, json(runs("list", "--json")).get("result").get("runs").size());
  }

  /** Each in one sentence: a record that knows more than this Assay, and a ledger that does. */
  @Test
  void whatANewerAssayWroteIsRefused() throws Exception {
    JsonNode whole = json(Answer.to(search));
    try (Ledger ledger = Ledger.open(out);
        Run run =
            ledger.begin(
                "newer", "arca.reverse", ledger.run(whole.get("run").textValue()).arguments())) {
      String more =
          ledger.runs().getFirst().provenance().replace("\"seed\":", "\"zeal\":1,\"seed\":");
      run.describe(5, (ObjectNode) Envelope.JSON.readTree(more));
    }
    runs("resume", "newer").assertRefused("spec.zeal, which this Assay does not know");

    Path file = out.resolve(Ledger.FILE);
    byte[] bytes = Files.readAllBytes(file);
    // user_version, SQLite's file format, section 1.3.
    ByteBuffer.wrap(bytes).putInt(60, 99);
    Files.write(file, bytes);
    runs("list").assertRefused("version 99, and this Assay knows versions up to");
    Answer.to(search).assertRefused("version 99");
  }

  /** A clock that was ahead when the run began keeps it from nothing but the days asked for. */
  @Test
  void ageByAClockThatJumps() {
    Instant now = Instant.parse("2030-01-31T00:00:00Z");
    assertTrue(RunsCommand.isOld(Instant.parse("2030-01-01T00:00:00Z"), now, 30));
    assertFalse(RunsCommand.isOld(Instant.parse("2030-01-02T00:00:00Z"), now, 30));
    assertFalse(RunsCommand.isOld(Instant.parse("2041-01-01T00:00:00Z"), now, 1));
    assertTrue(RunsCommand.isOld(Instant.parse("2041-01-01T00:00:00Z"), now, 0));
  }

  @Test
  void aRefusedCallIsNoRun() throws Exception {
    search[6] = "999";
    Answer.to(search).assertRefused("the model reads at most");
    assertEquals(0, json(runs("list", "--json")).get("result").get("runs").size());
    runs("show", "x").assertRefused("no run x");
    Answer.to("runs", "show", "x", "--out", folder.resolve("no").toString())
        .assertRefused("no ledger");
    search[6] = "2";
    search[search.length - 1] = "/proc/assay";
    Answer.to(search).assertRefused("/proc/assay");
    Answer.to("runs").assertRefused("verb");
  }
}
