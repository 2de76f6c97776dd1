package io.assay.audit.arca;

import io.assay.audit.arca.ArcaSpec.Candidates;
import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.audit.arca.ArcaSpec.SuccessCheck;
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
 * The update of one position in all audits of a group: averaged gradient, scores of all tokens,
 * exact evaluation of the best, and the move (specs/arca.md 2.4, 3.1 and 7.2).
 *
 * <p>Sequences run without their last token, which is only ever predicted. Behind the cache they
 * start at the updated position; the last position needs no run at all, since what predicts it is
 * settled. Shapes are fixed and groups without an audit are padded, so that a row's bits depend on
 * neither its slot nor its neighbours.
 */
final class Coordinate implements AutoCloseable {
  private final Problem problem;
  private final ArcaSpec spec;
  private final LanguageModel model;
  private final Kernels kernels;
  private final Arena arena = Arena.ofShared();
  private final int position;
  private final int groups;
  private final int vocabulary;

  /** First position whose hidden state the head needs, and how many there are. */
  private final int firstRow;

  private final int headRows;

  /** Averaging sequences, null where nothing depends on this position or no gradient is used. */
  private final SuffixProgram gradient;

  private final HeadProgram gradientHead;

  /** Candidate sequences, null at the last position. */
  private final SuffixProgram candidates;

  private final HeadProgram candidateHead;
  private final int rows;
  private final Tensor averaged;
  private final Tensor before;
  private final Tensor alpha;
  private final Tensor unigram;
  private final MemorySegment allowed;
  private final BitSet allowedIds;
  private final Tensor keptIds;
  private final Tensor keptScores;
  private final Tensor found;
  private final Tensor nans;
  private long operations;

