package io.assay.app.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.Test;

class RowsTest {
  private static final Roof ROOF = new Roof(1e9, 1e9, 1e9);

  /** A question whose timings are given: the first of each way is the warm-up. */
  private static final class Scripted implements Question {
    private final Deque<Double> ours = new ArrayDeque<>(List.of(99.0, 5.0, 2.0, 3.0));
    private final Deque<Double> other = new ArrayDeque<>(List.of(77.0, 6.0, 60.0, 4.0));
    private final boolean right;
    private String order = "";

    Scripted(boolean right) {
      this.right = right;
    }

    @Override
    public String name() {
      return "scripted";
    }

    @Override
    public String shape() {
      return "n=1";
    }

    @Override
    public String baseline() {
      return "the other";
    }

    @Override
    public Cost cost() {
      return new Cost(1.5e9, 0.5e9);
    }

    @Override
    public Cost baselineCost() {
      return new Cost(1e9, 3e9);
    }

    @Override
    public double bound(double otherSeconds) {
      return otherSeconds / 4;
    }

    @Override
    public void check() {
      if (!right) {
        throw new IllegalStateException("wrong");
      }
    }

    @Override
    public void ours() {}

    @Override
    public void other() {}

    @Override
    public double secondsOfOurs(Clock clock) {
      order += "a";
      return ours.remove();
    }

    @Override
    public double secondsOfOther(Clock clock) {
      order += "b";
      return other.remove();
    }

    @Override
    public int runs() {
      return 3;
    }

    @Override
    public void close() {}
  }

  @Test
  void mediansRatioAndSharesOfTheBindingRoof() {
    Scripted question = new Scripted(true);
    Iterator<Roof> measured =
        List.of(new Roof(1e9, 1e9, 0.5e9), new Roof(0.5e9, 1e9, 1e9)).iterator();
    Rows.Row row = Rows.row(question, measured::next, 2);
    assertEquals(
        new Rows.Row(
            "scripted",
            "n=1",
            "wall",
            2,
            3,
            "the other",
            6,
            2,
            1.5,
            0.5,
            0.5,
            3,
            Double.NaN,
            Double.NaN),
        row);
    assertFalse(row.holds());
    assertEquals("abababab", question.order);
    assertEquals("cpu", Rows.row(new Scripted(true), () -> ROOF, 1).clock());
  }

  @Test
  void wrongAnswerIsNotTimed() {
    Scripted question = new Scripted(false);
    assertThrows(IllegalStateException.class, () -> Rows.row(question, () -> ROOF, 1));
    assertEquals("", question.order);
  }
}
