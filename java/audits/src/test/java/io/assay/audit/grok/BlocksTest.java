package io.assay.audit.grok;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Random;
import java.util.function.BiPredicate;
import org.junit.jupiter.api.Test;

/** Projections on 2-D Fourier components, against their definition, a coefficient at a time. */
class BlocksTest {
  private static final int P = 11;
  private static final int FUNCTIONS = 3;
  private static final List<Integer> KEPT = List.of(2, 5);

  private final double[] values = new Random(7).doubles((long) P * P * FUNCTIONS).toArray();
  private final Blocks blocks = new Blocks(P, values);

  /** Wave i at x: the constant, cos(2 pi x/p), sin(2 pi x/p), cos(4 pi x/p), ... of length 1. */
  private static double wave(int i, int x) {
    double angle = 2 * Math.PI * ((i + 1) / 2) * x / P;
    return i == 0
        ? Math.sqrt(1.0 / P)
        : Math.sqrt(2.0 / P) * (i % 2 == 1 ? Math.cos(angle) : Math.sin(angle));
  }

  private static int frequency(int i) {
    return (i + 1) / 2;
  }

  private double coefficient(int i, int j, int f) {
    double sum = 0;
    for (int a = 0; a < P; a++) {
      for (int b = 0; b < P; b++) {
        sum += wave(i, a) * wave(j, b) * values[(a * P + b) * FUNCTIONS + f];
      }
    }
    return sum;
  }

  /** What the components that a predicate of both waves names add up to. */
  private double[] sum(BiPredicate<Integer, Integer> kept) {
    double[] sum = new double[values.length];
    for (int i = 0; i < P; i++) {
      for (int j = 0; j < P; j++) {
        for (int f = 0; kept.test(i, j) && f < FUNCTIONS; f++) {
          double c = coefficient(i, j, f);
          for (int at = 0; at < P * P; at++) {
            sum[at * FUNCTIONS + f] += c * wave(i, at / P) * wave(j, at % P);
          }
        }
      }
    }
    return sum;
  }

  /** Rounding of sums of p p products. */
  private static void same(double[] expected, double[] got) {
    assertArrayEquals(expected, got, 1e-12);
  }

  @Test
  void allComponentsAreTheFunction() {
    same(values, sum((i, j) -> true));
  }

  /** The constant, waves of a or of b alone, and the four products of a frequency with itself. */
  @Test
  void wholeBlocksAreThreeByThree() {
    same(
        sum(
            (i, j) ->
                (i == 0 || KEPT.contains(frequency(i)))
                    && (j == 0 || KEPT.contains(frequency(j)))
                    && (i == 0 || j == 0 || frequency(i) == frequency(j))),
        blocks.whole(KEPT));
  }

  /** The constant and the four products of a frequency with itself. */
  @Test
  void productsAreTwoByTwo() {
    same(
        sum(
            (i, j) ->
                i == 0 && j == 0
                    || i > 0 && frequency(i) == frequency(j) && KEPT.contains(frequency(i))),
        blocks.products(KEPT));
  }

  @Test
  void withoutFrequenciesTheConstantStays() {
    double[] constant = sum((i, j) -> i == 0 && j == 0);
    same(constant, blocks.whole(List.of()));
    same(constant, blocks.products(List.of()));
  }

  @Test
  void thePlaneHasTheNormsOfAllCoefficients() {
    double[][] plane = blocks.plane();
    for (int i = 0; i < P; i++) {
      for (int j = 0; j < P; j++) {
        double squares = 0;
        for (int f = 0; f < FUNCTIONS; f++) {
          squares += Math.pow(coefficient(i, j, f), 2);
          assertEquals(coefficient(i, j, f), blocks.coefficient(i, j)[f], 1e-12);
        }
        assertEquals(Math.sqrt(squares), plane[i][j], 1e-12);
      }
    }
  }
}
