package io.assay.audit.grok;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The statements of specs/grokking.md section 8, by number. */
class GrokStatementsTest {
  private static Engine engine;
  private static GrokSelfTest selfTest;

  @BeforeAll
  static void open() {
    engine = Engine.open();
    selfTest = new GrokSelfTest(engine, Boolean.getBoolean("assay.long"), official());
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  /** The folder with the published runs that a property names; null if it is not set. */
  private static Path official() {
    String named = System.getProperty("assay.grok.official");
    return named == null ? null : Path.of(named);
  }

  private static void holds(List<Statement> statements) {
    assertAll(
        statements.stream()
            .map(s -> () -> assertFalse(s.failed(), () -> s.id() + ": " + s.reason())));
  }

  @Test
  void grokStatement1ClosedForms() {
    holds(selfTest.closedForms());
  }

  @Test
  void grokStatement2HandMadeNetwork() {
    holds(selfTest.handMade());
  }

  @Test
  void grokStatement3Parseval() {
    holds(selfTest.parseval());
  }

  @Test
  void grokStatement4AllAblationsAtOnce() {
    holds(selfTest.ablations());
  }

  @Test
  void grokStatement5RestrictedLosses() {
    holds(selfTest.restricted());
  }

  @Test
  void grokStatement6CollapsedNetwork() {
    holds(selfTest.collapse());
  }

  /** What it printed on an AVX-512 machine is in {@code grokking/statement-7.json}. */
  @Test
  void grokStatement7Grokking() {
    List<Statement> statements = selfTest.grokking();
    holds(statements);
    for (Statement s : statements) {
      assumeFalse(s.status().equals("skipped"), () -> s.reason() + ", here -Dassay.long=true");
    }
  }

  @Test
  void grokStatement8PublishedRuns() {
    List<Statement> statements = selfTest.published();
    holds(statements);
    for (Statement s : statements) {
      assumeFalse(
          s.status().equals("skipped"), () -> s.reason() + ", here -Dassay.grok.official=DIR");
    }
  }

  @Test
  void grokStatement9Phases() {
    holds(selfTest.phases());
  }

  @Test
  void grokStatement10BadInput() {
    holds(selfTest.badInputs());
  }
}
