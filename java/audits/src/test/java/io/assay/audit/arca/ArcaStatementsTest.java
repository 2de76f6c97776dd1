package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.assay.engine.Engine;
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
    engine = Engine.open();
    selfTest = new ArcaSelfTest(engine, false);
  }

  @AfterAll
  static void close() {
    engine.close();
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
  void arcaStatement10LockstepEqualsSequential() {
    holds(selfTest.lockstep());
  }
}
