package io.assay.audit.arca;

import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.audit.arca.ArcaResult.StopReason;
import io.assay.audit.arca.ArcaSpec.Candidates;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.audit.arca.ArcaSpec.Order;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collection;
import java.util.List;
import java.util.Queue;
import java.util.stream.IntStream;

/**
 * The audits of one bucket, that is of equal lengths: a fixed number of slots update the same
 * position together, and a slot whose audit has ended takes the next one when the positions wrap
 * around (specs/arca.md 7.2). Where audits visit positions in orders of their own, each round
 * updates the position whose turn it is in most of them, and the others wait.
 */
final class Lockstep implements AutoCloseable {
  /** Tokens that one batch should hold: enough to fill the processor's products. */
  private static final int BATCH_TOKENS = 2048;

  /** One audit to be done. */
  record Item(int target, int restart) {}

  /** What the run that owns this bucket wants to know. */
  interface Observer {
    void moved(ArcaListener.Move move);

    void updated(int audits, double best);

    void finished(Audit audit);

    boolean cancelled();
  }

  private final LanguageModel model;
  private final Problem problem;
  private final ArcaSpec spec;
  private final Streams streams;
  private final List<BitSet> forbidden;
  private final List<Step> steps = new ArrayList<>();
  private final List<Reader> readers = new ArrayList<>();
  private final Reader reader;
  private final Reader prefix;
  private final Slot[] slots;
  private final Queue<Item> queue;
  private final boolean cached;

  Lockstep(
      Engine engine,
      LanguageModel model,
      Problem problem,
      Collection<Item> items,
      List<BitSet> forbidden,
      Streams streams) {
    this(engine, model, problem, items, slots(problem, items.size()), forbidden, streams);
  }

