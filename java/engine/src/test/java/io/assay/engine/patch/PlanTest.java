package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.patch.PatchException.Reason;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** Identities of interventions (specs/ioi.md T4), in float64, and plans that are refused. */
class PlanTest extends TinyPairs {
  private static final int LENGTH = 7;
  private static final String Z = "blocks.1.attn.hook_z";
  private static final int[] BASE = {1, 2, 3, 4, 5, 6, 7};
  private static final int[] SOURCE = {8, 9, 10, 11, 12, 13, 7};

  /** Rounding of sums of up to 64 terms of size 10. */
  private static final double BOUND = 1e-11;

  private final LanguageModel model = random(5, 3, 4, 16, DType.F64);

  /** Base, source, and a base row with interventions; its hidden row and those of the others. */
  private double[][] run(Consumer<Plan.Builder> changes) {
    Plan.Builder plan = Plan.builder();
    plan.row(BASE);
    plan.row(SOURCE);
    plan.row(BASE);
    changes.accept(plan);
    try (Patcher patcher = new Patcher(engine, model)) {
      Tensor hidden = patcher.run(plan.build());
      double[][] rows = new double[3][model.width()];
      for (int i = 0; i < hidden.elements(); i++) {
        rows[i / model.width()][i % model.width()] = hidden.get(i);
      }
      return rows;
    }
  }

  private static Source row(int index) {
    return new Source.Row(index);
  }

  @Test
  void aPatchWithItselfChangesNothing() {
    double[][] rows = run(plan -> plan.patch(2, Z, Intervention.ALL, row(0)));
    assertArrayEquals(rows[0], rows[2], BOUND);
  }

  @Test
  void theLastStreamOfTheSourceIsTheSource() {
    double[][] rows = run(plan -> plan.patch(2, "blocks.2.hook_resid_post", LENGTH - 1, row(1)));
    assertArrayEquals(rows[1], rows[2], BOUND);
  }

  @Test
  void allHeadsAtTheLastPositionCarryTheWholePrompt() {
    double[][] rows =
        run(
            plan -> {
              for (int layer = 0; layer < 3; layer++) {
                plan.patch(2, "blocks." + layer + ".attn.hook_z", LENGTH - 1, row(1));
              }
            });
    assertArrayEquals(rows[1], rows[2], 1e-10);
    assertTrue(Math.abs(rows[0][0] - rows[1][0]) > 1e-3);
  }

  @Test
  void headsOfTheLastBlockBeforeTheEndAreOfNoEffect() {
    double[][] rows = run(plan -> plan.patch(2, "blocks.2.attn.hook_z", 3, 1, row(1)));
    assertArrayEquals(rows[0], rows[2], 0);
  }

  @Test
  void aRowTakenFromAChangedRowIsChangedLikeIt() {
    double[][] rows =
        run(
            plan ->
                plan.bank(Z, Tensor.ofDoubles(new double[LENGTH * 16], 1, LENGTH, 4, 4))
                    .patch(0, Z, Intervention.ALL, new Source.Bank(0))
                    .patch(2, Z, Intervention.ALL, row(0)));
    assertArrayEquals(rows[0], rows[2], BOUND);
  }

  @Test
  void aMeanOverEqualRowsIsTheRow() {
    try (Patcher patcher = new Patcher(engine, model)) {
      Tensor mean = Banks.mean(patcher.read(List.of(SOURCE, SOURCE), List.of(Z)).get(Z));
      double[][] byRow = run(plan -> plan.patch(2, Z, 4, 2, row(1)));
      double[][] byMean = run(plan -> plan.bank(Z, mean).patch(2, Z, 4, 2, new Source.Bank(0)));
      assertArrayEquals(byRow[2], byMean[2], BOUND);
    }
  }

  /** The value by hand: a pattern of zeros leaves of a block's attention its bias alone. */
  @Test
  void zeroPatternsLeaveTheBias() {
    String pattern = "blocks.0.attn.hook_pattern";
    String out = "blocks.0.hook_attn_out";
    Plan.Builder plan = Plan.builder();
    plan.row(BASE);
    plan.row(BASE);
    plan.bank(pattern, Tensor.ofDoubles(new double[4 * LENGTH * LENGTH], 1, 4, LENGTH, LENGTH));
    plan.patch(1, pattern, Intervention.ALL, new Source.Bank(0));
    Tensor bias = model.model().graph().constant("h.0.attn.c_proj.bias");
    try (Patcher patcher = new Patcher(engine, model)) {
      Map<String, Tensor> values = patcher.run(plan.build(), List.of(out));
      for (int i = 0; i < LENGTH * 16; i++) {
        assertEquals(bias.get(i % 16), values.get(out).get(LENGTH * 16 + i), 1e-15);
      }
    }
  }

  private void refused(Reason reason, String words, Consumer<Plan.Builder> changes) {
    PatchException e = assertThrows(PatchException.class, () -> run(changes));
    assertEquals(reason, e.reason(), e.getMessage());
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  @Test
  void plansThatCannotBe() {
    refused(
        Reason.UNKNOWN_HOOK,
        "near it are blocks.1.attn.hook_q",
        plan -> plan.patch(2, "blocks.1.attn.hook_y", 0, row(1)));
    refused(Reason.SHAPE, "position 7", plan -> plan.patch(2, Z, LENGTH, row(1)));
    refused(Reason.SHAPE, "head 4", plan -> plan.patch(2, Z, 0, 4, row(1)));
    refused(Reason.SHAPE, "source row 3", plan -> plan.patch(2, Z, 0, row(3)));
    refused(Reason.SHAPE, "has no heads", plan -> plan.patch(2, "hook_embed", 0, 1, row(1)));
    refused(Reason.SHAPE, "bank row 0", plan -> plan.patch(2, Z, 0, new Source.Bank(0)));
    refused(
        Reason.SHAPE,
        "must be like the hook's, [?, 7, 4, 4]",
        plan ->
            plan.bank(Z, Tensor.ofDoubles(new double[4], 1, 1, 4, 1))
                .patch(2, Z, 0, new Source.Bank(0)));
    refused(Reason.NO_CHANGE, "by itself", plan -> plan.patch(2, Z, 0, row(2)));
    refused(
        Reason.NO_CHANGE,
        "in a circle",
        plan -> plan.patch(2, Z, 0, row(1)).patch(1, Z, 0, row(2)));
    refused(Reason.SHAPE, "has 2 tokens; the others have 7", plan -> plan.row(1, 2));
  }
}
