package io.assay.engine.graph;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * The decisions that make a random graph, in blocks: one for the graph, then one for each step.
 * They are drawn from a seed and recorded; a failure is shrunk by replaying fewer and smaller ones.
 * A decision that is missing is 0, the simplest, so that every record is a graph.
 */
final class Choices {
  private final Random random;
  private final List<List<Integer>> blocks;
  private List<Integer> block;
  private int at;

  private Choices(Random random, List<List<Integer>> blocks) {
    this.random = random;
    this.blocks = blocks;
  }

  /** Decisions for a graph of one to nine steps. */
  static Choices drawn(long seed) {
    Random random = new Random(seed);
    List<List<Integer>> blocks = new ArrayList<>();
    int steps = 1 + random.nextInt(9);
    for (int i = 0; i <= steps; i++) {
      blocks.add(new ArrayList<>());
    }
    return new Choices(random, blocks);
  }

  static Choices replayed(List<List<Integer>> blocks) {
    return new Choices(null, blocks);
  }

  List<List<Integer>> blocks() {
    return blocks;
  }

  void open(int i) {
    block = blocks.get(i);
    at = 0;
  }

  /** A number in [0, n). */
  int below(int n) {
    if (at < block.size()) {
      return block.get(at++) % n;
    }
    if (random == null) {
      return 0;
    }
    int value = random.nextInt(n);
    block.add(value);
    at++;
    return value;
  }

  /** Whether something happens that does in one of n cases. */
  boolean oneIn(int n) {
    return below(n) == n - 1;
  }

  long in(long... values) {
    return values[below(values.length)];
  }

  @SafeVarargs
  final <T> T of(T... values) {
    return values[below(values.length)];
  }
}
