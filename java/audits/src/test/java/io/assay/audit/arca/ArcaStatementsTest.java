package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The statements of specs/arca.md section 8, by number, through the engine that audits use. */
class ArcaStatementsTest {
  private static Engine engine;
  private static ArcaSelfTest selfTest;

  @BeforeAll
  static void open() {
    // The toys are too small to pay for a second thread.
    engine = Engine.open(EngineOptions.defaults().withThreads(1));
    selfTest = new ArcaSelfTest(engine, false, gpt2Tokenizer());
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  /** The folder that a property names, or the one beside the checkout; null if there is none. */
  private static Path gpt2Tokenizer() {
    String named = System.getProperty("assay.gpt2.tokenizer");
    Path folder =
        named != null
            ? Path.of(named)
            : Path.of(System.getProperty("assay.shared", "shared"), "fixtures", "gpt2-tokenizer");
    return named != null || Files.isDirectory(folder) ? folder : null;
  }

  private static void holds(List<Statement> statements) {
    assertAll(
        statements.stream()
            .map(s -> () -> assertFalse(s.failed(), () -> s.id() + ": " + s.reason())));
  }

  @Test
  void arcaStatement1ValuesAndGradientsOfToyA() {
    holds(selfTest.values());
  }

  @Test
  void arcaStatement2GoldenScores() {
    holds(selfTest.scores());
  }

  @Test
  void arcaStatement3ExhaustiveTruth() {
    holds(selfTest.exhaustive());
  }

  @Test
  void arcaStatement4NoFalsePositives() {
    holds(selfTest.noFalsePositives());
  }

  @Test
  void arcaStatement5SuccessRates() {
    holds(selfTest.successRates());
  }

  @Test
  void arcaStatement6ExactCoordinateAscent() {
    holds(selfTest.coordinateAscent());
  }

  @Test
  void arcaStatement7ApproximationQuality() {
    holds(selfTest.approximation());
  }

  @Test
  void arcaStatement8TableLm() {
    holds(selfTest.table());
  }

  @Test
  void arcaStatement9CopyFilterOfTheGpt2Vocabulary() {
    List<Statement> statements = selfTest.vocabulary();
    holds(statements);
    for (Statement s : statements) {
      assumeFalse(
          s.status().equals("skipped"), () -> s.reason() + ", here -Dassay.gpt2.tokenizer=DIR");
    }
  }

  @Test
  void arcaStatement10LockstepEqualsSequential() {
    holds(selfTest.lockstep());
  }

  @Test
  void arcaStatement12BadInputs() {
    holds(selfTest.badInputs());
  }
}
