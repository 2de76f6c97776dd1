package io.assay.audit.ioi;

import io.assay.audit.ioi.ToyDecoder.Head;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/** The circuits of specs/ioi.md 5.2, made by hand, whose every effect is known. */
final class Toys {
  private static final double BETA = 120;
  private static final double GAMMA = 240;
  private static final double DELTA = 60;
  private static final double KAPPA = 150;

  // T1: tokens and blocks of the residual stream.
  private static final int BOS = 0;
  private static final int TO = 4;
  private static final int FIRST_NAME = 5;
  private static final int VOCABULARY = 13;
  private static final int LENGTH = 8;
  private static final int POS = 13;
  private static final int DUP = 21;
  private static final int INH = 29;
  private static final int OUT = 37;
  private static final int WIDTH = 50;

  private Toys() {}

  /**
   * T1, four layers of two heads: 0.0 finds the duplicate, 1.0 inhibits S, 2.0 moves the name, 2.1
   * moves it negatively, 3.0 backs 2.0 up; the others do nothing.
   */
  static LanguageModel circuit(DType dtype) {
    double[][] tokens = new double[VOCABULARY][WIDTH];
    double[][] positions = new double[LENGTH][WIDTH];
    double[][] unembed = new double[VOCABULARY][WIDTH];
    for (int t = 0; t < VOCABULARY; t++) {
      tokens[t][t] = 1;
      unembed[t][OUT + t] = 1;
    }
    for (int p = 0; p < LENGTH; p++) {
      positions[p][POS + p] = 1;
    }
    Head none = Head.none(WIDTH);
    return ToyDecoder.of(
        "toy-ioi",
        dtype,
        tokens,
        positions,
        List.of(
            List.of(duplicate(), none),
            List.of(inhibition(), none),
            List.of(mover(3, false), mover(-1, false)),
            List.of(mover(2, true), none)),
        unembed);
  }

  private static void sink(double[][] qk) {
    for (int p = 0; p < LENGTH; p++) {
      qk[POS + p][BOS] += DELTA;
    }
  }

  private static Head duplicate() {
    Head head = Head.none(WIDTH);
    for (int t = 0; t < VOCABULARY; t++) {
      head.qk()[t][t] += BETA;
    }
    for (int p = 0; p < LENGTH; p++) {
      head.qk()[POS + p][POS + p] -= GAMMA;
      head.ov()[POS + p][DUP + p] = p == 0 ? 0 : 1;
    }
    sink(head.qk());
    return head;
  }

  private static Head inhibition() {
    Head head = Head.none(WIDTH);
    for (int p = 0; p < LENGTH; p++) {
      head.qk()[TO][DUP + p] += BETA;
      head.ov()[POS + p][INH + p] = p == 0 ? 0 : 1;
      head.ov()[DUP + p][INH + p] = p == 0 ? 0 : 1;
    }
    sink(head.qk());
    return head;
  }

  private static Head mover(double writes, boolean backup) {
    Head head = Head.none(WIDTH);
    for (int t = FIRST_NAME; t < VOCABULARY; t++) {
      head.qk()[TO][t] += BETA;
      head.ov()[t][OUT + t] = writes;
    }
    for (int t = 0; backup && t < VOCABULARY; t++) {
      head.qk()[OUT + t][t] -= KAPPA;
    }
    for (int p = 0; p < LENGTH; p++) {
      head.qk()[INH + p][POS + p] -= 2 * BETA;
    }
    sink(head.qk());
    return head;
  }

  /** All prompts of T1: each pair of names in both forms, which are its groups 0 (ABBA) and 1. */
  static List<Example> prompts() {
    List<Example> all = new ArrayList<>();
    for (int form = 0; form < 2; form++) {
      for (int io = FIRST_NAME; io < VOCABULARY; io++) {
        for (int s = FIRST_NAME; s < VOCABULARY; s++) {
          if (io != s) {
            int[] abc = others(io, s);
            boolean abba = form == 0;
            long[] ids = abba ? ids(io, s, s) : ids(s, io, s);
            Positions at = abba ? new Positions(1, 3, 4, 5, 7) : new Positions(3, 1, 2, 5, 7);
            all.add(new Example(ids, ids(abc[0], abc[1], abc[2]), io, s, at, form));
          }
        }
      }
    }
    return all;
  }

  /** Three names that are neither of the two. */
  private static int[] others(int io, int s) {
    int[] names = new int[3];
    int found = 0;
    for (int t = FIRST_NAME; found < names.length; t++) {
      if (t != io && t != s) {
        names[found++] = t;
      }
    }
    return names;
  }

  /** All triples of different names of T1. */
  static List<long[]> triples() {
    List<long[]> all = new ArrayList<>();
    for (int a = FIRST_NAME; a < VOCABULARY; a++) {
      for (int b = FIRST_NAME; b < VOCABULARY; b++) {
        for (int c = FIRST_NAME; c < VOCABULARY; c++) {
          if (a != b && b != c && a != c) {
            all.add(ids(a, b, c));
          }
        }
      }
    }
    return all;
  }

  private static long[] ids(int first, int second, int third) {
    return new long[] {BOS, first, 1, second, 2, third, 3, TO};
  }

  /**
   * T2, two layers of one head: the first attends to the token before, the second to what followed
   * the same token earlier. Ids 1 to n may be repeated once, behind id 0.
   */
  static LanguageModel induction(DType dtype, int n) {
    int pos = n + 1;
    int prev = pos + 2 * n + 1;
    int out = prev + n + 1;
    int width = out + n + 1;
    double[][] tokens = new double[n + 1][width];
    double[][] positions = new double[2 * n + 1][width];
    double[][] unembed = new double[n + 1][width];
    Head previous = Head.none(width);
    Head match = Head.none(width);
    for (int t = 0; t <= n; t++) {
      tokens[t][t] = 1;
      unembed[t][out + t] = 1;
      if (t > 0) {
        previous.ov()[t][prev + t] = 1;
        match.qk()[t][prev + t] = BETA;
        match.ov()[t][out + t] = 4;
      }
    }
    for (int p = 0; p <= 2 * n; p++) {
      positions[p][pos + p] = 1;
      previous.qk()[pos + p][pos + Math.max(0, p - 1)] = BETA;
      match.qk()[pos + p][BOS] = DELTA;
    }
    return ToyDecoder.of(
        "toy-induction",
        dtype,
        tokens,
        positions,
        List.of(List.of(previous), List.of(match)),
        unembed);
  }

  /**
   * T3, a linear network as a decoder of one position: token 0 is x = (1, 1), token 1 is x' = (3,
   * 0); a head's output is its input times (1, 2) or (3, 4). The logits of 0 and 1 are the two
   * components, that of 2 is 0.
   */
  static LanguageModel linear(DType dtype) {
    Head first = new Head(new double[2][2], new double[][] {{1, 0}, {0, 2}});
    Head second = new Head(new double[2][2], new double[][] {{3, 0}, {0, 4}});
    return ToyDecoder.of(
        "toy-linear",
        dtype,
        new double[][] {{1, 1}, {3, 0}, {0, 0}},
        new double[1][2],
        List.of(List.of(first, second), List.of(first, second)),
        new double[][] {{1, 0}, {0, 1}, {0, 0}});
  }
}
