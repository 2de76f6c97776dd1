package io.assay.audit.arca;

import io.assay.audit.arca.ArcaListener.Progress;
import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.audit.arca.ArcaResult.StopReason;
import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * ARCA, autoregressive randomized coordinate ascent (Jones, Dragan, Raghunathan and Steinhardt
 * 2023, arXiv 2303.04381): finds prompts whose greedy completion is a given output, or prompts and
 * outputs together.
 *
 * <pre>{@code
 * try (Engine engine = Engine.open()) {
 *   ArcaSpec spec = ArcaSpec.reverse("model/folder", 12, 1).seed(1).build();
 *   ArcaResult result = ArcaAudit.run(engine, spec, ArcaListener.NONE);
 * }
 * }</pre>
 *
 * <p>The same specification gives the same result on the same device. What one audit finds does not
 * depend on the audits beside it, so that a run goes on from the audits that {@link
 * ArcaListener#done} gives and ends with the same result; its seconds and operations are those of
 * this life.
 */
public final class ArcaAudit {
  private ArcaAudit() {}

  /**
   * Runs all audits of {@code spec} on the model that it names.
   *
   * @throws InputException if the specification does not fit the model
   */
  public static ArcaResult run(Engine engine, ArcaSpec spec, ArcaListener listener) {
    return run(engine, engine.languageModel(spec.model()), spec, listener);
  }

  /**
   * Runs all audits of {@code spec} on {@code model}.
   *
   * @throws InputException if the specification does not fit the model
   */
  public static ArcaResult run(
      Engine engine, LanguageModel model, ArcaSpec spec, ArcaListener listener) {
    return run(engine, model, spec, listener, Streams.seeded(spec.seed(), spec.restarts()));
  }

  static ArcaResult run(
      Engine engine, LanguageModel model, ArcaSpec spec, ArcaListener listener, Streams streams) {
    return new Run(engine, model, spec, listener, streams).result();
  }

  /** One call of {@link #run}. */
  private static final class Run implements Lockstep.Observer {
    private final Engine engine;
    private final LanguageModel model;
    private final ArcaSpec spec;
    private final ArcaListener listener;
    private final Streams streams;
    private final long start = System.nanoTime();
    private final List<Audit> audits = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();
    private final int total;
    private final long updatesAtMost;
    private boolean[] produced;

    /** Texts of the tokens, decoded when the copy filter first asks for them; null until then. */
    private String[] texts;

    private long updates;
    private long ended;
    private long operations;
    private int slots;
    private double best = Double.NEGATIVE_INFINITY;

    Run(Engine engine, LanguageModel model, ArcaSpec spec, ArcaListener listener, Streams streams) {
      this.engine = engine;
      this.model = model;
      this.spec = spec;
      this.listener = listener;
      this.streams = streams;
      this.total = Math.multiplyExact(spec.targets().size(), spec.restarts());
      this.updatesAtMost = (long) total * perAudit();
    }

    private long perAudit() {
      int free = spec.promptLength() + (spec.isJoint() ? spec.outputLength() : 0);
      return (long) (spec.method() == Method.GCG ? 1 : free) * spec.sweeps();
    }

    ArcaResult result() {
      check();
      Set<Lockstep.Item> done = takeOver(listener.done());
      produced = new boolean[spec.targets().size()];
      List<BitSet> forbidden = spec.targets().stream().map(this::forbidden).toList();
      Map<Integer, List<Lockstep.Item>> buckets = new TreeMap<>();
      for (int target = 0; target < spec.targets().size(); target++) {
        for (int restart = 0; restart < spec.restarts(); restart++) {
          buckets
              .computeIfAbsent(spec.outputLength(target), _ -> new ArrayList<>())
              .add(new Lockstep.Item(target, restart));
        }
      }
      for (Map.Entry<Integer, List<Lockstep.Item>> bucket : buckets.entrySet()) {
        Problem problem = new Problem(spec, bucket.getKey());
        if (problem.prefixFails()) {
          bucket.getValue().stream()
              .filter(item -> !done.contains(item))
              .forEach(item -> finished(infeasible(item, forbidden)));
          continue;
        }
        flagProduced(bucket.getValue());
        // As many as for all audits, so that a batch has one shape in every life of the run.
        int together = Lockstep.slots(problem, bucket.getValue().size());
        slots = Math.max(slots, together);
        List<Lockstep.Item> left =
            bucket.getValue().stream().filter(item -> !done.contains(item)).toList();
        if (left.isEmpty()) {
          continue;
        }
        try (Lockstep lockstep =
            new Lockstep(engine, model, problem, left, together, forbidden, streams)) {
          lockstep.run(this);
          operations += lockstep.operations();
        }
      }
      audits.sort(Comparator.comparingInt(Audit::target).thenComparingInt(Audit::restart));
      double seconds = (System.nanoTime() - start) / 1e9;
      return new ArcaResult(
          audits, warnings, audits.size() < total, operations, updates, slots, seconds);
    }

    /** Counts the audits of earlier lives, which are not run again. */
    private Set<Lockstep.Item> takeOver(List<Audit> earlier) {
      Set<Lockstep.Item> done = new HashSet<>();
      for (Audit a : earlier) {
        boolean known = a.target() < spec.targets().size() && a.restart() < spec.restarts();
        if (!known || !done.add(new Lockstep.Item(a.target(), a.restart()))) {
          throw new IllegalArgumentException(
              "the listener gives an audit that this run does not have, or twice: " + a);
        }
        audits.add(a);
        updates += a.coordinateUpdates();
        ended += perAudit() - a.coordinateUpdates();
        best = a.bestSoFar() == null ? best : Math.max(best, a.bestSoFar().J());
      }
      return done;
    }

    // ---- checks ----

    private void check() {
      int vocabulary = Problem.vocabulary(model);
      ids("prefix", spec.prefix(), vocabulary);
      int context = model.context();
      for (int target = 0; target < spec.targets().size(); target++) {
        ids("target", spec.targets().get(target), vocabulary);
        int length = spec.prefix().size() + spec.promptLength() + spec.outputLength(target);
        if (length > context) {
          throw new InputException(
              "prefix, prompt and output have "
                  + length
                  + " tokens together, the model reads at most "
                  + context
                  + "; shorten one of them");
        }
      }
      table(spec.promptUnigram());
      table(spec.outputUnigram());
      if (spec.lambdaF() > 0 && spec.prefix().size() + spec.promptLength() == 1) {
        warnings.add("a prompt of one token has no fluency: lambda-f has no effect");
      }
    }

    private void ids(String what, List<Integer> ids, int vocabulary) {
      for (int id : ids) {
        if (id < 0 || id >= vocabulary) {
          throw new InputException(
              "the "
                  + what
                  + " has the token id "
                  + id
                  + "; the model's ids are 0 to "
                  + (vocabulary - 1));
        }
      }
    }

    private void table(UnigramTable table) {
      if (table == null) {
        return;
      }
      table.requireSize(model.vocabulary(), model.embedding().rows());
      if (table.clamped() > 0) {
        warnings.add(
            "the unigram table "
                + table.name()
                + " has "
                + table.clamped()
                + " entries that are no log-probability; they were clamped");
      }
    }

    private BitSet forbidden(List<Integer> target) {
      int vocabulary = Problem.vocabulary(model);
      Tokenizer tokenizer = model.tokenizer().orElse(null);
      if (tokenizer == null || spec.copyFilter() == CopyFilter.NONE) {
        return TokenConstraints.copiesById(spec.copyFilter(), vocabulary, target);
      }
      if (texts == null) {
        texts = new String[vocabulary];
        Arrays.setAll(texts, v -> tokenizer.decode(v));
      }
      return TokenConstraints.copies(spec.copyFilter(), v -> texts[v], vocabulary, target);
    }

    /** Marks the targets that the model says after the bare prefix: their prompts prove nothing. */
    private void flagProduced(List<Lockstep.Item> items) {
      if (spec.isJoint() || spec.prefix().isEmpty()) {
        return;
      }
      int length = spec.outputLength(items.getFirst().target());
      int[] said = Reader.greedy(engine, model, spec.prefix(), length);
      items.stream()
          .mapToInt(Lockstep.Item::target)
          .distinct()
          .filter(target -> Arrays.equals(said, array(spec.targets().get(target))))
          .forEach(
              target -> {
                produced[target] = true;
                warnings.add(
                    "the model says the target "
                        + spec.targets().get(target)
                        + " after the prefix alone; what is found for it proves nothing");
              });
    }

    private static int[] array(List<Integer> ids) {
      return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    private Audit infeasible(Lockstep.Item item, List<BitSet> forbidden) {
      return new Audit(
          item.target(),
          item.restart(),
          false,
          -1,
          0,
          List.of(),
          spec.targets().get(item.target()),
          null,
          null,
          Double.NaN,
          Double.NaN,
          Double.NaN,
          null,
          null,
          Double.NaN,
          null,
          false,
          forbidden.get(item.target()).cardinality(),
          null,
          0,
          0,
          0,
          spec.seed(),
          StopReason.INFEASIBLE_PREFIX);
    }

    // ---- observing ----

    @Override
    public void moved(ArcaListener.Move move) {
      listener.moved(move);
    }

    @Override
    public void updated(int count, double bestNow) {
      updates += count;
      best = Math.max(best, bestNow);
      int successes = (int) audits.stream().filter(Audit::success).count();
      long left = updatesAtMost - ended;
      listener.progress(new Progress(updates, left, audits.size(), total, successes, best));
    }

    @Override
    public void finished(Audit audit) {
      Audit flagged = produced[audit.target()] ? audit.withAlreadyProduced() : audit;
      ended += perAudit() - audit.coordinateUpdates();
      audits.add(flagged);
      listener.finished(flagged);
    }

    @Override
    public boolean cancelled() {
      return listener.cancelled();
    }
  }
}
