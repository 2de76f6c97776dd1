package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Statement 5 of specs/ioi.md 8 by the closed numbers of its circuit T1. */
class DisagreementTest {
  /** Name mover, negative, duplicate, S-inhibition, backup. */
  @Test
  void theCircuitMadeByHandIsFlaggedWhereItRepairsAndSaturates() {
    double third = -8.0 / 3;
    List<Disagreement> found =
        Disagreement.among(
            new double[] {-1, 1, third, third, 0},
            new double[] {-3, 1, 0, 0, 0},
            new double[] {-3, 1, 0, 0, 0});
    assertEquals(List.of(0, 2, 3), found.stream().map(Disagreement::cell).toList());
    found.forEach(
        d -> assertEquals(List.of(true, true), List.of(d.pathDiffers(), d.estimateDiffers())));
  }

  @Test
  void whatIsSmallOrMissingIsNotCompared() {
    double none = Double.NaN;
    assertEquals(
        List.of(),
        Disagreement.among(
            new double[] {10, 0.9, 0}, new double[] {none, 0, 0}, new double[] {6, none, 0}));
  }
}
