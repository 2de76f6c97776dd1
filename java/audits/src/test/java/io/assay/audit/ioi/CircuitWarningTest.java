package io.assay.audit.ioi;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.audit.ioi.CircuitResult.Completeness;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** When a circuit is doubted for what it may lack. */
class CircuitWarningTest {
  @Test
  void aFifthOfTheWholeModelIsTheBound() {
    Completeness none = new Completeness("none", List.of(), 9.9, 10);
    Completeness near = new Completeness("one", List.of(Node.of(1, 0)), 3, 5);
    Completeness far = new Completeness("one", List.of(Node.of(1, 1)), 3, 5.1);
    assertEquals(Optional.empty(), CircuitAudit.incompleteness(List.of(none, near), 10));
    assertEquals(
        Optional.of(
            "the circuit may lack heads: with [1.1] removed, its logit difference is 3.000 and the"
                + " model's 5.100; that is 21 % of the whole model's apart, and a circuit should"
                + " stay below 20 %"),
        CircuitAudit.incompleteness(List.of(none, far, near), 10));
    assertEquals(Optional.empty(), CircuitAudit.incompleteness(List.of(), 10));
  }
}
