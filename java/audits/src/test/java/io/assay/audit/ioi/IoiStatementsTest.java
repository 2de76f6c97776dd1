package io.assay.audit.ioi;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The statements of specs/ioi.md section 8, by number. */
class IoiStatementsTest {
  private static Engine engine;
  private static IoiSelfTest selfTest;

  @BeforeAll
  static void open() {
    engine = Engine.open();
    selfTest = new IoiSelfTest(engine, gpt2Tokenizer(), gpt2());
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  /** The folder that a property names, or the one beside the checkout; null if there is none. */
  static Path gpt2Tokenizer() {
    String named = System.getProperty("assay.gpt2.tokenizer");
    Path folder =
        named != null
            ? Path.of(named)
            : Path.of(System.getProperty("assay.shared", "shared"), "fixtures", "gpt2-tokenizer");
    return named != null || Files.isDirectory(folder) ? folder : null;
  }

  /** The folder of GPT-2 small that a property names; null if it is not set. */
  private static Path gpt2() {
    String named = System.getProperty("assay.gpt2");
    return named == null ? null : Path.of(named);
  }

  private static void holds(List<Statement> statements) {
    assertAll(
        statements.stream()
            .map(s -> () -> assertFalse(s.failed(), () -> s.id() + ": " + s.reason())));
  }

  @Test
  void ioiStatement1ToyCircuit() {
    holds(selfTest.toyCircuit());
  }

  @Test
  void ioiStatements1To5Patches() {
    holds(selfTest.patches());
  }

  @Test
  void ioiStatement4Folding() {
    holds(selfTest.folding());
  }

  @Test
  void ioiStatement2Detectors() {
    holds(selfTest.detectors());
  }

  @Test
  void ioiStatement6Generator() {
    List<Statement> statements = selfTest.generator();
    holds(statements);
    for (Statement s : statements) {
      assumeFalse(
          s.status().equals("skipped"), () -> s.reason() + ", here -Dassay.gpt2.tokenizer=DIR");
    }
  }

  @Test
  void ioiStatement7Counts() {
    holds(selfTest.counts());
  }

  @Test
  void ioiStatement8ReleasedGpt2() {
    List<Statement> statements = selfTest.gpt2();
    holds(statements);
    for (Statement s : statements) {
      assumeFalse(s.status().equals("skipped"), () -> s.reason() + ", here -Dassay.gpt2=DIR");
    }
  }

  @Test
  void ioiStatement9BadInput() {
    holds(selfTest.badInputs());
  }

  /** How often faster it is, is for users to see: no test is timed. */
  @Test
  void ioiStatement10Sweep() {
    holds(selfTest.sweep().stream().filter(s -> !s.id().equals("ioi.10.time")).toList());
  }
}