  /**
   * @param together audits that advance together, of which some may have nothing to do
   */
  Lockstep(
      Engine engine,
      LanguageModel model,
      Problem problem,
      Collection<Item> items,
      int together,
      List<BitSet> forbidden,
      Streams streams) {
    this.model = model;
    this.problem = problem;
    this.spec = problem.spec;
    this.streams = streams;
    this.forbidden = forbidden;
    this.queue = new ArrayDeque<>(items);
    this.cached = model.cacheable() && spec.cache();
    this.slots = new Slot[together];
    try {
      reader = own(new Reader(engine, model, problem.length - 1));
      prefix =
          problem.prefixLength > 0 ? own(new Reader(engine, model, problem.prefixLength)) : null;
      if (spec.method() == Method.GCG) {
        BitSet allowed = problem.allowed(model, problem.prefixLength);
        steps.add(new GcgStep(engine, model, problem, slots.length, allowed));
      } else {
        for (int i = problem.prefixLength; i < problem.afterFree(); i++) {
          BitSet allowed = problem.allowed(model, i);
          steps.add(new Coordinate(engine, model, problem, i, slots.length, allowed));
        }
      }
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  private Reader own(Reader r) {
    readers.add(r);
    return r;
  }

  /** Audits that advance together where there are {@code items} in all. */
  static int slots(Problem problem, int items) {
    ArcaSpec spec = problem.spec;
    int wanted = spec.slots();
    if (wanted == 0) {
      int length = problem.length - 1 - problem.prefixLength;
      int tokens = Math.multiplyExact(Math.max(spec.k(), spec.q()), length);
      wanted = Math.max(1, BATCH_TOKENS / Math.max(1, tokens));
    }
    return Math.min(wanted, items);
  }

  long operations() {
    return steps.stream().mapToLong(Step::operations).sum()
        + reader.operations()
        + (prefix == null ? 0 : prefix.operations());
  }

  /** Runs until every audit has ended or the observer cancels. */
  void run(Observer observer) {
    while (!observer.cancelled()) {
      refill(observer);
      if (Arrays.stream(slots).allMatch(s -> s == null)) {
        return;
      }
      if (!sweep(observer)) {
        return;
      }
      wrap(observer);
    }
  }

  /** Makes each step once in each audit; false if the observer cancelled. */
  private boolean sweep(Observer observer) {
    for (Slot slot : slots) {
      if (slot != null) {
        slot.order = order(slot);
        slot.done = 0;
      }
    }
    for (int step = wanted(); step >= 0; step = wanted()) {
      if (observer.cancelled()) {
        return false;
      }
      update(step, observer);
    }
    return true;
  }

  /** The order of an audit's next sweep. */
  private int[] order(Slot slot) {
    int[] order = IntStream.range(0, steps.size()).toArray();
    for (int i = order.length - 1; i > 0 && spec.order() == Order.RANDOM_PERM; i--) {
      int j = Streams.draw(slot.random, i + 1);
      int step = order[j];
      order[j] = order[i];
      order[i] = step;
    }
    return order;
  }

  /** The step whose turn it is in most audits, the first among equals; -1 if none is left. */
  private int wanted() {
    int[] votes = new int[steps.size()];
    int best = -1;
    for (Slot slot : slots) {
      if (slot != null && slot.done < steps.size()) {
        votes[slot.order[slot.done]]++;
      }
    }
    for (int step = 0; step < votes.length; step++) {
      best = votes[step] > (best < 0 ? 0 : votes[best]) ? step : best;
    }
    return best;
  }

  private void update(int step, Observer observer) {
    Slot[] active = new Slot[slots.length];
    for (int a = 0; a < slots.length; a++) {
      Slot slot = slots[a];
      if (slot != null && slot.done < steps.size() && slot.order[slot.done] == step) {
        active[a] = slot;
        slot.done++;
      }
    }
    boolean[] success = steps.get(step).update(active);
    int count = 0;
    double best = Double.NEGATIVE_INFINITY;
    for (int a = 0; a < slots.length; a++) {
      Slot slot = active[a];
      if (slot == null) {
        continue;
      }
      count++;
      best = Math.max(best, slot.bestJ);
      observer.moved(
          new ArcaListener.Move(
              slot.target, slot.restart, slot.sweep, list(slot.ids), problem.objective(slot)));
      if (slot.notANumber) {
        finish(a, StopReason.NAN, observer);
      } else if (slot.withoutCandidates >= steps.size()) {
        finish(a, StopReason.NO_CANDIDATES, observer);
      } else if (success[a] && isConfirmed(slot)) {
        finish(a, StopReason.SUCCESS, observer);
      }
    }
    observer.updated(count, best);
  }

  /** A success counts only if the sequence, run on its own, decodes to it as well. */
  private boolean isConfirmed(Slot slot) {
    slot.forwardSequences++;
    return reader.read(slot.ids).isGreedy(slot.ids, problem.outputStart - 1);
  }

  private void wrap(Observer observer) {
    for (int a = 0; a < slots.length; a++) {
      Slot slot = slots[a];
      if (slot == null) {
        continue;
      }
      slot.sweep++;
      // All allowed tokens were tried at each position and none was better: nothing can change.
      boolean fixed = spec.candidates() == Candidates.EXACT && !spec.noRepeat() && !slot.changed;
      boolean anew = spec.restartOnStall() && !slot.changed;
      slot.changed = false;
      if (fixed && !anew || slot.sweep == spec.sweeps()) {
        finish(a, StopReason.BUDGET, observer);
      } else if (anew) {
        drawTokens(slot);
        settle(slot);
      }
    }
  }

  private void refill(Observer observer) {
    for (int a = 0; a < slots.length; a++) {
      while (slots[a] == null && !queue.isEmpty()) {
        slots[a] = begin(queue.remove());
        if (!canMove(slots[a])) {
          finish(a, StopReason.NO_CANDIDATES, observer);
        }
      }
    }
  }

  /** A new audit: random tokens, and what comes before the first step read once. */
  private Slot begin(Item item) {
    int[] ids = new int[problem.length];
    for (int t = 0; t < problem.length; t++) {
      if (t < problem.prefixLength) {
        ids[t] = spec.prefix().get(t);
      } else if (t >= problem.afterFree()) {
        ids[t] = spec.targets().get(item.target()).get(t - problem.outputStart);
      }
    }
    Slot slot =
        new Slot(
            model,
            item.target(),
            item.restart(),
            streams.of(item.target(), item.restart()),
            ids,
            forbidden.get(item.target()),
            spec.noRepeat(),
            cached,
            Arena.ofAuto());
    drawTokens(slot);
    settle(slot);
    return slot;
  }

  private void drawTokens(Slot slot) {
    int vocabulary = Problem.vocabulary(model);
    for (int t = problem.prefixLength; t < problem.afterFree(); t++) {
      slot.ids[t] = Streams.draw(slot.random, vocabulary);
    }
  }

  /** Settles what steps need to know: all positions, or those before a step from left to right. */
  private void settle(Slot slot) {
    if (spec.method() == Method.GCG || spec.order() == Order.RANDOM_PERM) {
      reader.settle(slot);
      slot.forwardSequences++;
    } else if (prefix != null) {
      prefix.settle(slot);
      slot.forwardSequences++;
    }
  }

  /** Whether each searched position has a token that it may take. */
  private boolean canMove(Slot slot) {
    for (int t = problem.prefixLength; t < problem.afterFree(); t++) {
      BitSet permitted = problem.allowed(model, t);
      permitted.andNot(slot.barred(t, problem.isPrompt(t)));
      if (permitted.isEmpty()) {
        return false;
      }
    }
    return true;
  }

  /** Settles all positions of a sequence of one's own, by one pass over the whole of it. */
  Slot settled(int... ids) {
    Slot slot = new Slot(model, 0, 0, null, ids, new BitSet(), false, cached, Arena.ofAuto());
    reader.settle(slot);
    return slot;
  }

  private void finish(int a, StopReason reason, Observer observer) {
    Slot slot = slots[a];
    slots[a] = null;
    observer.finished(report(slot, reason));
  }

  private Audit report(Slot slot, StopReason reason) {
    Reader.Reading reading = reader.read(slot.ids);
    int start = problem.outputStart;
    int[] prompt = Arrays.copyOfRange(slot.ids, problem.prefixLength, start);
    int[] output = Arrays.copyOfRange(slot.ids, start, slot.ids.length);
    double lp = reading.sum(start - 1, problem.length - 1);
    double fl = start == 1 ? 0 : reading.sum(0, start - 1) / (start - 1);
    double j = spec.lambda() * lp + problem.unigrams(slot.ids) + spec.lambdaF() * fl;
    Tokenizer tokenizer = model.tokenizer().orElse(null);
    int[] visible = Arrays.copyOf(slot.ids, start);
    boolean success = reason == StopReason.SUCCESS;
    boolean number = reason != StopReason.NAN;
    return new Audit(
        slot.target,
        slot.restart,
        success,
        success ? slot.sweep : -1,
        slot.updates,
        list(prompt),
        list(output),
        tokenizer == null ? null : tokenizer.decode(longs(visible)),
        tokenizer == null ? null : tokenizer.decode(longs(output)),
        number ? j : Double.NaN,
        number ? lp : Double.NaN,
        number ? fl : Double.NaN,
        Problem.unigram(spec.promptUnigram(), slot.ids, problem.prefixLength, start),
        Problem.unigram(spec.outputUnigram(), slot.ids, start, problem.length),
        number ? reading.smallestMargin(start - 1) : Double.NaN,
        tokenizer == null ? null : isStable(tokenizer, visible) && isStable(tokenizer, slot.ids),
        false,
        slot.forbidden.cardinality(),
        slot.best == null
            ? null
            : new ArcaResult.Best(
                list(Arrays.copyOfRange(slot.best, problem.prefixLength, start)),
                list(Arrays.copyOfRange(slot.best, start, problem.length)),
                slot.bestJ),
        slot.forwardSequences + 1,
        slot.backwardSequences,
        (System.nanoTime() - slot.start) / 1e9,
        spec.seed(),
        reason);
  }

  private static boolean isStable(Tokenizer tokenizer, int[] ids) {
    long[] wide = longs(ids);
    return Arrays.equals(tokenizer.encode(tokenizer.decode(wide)), wide);
  }

  static long[] longs(int[] ids) {
    return Arrays.stream(ids).asLongStream().toArray();
  }

  private static List<Integer> list(int[] ids) {
    return Arrays.stream(ids).boxed().toList();
  }

  Reader reader() {
    return reader;
  }

  /** The steps of a sweep. */
  Step step(int index) {
    return steps.get(index);
  }

  /** The update of the {@code index}-th searched position. */
  Coordinate coordinate(int index) {
    return (Coordinate) steps.get(index);
  }

  @Override
  public void close() {
    steps.forEach(Step::close);
    readers.forEach(Reader::close);
  }
}