  Coordinate(
      Engine engine,
      LanguageModel model,
      Problem problem,
      int position,
      int groups,
      BitSet allowedIds) {
    this.problem = problem;
    this.spec = problem.spec;
    this.model = model;
    this.kernels = engine.kernels();
    this.position = position;
    this.groups = groups;
    this.vocabulary = model.vocabulary();
    this.allowedIds = allowedIds;
    this.rows = spec.q() + (spec.keepCurrent() ? 1 : 0);
    int past = model.cacheable() && spec.cache() ? position : 0;
    int length = problem.length - 1 - past;
    this.firstRow = problem.firstScored(position);
    this.headRows = problem.length - 1 - firstRow;
    boolean runs = position < problem.length - 1;
    boolean scores = spec.candidates() == Candidates.GRADIENT && spec.method() != Method.RANDOM;
    try {
      gradient =
          runs && scores
              ? SuffixProgram.gradient(engine, model, groups, averagedTokens(), past, length)
              : null;
      gradientHead = gradient == null ? null : head(gradient);
      candidates = runs ? SuffixProgram.forward(engine, model, groups, rows, past, length) : null;
      candidateHead = candidates == null ? null : head(candidates);
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
    DType dtype = model.dtype();
    averaged = Tensor.allocate(arena, dtype, groups, model.width());
    before = Tensor.allocate(arena, dtype, groups, model.width());
    alpha = Tensor.allocate(arena, dtype, groups);
    keptIds = Tensor.allocate(arena, DType.I32, groups, spec.q());
    keptScores = Tensor.allocate(arena, dtype, groups, spec.q());
    found = Tensor.allocate(arena, DType.I32, groups);
    nans = Tensor.allocate(arena, DType.I64, groups);
    unigram = weightedUnigram();
    byte[] bits = Arrays.copyOf(allowedIds.toByteArray(), (vocabulary + 7) / 8);
    allowed = arena.allocate(bits.length).copyFrom(MemorySegment.ofArray(bits));
    for (int a = 0; a < groups; a++) {
      alpha.set(a, problem.alpha(position));
    }
  }

  private int averagedTokens() {
    return spec.method() == Method.AUTOPROMPT ? 1 : spec.k();
  }

  private HeadProgram head(SuffixProgram program) {
    return new HeadProgram(kernels, model, Math.toIntExact(program.sequences() * headRows), arena);
  }

  private Tensor weightedUnigram() {
    UnigramTable table = problem.isPrompt(position) ? spec.promptUnigram() : spec.outputUnigram();
    if (table == null || spec.w() == 0) {
      return null;
    }
    Tensor t = Tensor.allocate(arena, model.dtype(), vocabulary);
    for (int v = 0; v < vocabulary; v++) {
      t.set(v, spec.w() * table.get(v));
    }
    return t;
  }

  /** Multiplications and additions of what ran so far. */
  long operations() {
    return operations;
  }

  /**
   * Updates this position in each audit and says which of them succeeded.
   *
   * @param slots audits, null where a slot is free; their positions before this one are settled
   */
  boolean[] update(Slot[] slots) {
    int[][] chosen = choose(slots);
    return evaluate(slots, chosen);
  }

  // ---- candidates ----

  /** Tokens to evaluate in each audit, best first; null for free slots. */
  private int[][] choose(Slot[] slots) {
    int[][] chosen;
    if (spec.method() == Method.RANDOM) {
      chosen = each(slots, this::drawCandidates);
    } else if (spec.candidates() == Candidates.EXACT) {
      chosen = each(slots, slot -> permitted(slot).stream().toArray());
    } else {
      average(slots);
      chosen = best(slots);
    }
    for (int a = 0; a < groups && spec.keepCurrent(); a++) {
      int[] tokens = chosen[a];
      if (tokens != null && tokens.length > 0) {
        int current = slots[a].ids[position];
        if (Arrays.stream(tokens).noneMatch(v -> v == current)) {
          chosen[a] = Arrays.copyOf(tokens, tokens.length + 1);
          chosen[a][tokens.length] = current;
        }
      }
    }
    return chosen;
  }

  private interface Choice {
    int[] of(Slot slot);
  }

  private static int[][] each(Slot[] slots, Choice choice) {
    int[][] chosen = new int[slots.length][];
    for (int a = 0; a < slots.length; a++) {
      chosen[a] = slots[a] == null ? null : choice.of(slots[a]);
    }
    return chosen;
  }

  private BitSet permitted(Slot slot) {
    BitSet permitted = (BitSet) allowedIds.clone();
    permitted.andNot(slot.barred(position, problem.isPrompt(position)));
    return permitted;
  }

  private int[] drawCandidates(Slot slot) {
    int[] ids = permitted(slot).stream().toArray();
    int count = Math.min(spec.q(), ids.length);
    for (int i = 0; i < count; i++) {
      int j = i + (int) (slot.random.nextDouble() * (ids.length - i));
      int id = ids[j];
      ids[j] = ids[i];
      ids[i] = id;
    }
    return Arrays.copyOf(ids, count);
  }

  /** The gradient of what this position influences, averaged over random tokens in doubles. */
  private void average(Slot[] slots) {
    averaged.data().fill((byte) 0);
    int k = averagedTokens();
    int[][] tokens =
        each(
            slots,
            slot -> {
              if (spec.method() == Method.AUTOPROMPT) {
                return new int[] {slot.ids[position]};
              }
              int[] drawn = new int[k];
              for (int j = 0; j < k; j++) {
                drawn[j] = Streams.draw(slot.random, vocabulary);
              }
              return drawn;
            });
    if (gradient == null) {
      return;
    }
    average(slots, tokens);
    operations +=
        gradient.forwardOperations()
            + gradient.backwardOperations()
            + 3 * gradientHead.operations();
  }

  /** Fills {@link #averaged} from the given averaging tokens. */
  private void average(Slot[] slots, int[][] tokens) {
    int k = averagedTokens();
    fill(gradient, slots, tokens, 0);
    gradient.runForward();
    toHead(gradient, gradientHead, slots);
    gradientHead.run();
    for (int row = 0; row < gradientHead.rows; row++) {
      gradientHead.weight.set(row, problem.gradientWeight(firstRow + row % headRows));
    }
    gradientHead.runBackward();
    gradient.hiddenGradient.data().fill((byte) 0);
    fromHead(gradient, gradientHead);
    gradient.runBackward();
    double scale = spec.compat() == Compat.OFFICIAL ? 1.0 / k / k : 1.0 / k;
    int width = model.width();
    for (int a = 0; a < groups; a++) {
      if (slots[a] == null) {
        continue;
      }
      slots[a].forwardSequences += k;
      slots[a].backwardSequences += k;
      for (int c = 0; c < width; c++) {
        double sum = 0;
        for (int j = 0; j < k; j++) {
          long row = ((long) a * k + j) * gradient.length + position - gradient.past;
          sum += gradient.embedGradient.get(row * width + c);
        }
        averaged.set((long) a * width + c, sum * scale);
      }
    }
  }

  /** The averaged gradient [width] for given averaging tokens; zeros where nothing follows. */
  double[] gradient(Slot slot, int... averagingTokens) {
    averaged.data().fill((byte) 0);
    if (gradient != null) {
      average(alone(slot), alone(averagingTokens));
    }
    return Arrays.copyOf(averaged.toDoubles(), model.width());
  }

  /** Scores of all tokens (specs/arca.md 2.4) for given averaging tokens, in Java and unmasked. */
  double[] scores(Slot slot, int... averagingTokens) {
    gradient(slot, averagingTokens);
    double[] scores = new double[vocabulary];
    double factor = problem.alpha(position);
    for (int v = 0; v < vocabulary; v++) {
      scores[v] = dot(model.embedding(), v, averaged, 0);
      scores[v] += factor == 0 ? 0 : factor * (logit(slot, v) - slot.lse[position - 1]);
      scores[v] += unigram == null ? 0 : unigram.get(v);
    }
    return scores;
  }

  /** The kernel's choice after {@link #gradient} or {@link #scores} of the same slot. */
  int[] ranked(Slot slot) {
    return best(alone(slot))[0];
  }

  /** The kernel's scores of {@link #ranked}. */
  double[] rankedScores() {
    return Arrays.copyOf(keptScores.toDoubles(), (int) found.getLong(0));
  }

  /** J with each of at most q tokens at this position; nothing moves. */
  double[] objectives(Slot slot, int... tokens) {
    if (candidates != null) {
      run(alone(slot), alone(tokens), 0);
    }
    double[] values = new double[tokens.length];
    for (int j = 0; j < tokens.length; j++) {
      values[j] = objective(slot, tokens[j], j);
    }
    return values;
  }

  private Slot[] alone(Slot slot) {
    Slot[] slots = new Slot[groups];
    slots[0] = slot;
    return slots;
  }

  private int[][] alone(int[] tokens) {
    int[][] all = new int[groups][];
    all[0] = tokens;
    return all;
  }

  /** The best tokens by score, as the kernel ranks them. */
  private int[][] best(Slot[] slots) {
    int[][] barred =
        each(slots, slot -> slot.barred(position, problem.isPrompt(position)).stream().toArray());
    int total = 0;
    for (int[] ids : barred) {
      total += ids == null ? 0 : ids.length;
    }
    // Shared, since the kernels read it on threads of their own.
    try (Arena call = Arena.ofShared()) {
      MemorySegment offsets = null;
      MemorySegment ids = null;
      if (total > 0) {
        offsets = call.allocate(8L * (groups + 1), 8);
        ids = call.allocate(4L * total, 4);
        int at = 0;
        for (int a = 0; a < groups; a++) {
          for (int i = 0; barred[a] != null && i < barred[a].length; i++) {
            ids.set(Tensor.INT, 4L * at++, barred[a][i]);
          }
          offsets.set(Tensor.LONG, 8L * (a + 1), at);
        }
      }
      boolean exact = problem.alpha(position) != 0;
      if (exact) {
        for (int a = 0; a < groups; a++) {
          if (slots[a] != null) {
            long bytes = (long) model.width() * model.dtype().bytes();
            MemorySegment.copy(
                slots[a].hidden.data(), (position - 1) * bytes, before.data(), a * bytes, bytes);
          }
        }
      }
      boolean tied = model.tied();
      kernels.tokenSwapTopk(
          new TokenSwap(
              real(model.embedding()),
              tied ? null : real(model.head()),
              Matrix.of(averaged),
              exact ? Matrix.of(before) : null,
              exact ? alpha.data() : null,
              exact ? model.headBias() : null,
              unigram == null ? null : unigram.data(),
              allowed,
              offsets,
              ids,
              spec.q(),
              keptIds.data(),
              keptScores.data(),
              found.data(),
              nans.data(),
              null));
      operations += (tied ? 2L : 4L) * groups * vocabulary * model.width();
    }
    int[][] chosen = new int[groups][];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        chosen[a] = new int[(int) found.getLong(a)];
        slots[a].notANumber |= chosen[a].length == 0 && nans.getLong(a) > 0;
        for (int i = 0; i < chosen[a].length; i++) {
          chosen[a][i] = (int) keptIds.getLong((long) a * spec.q() + i);
        }
      }
    }
    return chosen;
  }

  private Matrix real(Matrix table) {
    return table.rows() == vocabulary
        ? table
        : new Matrix(table.data(), table.dtype(), vocabulary, table.columns(), table.stride());
  }

  // ---- exact evaluation ----

  /** Evaluates the candidates, moves each audit to its winner, and says which succeeded. */
  private boolean[] evaluate(Slot[] slots, int[][] chosen) {
    boolean[] success = new boolean[groups];
    double[] best = new double[groups];
    int[] winner = new int[groups];
    Arrays.fill(best, Double.NEGATIVE_INFINITY);
    Arrays.fill(winner, -1);
    int most = 0;
    for (int[] tokens : chosen) {
      most = Math.max(most, tokens == null ? 0 : tokens.length);
    }
    for (int first = 0; first < most; first += rows) {
      if (candidates != null) {
        run(slots, chosen, first);
      }
      for (int a = 0; a < groups; a++) {
        for (int j = 0; chosen[a] != null && j < rows && first + j < chosen[a].length; j++) {
          Slot slot = slots[a];
          slot.forwardSequences += candidates == null ? 0 : 1;
          int token = chosen[a][first + j];
          int row = a * rows + j;
          double objective = objective(slot, token, row);
          if (Double.isNaN(objective)) {
            slot.notANumber = true;
            continue;
          }
          boolean good = spec.successCheck() == SuccessCheck.ANY && isGreedy(slot, token, row);
          boolean wins =
              winner[a] < 0 || good && !success[a] || good == success[a] && objective > best[a];
          slot.evaluated(position, token, problem.prefixLength, problem.afterFree(), objective);
          if (wins) {
            best[a] = objective;
            winner[a] = token;
            success[a] =
                good || spec.successCheck() == SuccessCheck.FIRST && isGreedy(slot, token, row);
            settle(slot, token, row);
          }
        }
      }
    }
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        move(slots[a], winner[a]);
        success[a] &= !slots[a].notANumber && problem.passesRule(slots[a].ids);
      }
    }
    return success;
  }

  /** Runs the candidates {@code chosen[a][first..first + rows)}. */
  private void run(Slot[] slots, int[][] chosen, int first) {
    fill(candidates, slots, chosen, first);
    candidates.runForward();
    toHead(candidates, candidateHead, slots);
    candidateHead.run();
    operations += candidates.forwardOperations() + candidateHead.operations();
  }

  private void move(Slot slot, int token) {
    slot.updates++;
    if (token < 0) {
      slot.withoutCandidates++;
      return;
    }
    slot.withoutCandidates = 0;
    slot.changed |= slot.ids[position] != token;
    slot.ids[position] = token;
  }

  /** J of the sequence in candidate row {@code row}; NaN where a logit was not a number. */
  private double objective(Slot slot, int token, int row) {
    int[] ids = slot.ids.clone();
    ids[position] = token;
    double sum = problem.unigrams(ids);
    for (int t = 0; t < problem.length - 1; t++) {
      double weight = problem.termWeight(t);
      if (weight == 0) {
        continue;
      }
      double logProb;
      if (t >= position) {
        logProb = candidateHead.logProb.get(headRow(row, t));
      } else if (t == position - 1) {
        logProb = logit(slot, token) - slot.lse[t];
      } else {
        logProb = slot.logProb[t];
      }
      sum += weight * logProb;
    }
    return sum;
  }

  /** Whether every output token is the arg max of the position before it. */
  private boolean isGreedy(Slot slot, int token, int row) {
    for (int t = problem.outputStart - 1; t < problem.length - 1; t++) {
      long top = t >= position ? candidateHead.argMax.getLong(headRow(row, t)) : slot.argMax[t];
      int next = t + 1 == position ? token : slot.ids[t + 1];
      if (top != next) {
        return false;
      }
    }
    if (problem.spec.isJoint()) {
      int[] ids = slot.ids.clone();
      ids[position] = token;
      return problem.passesRule(ids);
    }
    return true;
  }

  /** Takes over what the model said about candidate row {@code row}. */
  private void settle(Slot slot, int token, int row) {
    if (problem.isPredicted(position)) {
      slot.logProb[position - 1] = logit(slot, token) - slot.lse[position - 1];
    }
    if (candidates == null) {
      return;
    }
    slot.take(candidates, row);
    for (int t = firstRow; t < problem.length - 1; t++) {
      long at = headRow(row, t);
      slot.logProb[t] = candidateHead.logProb.get(at);
      slot.lse[t] = candidateHead.lse.get(at);
      slot.argMax[t] = (int) candidateHead.argMax.getLong(at);
      slot.margin[t] = candidateHead.margin.get(at);
    }
  }

  private long headRow(int row, int t) {
    return (long) row * headRows + t - firstRow;
  }

  // ---- moving numbers ----

  /**
   * Writes the sequences with {@code tokens[a][first + j]} at this position; pads with the first.
   */
  private void fill(SuffixProgram program, Slot[] slots, int[][] tokens, int first) {
    for (int a = 0; a < groups; a++) {
      Slot slot = slots[a];
      if (slot != null) {
        slot.give(program, a);
      }
      for (int j = 0; j < program.rows; j++) {
        int[] mine = slot == null ? null : tokens[a];
        int token =
            mine == null || mine.length == 0 ? 0 : mine[first + j < mine.length ? first + j : 0];
        long at = ((long) a * program.rows + j) * program.length;
        for (int t = program.past; t < problem.length - 1; t++) {
          int id = t == position ? token : slot == null ? 0 : slot.ids[t];
          program.ids.set(at + t - program.past, id);
        }
      }
    }
  }

  /** Copies the hidden states that are scored, and their targets, into the head's rows. */
  private void toHead(SuffixProgram program, HeadProgram head, Slot[] slots) {
    long bytes = (long) model.width() * model.dtype().bytes();
    int skip = firstRow - program.past;
    for (int s = 0; s < program.sequences(); s++) {
      MemorySegment.copy(
          program.hidden.data(),
          ((long) s * program.length + skip) * bytes,
          head.hidden.data(),
          (long) s * headRows * bytes,
          headRows * bytes);
      Slot slot = slots[s / program.rows];
      for (int r = 0; r < headRows; r++) {
        head.target(s * headRows + r, slot == null ? 0 : slot.ids[firstRow + r + 1]);
      }
    }
  }

  private void fromHead(SuffixProgram program, HeadProgram head) {
    long bytes = (long) model.width() * model.dtype().bytes();
    int skip = firstRow - program.past;
    for (int s = 0; s < program.sequences(); s++) {
      MemorySegment.copy(
          head.gradient.data(),
          (long) s * headRows * bytes,
          program.hiddenGradient.data(),
          ((long) s * program.length + skip) * bytes,
          headRows * bytes);
    }
  }

  /** Logit of {@code token} at this position, from the settled hidden state before it. */
  private double logit(Slot slot, int token) {
    double sum = dot(model.head(), token, slot.hidden, position - 1);
    MemorySegment bias = model.headBias();
    if (bias != null) {
      sum +=
          model.dtype() == DType.F64
              ? bias.get(Tensor.DOUBLE, 8L * token)
              : bias.get(Tensor.FLOAT, 4L * token);
    }
    return sum;
  }

  private static double dot(Matrix table, int row, Tensor vectors, int vector) {
    long width = table.columns();
    Tensor line =
        Tensor.of(
            table.dtype(),
            table
                .data()
                .asSlice(
                    row * table.stride() * table.dtype().bytes(), width * table.dtype().bytes()),
            width);
    double sum = 0;
    for (long c = 0; c < width; c++) {
      sum += line.get(c) * vectors.get(vector * width + c);
    }
    return sum;
  }

  @Override
  public void close() {
    if (gradient != null) {
      gradient.close();
    }
    if (candidates != null) {
      candidates.close();
    }
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
