package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.kernel.TokenSwap;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.BitSet;

/**
 * The scores of all tokens at one position, in all audits of a group: the linear term of a gradient
 * plus what is known exactly, and the best tokens by them (specs/arca.md 2.4 and 7.3).
 */
final class Scores implements AutoCloseable {
  /** [groups, width], to be filled before {@link #best}. */
  final Tensor gradient;

  private final Problem problem;
  private final LanguageModel model;
  private final Kernels kernels;
  private final int position;
  private final int groups;
  private final int kept;
  private final Arena arena = Arena.ofShared();
  private final Tensor before;
  private final Tensor alpha;
  private final Tensor unigram;
  private final MemorySegment allowed;
  private final Tensor ids;
  private final Tensor scores;
  private final Tensor found;
  private final Tensor nans;
  private long operations;

  /**
   * @param kept most tokens that {@link #best} gives
   * @param allowedIds ids that may be given
   */
  Scores(
      Engine engine,
      LanguageModel model,
      Problem problem,
      int position,
      int groups,
      int kept,
      BitSet allowedIds) {
    this.problem = problem;
    this.model = model;
    this.kernels = engine.kernels();
    this.position = position;
    this.groups = groups;
    this.kept = kept;
    DType dtype = model.dtype();
    gradient = Tensor.allocate(arena, dtype, groups, model.width());
    before = Tensor.allocate(arena, dtype, groups, model.width());
    alpha = Tensor.allocate(arena, dtype, groups);
    ids = Tensor.allocate(arena, DType.I32, groups, kept);
    scores = Tensor.allocate(arena, dtype, groups, kept);
    found = Tensor.allocate(arena, DType.I32, groups);
    nans = Tensor.allocate(arena, DType.I64, groups);
    unigram = weightedUnigram();
    kernels.keep(real(model.embedding()));
    if (!model.tied()) {
      kernels.keep(real(model.head()));
    }
    byte[] bits = Arrays.copyOf(allowedIds.toByteArray(), (model.vocabulary() + 7) / 8);
    allowed = arena.allocate(bits.length).copyFrom(MemorySegment.ofArray(bits));
    for (int a = 0; a < groups; a++) {
      alpha.set(a, problem.alpha(position));
    }
  }

  private Tensor weightedUnigram() {
    UnigramTable table = problem.table(position);
    if (table == null || problem.spec.w() == 0) {
      return null;
    }
    Tensor t = Tensor.allocate(arena, model.dtype(), model.vocabulary());
    for (int v = 0; v < model.vocabulary(); v++) {
      t.set(v, problem.spec.w() * table.get(v));
    }
    return t;
  }

  /** Multiplications and additions of what ran so far. */
  long operations() {
    return operations;
  }

  /** The best permitted tokens of each audit, as the kernel ranks them; null for absent audits. */
  int[][] best(Slot[] slots) {
    boolean exact = problem.alpha(position) != 0;
    for (int a = 0; exact && a < groups; a++) {
      if (slots[a] != null) {
        long bytes = (long) model.width() * model.dtype().bytes();
        MemorySegment.copy(
            slots[a].hidden.data(), (position - 1) * bytes, before.data(), a * bytes, bytes);
      }
    }
    // Shared, since the kernels read it on threads of their own.
    try (Arena call = Arena.ofShared()) {
      Barred barred = barred(slots, call);
      kernels.tokenSwapTopk(
          new TokenSwap(
              real(model.embedding()),
              model.tied() ? null : real(model.head()),
              Matrix.of(gradient),
              exact ? Matrix.of(before) : null,
              exact ? alpha.data() : null,
              exact ? model.headBias() : null,
              unigram == null ? null : unigram.data(),
              allowed,
              barred.offsets(),
              barred.ids(),
              kept,
              ids.data(),
              scores.data(),
              found.data(),
              nans.data(),
              null));
    }
    operations += (model.tied() ? 2L : 4L) * groups * model.vocabulary() * model.width();
    int[][] best = new int[groups][];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        best[a] = new int[(int) found.getLong(a)];
        slots[a].notANumber |= best[a].length == 0 && nans.getLong(a) > 0;
        for (int i = 0; i < best[a].length; i++) {
          best[a][i] = (int) ids.getLong((long) a * kept + i);
        }
      }
    }
    return best;
  }

  /** What each audit may not take, as the kernel reads it; nulls where nothing is barred. */
  private record Barred(MemorySegment offsets, MemorySegment ids) {}

  private Barred barred(Slot[] slots, Arena call) {
    int[][] lists = new int[groups][];
    int total = 0;
    for (int a = 0; a < groups; a++) {
      lists[a] =
          slots[a] == null
              ? new int[0]
              : slots[a].barred(position, problem.isPrompt(position)).stream().toArray();
      total += lists[a].length;
    }
    if (total == 0) {
      return new Barred(null, null);
    }
    MemorySegment offsets = call.allocate(8L * (groups + 1), 8);
    MemorySegment barred = call.allocate(4L * total, 4);
    int at = 0;
    for (int a = 0; a < groups; a++) {
      for (int id : lists[a]) {
        barred.set(Tensor.INT, 4L * at++, id);
      }
      offsets.set(Tensor.LONG, 8L * (a + 1), at);
    }
    return new Barred(offsets, barred);
  }

  /** A table without the rows behind the last token, which pad it. */
  private Matrix real(Matrix table) {
    int vocabulary = model.vocabulary();
    return table.rows() == vocabulary
        ? table
        : new Matrix(table.data(), table.dtype(), vocabulary, table.columns(), table.stride());
  }

  /** The kernel's scores of what {@link #best} gave the first audit. */
  double[] ofBest() {
    return Arrays.copyOf(scores.toDoubles(), (int) found.getLong(0));
  }

  /** Scores of all tokens for the first audit, in Java, unmasked and with the exact term whole. */
  double[] all(Slot slot) {
    double[] all = new double[model.vocabulary()];
    double factor = problem.alpha(position);
    for (int v = 0; v < all.length; v++) {
      all[v] = Slot.dot(model.embedding(), v, gradient, 0);
      all[v] += factor == 0 ? 0 : factor * slot.logProb(position, v);
      all[v] += unigram == null ? 0 : unigram.get(v);
    }
    return all;
  }

  @Override
  public void close() {
    arena.close();
  }
}
