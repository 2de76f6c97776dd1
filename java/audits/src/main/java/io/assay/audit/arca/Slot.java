package io.assay.audit.arca;

import io.assay.engine.kernel.Matrix;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.random.RandomGenerator;

/**
 * State of one audit under way: its sequence and everything that the model said about the part of
 * it that is settled.
 */
final class Slot {
  private final LanguageModel model;
  final int target;
  final int restart;
  final RandomGenerator random;

  /** The whole sequence: prefix, prompt, output. */
  final int[] ids;

  /** For position t: log p(ids[t+1]), log-sum-exp, arg max and margin of its logits. */
  final double[] logProb;

  final double[] lse;
  final int[] argMax;
  final double[] margin;

  /** [positions, width], final hidden states. */
  final Tensor hidden;

  /** [heads, positions, head width] of each layer; empty where the model has no cache. */
  final Tensor[] keys;

  final Tensor[] values;

  /** Prompt tokens that the copy filter forbids. */
  final BitSet forbidden;

  final long start = System.nanoTime();

  /** Order of this sweep's steps, and how many of them are done. */
  int[] order;

  int done;
  int sweep;
  int updates;
  int withoutCandidates;
  boolean changed;
  double bestJ = Double.NEGATIVE_INFINITY;
  int[] best;
  long forwardSequences;
  long backwardSequences;
  boolean notANumber;

  /**
   * Tokens tried at a position, by position and the rest of the sequence; null if repeats may be.
   */
  private final Map<Context, BitSet> tried;

  private record Context(int position, String rest) {}

  Slot(
      LanguageModel model,
      int target,
      int restart,
      RandomGenerator random,
      int[] ids,
      BitSet forbidden,
      boolean noRepeat,
      boolean cached,
      Arena arena) {
    this.model = model;
    this.target = target;
    this.restart = restart;
    this.random = random;
    this.ids = ids;
    this.forbidden = forbidden;
    int positions = ids.length - 1;
    logProb = new double[positions];
    lse = new double[positions];
    argMax = new int[positions];
    margin = new double[positions];
    hidden = Tensor.allocate(arena, model.dtype(), positions, model.width());
    int layers = cached ? model.layers() : 0;
    keys = new Tensor[layers];
    values = new Tensor[layers];
    for (int layer = 0; layer < layers; layer++) {
      long[] shape = {model.heads(), positions, model.headWidth()};
      keys[layer] = Tensor.allocate(arena, model.dtype(), shape);
      values[layer] = Tensor.allocate(arena, model.dtype(), shape);
    }
    tried = noRepeat ? new HashMap<>() : null;
  }

  /** Takes over the hidden states, keys and values of sequence {@code row} of a program. */
  void take(SuffixProgram program, int row) {
    int from = program.past;
    int length = program.length;
    long width = hidden.dim(1) * hidden.dtype().bytes();
    MemorySegment.copy(
        program.hidden.data(), row * length * width, hidden.data(), from * width, length * width);
    for (int layer = 0; layer < keys.length; layer++) {
      take(program.presentKeys[layer], row, keys[layer], from, length);
      take(program.presentValues[layer], row, values[layer], from, length);
    }
  }

  private static void take(Tensor present, long row, Tensor cache, int from, int length) {
    long heads = cache.dim(0);
    long positions = cache.dim(1);
    long width = cache.dim(2) * cache.dtype().bytes();
    for (long head = 0; head < heads; head++) {
      MemorySegment.copy(
          present.data(),
          (row * heads + head) * length * width,
          cache.data(),
          (head * positions + from) * width,
          length * width);
    }
  }

  /** Puts the cached positions into group {@code group} of a program. */
  void give(SuffixProgram program, int group) {
    for (int layer = 0; program.past > 0 && layer < keys.length; layer++) {
      give(keys[layer], program.pastKeys[layer], group, program.past);
      give(values[layer], program.pastValues[layer], group, program.past);
    }
  }

  private static void give(Tensor cache, Tensor past, long group, int length) {
    long heads = cache.dim(0);
    long positions = cache.dim(1);
    long width = cache.dim(2) * cache.dtype().bytes();
    for (long head = 0; head < heads; head++) {
      MemorySegment.copy(
          cache.data(),
          head * positions * width,
          past.data(),
          (group * heads + head) * length * width,
          length * width);
    }
  }

  /** Tokens that may not be tried at {@code position}, of which {@code prompt} says the side. */
  BitSet barred(int position, boolean prompt) {
    BitSet barred = prompt ? (BitSet) forbidden.clone() : new BitSet();
    if (tried != null) {
      BitSet seen = tried.get(context(ids, position));
      if (seen != null) {
        barred.or(seen);
      }
    }
    return barred;
  }

  /** Remembers that the sequence of a swap was evaluated. */
  void evaluated(Swap swap, int firstFree, int afterFree, double j) {
    if (tried == null && j <= bestJ) {
      return;
    }
    int[] sequence = swap.in(ids);
    if (j > bestJ) {
      bestJ = j;
      best = sequence;
    }
    for (int p = firstFree; tried != null && p < afterFree; p++) {
      tried.computeIfAbsent(context(sequence, p), _ -> new BitSet()).set(sequence[p]);
    }
  }

  /** Makes a swap, or counts that there was none to make. */
  void move(Swap swap) {
    updates++;
    if (swap == null) {
      withoutCandidates++;
      return;
    }
    withoutCandidates = 0;
    changed |= ids[swap.position()] != swap.token();
    ids[swap.position()] = swap.token();
  }

  /** Log-probability of a token at a position behind settled ones, nats. */
  double logProb(int position, int token) {
    double logit = dot(model.head(), token, hidden, position - 1);
    MemorySegment bias = model.headBias();
    if (bias != null) {
      logit +=
          model.dtype() == DType.F64
              ? bias.get(Tensor.DOUBLE, 8L * token)
              : bias.get(Tensor.FLOAT, 4L * token);
    }
    return logit - lse[position - 1];
  }

  /** Product of a row of a table with a vector, in doubles. */
  static double dot(Matrix table, int row, Tensor vectors, int vector) {
    long width = table.columns();
    long bytes = table.dtype().bytes();
    MemorySegment data = table.data().asSlice(row * table.stride() * bytes, width * bytes);
    Tensor line = Tensor.of(table.dtype(), data, width);
    double sum = 0;
    for (long c = 0; c < width; c++) {
      sum += line.get(c) * vectors.get(vector * width + c);
    }
    return sum;
  }

  private static Context context(int[] sequence, int position) {
    int[] rest = sequence.clone();
    rest[position] = -1;
    return new Context(position, Arrays.toString(rest));
  }
}
