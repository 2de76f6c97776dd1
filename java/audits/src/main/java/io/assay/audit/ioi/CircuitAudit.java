package io.assay.audit.ioi;

import io.assay.audit.ioi.CircuitResult.Completeness;
import io.assay.audit.ioi.CircuitResult.Copy;
import io.assay.audit.ioi.CircuitResult.Edge;
import io.assay.audit.ioi.CircuitResult.Minimality;
import io.assay.audit.ioi.CircuitResult.Step;
import io.assay.audit.ioi.Circuits.Reference;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.Pair;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.PathPatch;
import io.assay.engine.patch.PathSpec;
import io.assay.engine.run.UnitListener;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Finds the heads that do the task, and tests whether they are enough, all, and each needed (Wang
 * et al. 2022). A circuit is searched on some prompts and tested on others.
 */
public final class CircuitAudit {
  /** Circuits up to this size are tested without each of their subsets. */
  private static final int SMALL = 6;

  /** Prompts whose names copy scores read, and how many of the highest logits count. */
  private static final int COPIES = 50;

  private static final int TOP = 5;

  /** Prompts on which edges between heads are measured. */
  private static final int PATHS = 8;

  /** Steps of a greedy set, and candidates of each. */
  private static final int GREEDY_STEPS = 10;

  private static final int GREEDY_CANDIDATES = 10;

  /** Of so many heads the search takes out one at a time, of twice as many two. */
  private static final int ROUND = 24;

  /** Exchanges that the search makes at most for one size of the set. */
  private static final int EXCHANGES = 8;

  private final CircuitSpec spec;
  private final Circuits found;
  private final Circuits tested;
  private final List<Step> search = new ArrayList<>();

  private CircuitAudit(CircuitSpec spec, Circuits found, Circuits tested) {
    this.spec = spec;
    this.found = found;
    this.tested = tested;
  }

  /**
   * Runs the audit.
   *
   * @return empty if the listener ended it
   * @throws InputException if the model has no tokenizer or no hooks of heads, or the prompts do
   *     not fit it
   */
  public static Optional<CircuitResult> run(
      Engine engine, LanguageModel model, CircuitSpec spec, Circuits.Listener listener) {
    Tokenizer tokenizer =
        model
            .tokenizer()
            .orElseThrow(
                () ->
                    new InputException(
                        "the model "
                            + model.model().name()
                            + " has no tokenizer, without which no prompt can be drawn"));
    IoiSpec drawn = spec.prompts();
    IoiSpec others =
        new IoiSpec(
            drawn.prompts(),
            drawn.seed() + 1,
            drawn.templates(),
            drawn.forms(),
            drawn.words(),
            drawn.bos(),
            drawn.legacyCollisions());
    IoiGenerator generator = new IoiGenerator(drawn, tokenizer);
    List<IoiPrompt> test = new IoiGenerator(others, tokenizer).prompts();
    List<Reference> references =
        generator.references(spec.references(), drawn.seed() + 2).stream()
            .map(p -> new Reference(p.corruptIds(), p.template()))
            .toList();
    IoiBaseline.requireVocabulary(model, test);
    try (Circuits search =
            open(engine, model, "search", generator.prompts(), spec, references, listener);
        Circuits tested = open(engine, model, "test", test, spec, references, listener)) {
      tested.require(spec.given());
      CircuitAudit audit = new CircuitAudit(spec, search, tested);
      return Optional.of(audit.result(engine, model, test, generator.warnings()));
    } catch (Circuits.Cancelled e) {
      return Optional.empty();
    }
  }

  /** Evaluations that a run takes at most. */
  public static long most(LanguageModel model, CircuitSpec spec) {
    long all =
        model.model().hooks().names().stream()
                .filter(h -> h.matches("blocks\\.\\d+\\.attn\\.hook_z"))
                .count()
            * Math.max(1, model.heads());
    long search = 1;
    for (long left = all; left > 1 && spec.given().isEmpty(); ) {
      long round = Math.max(1, left / ROUND);
      search += left + (round == 1 ? 0 : round);
      left -= round;
    }
    if (spec.given().isEmpty()) {
      // As if half of the heads were exchanged for the other half.
      search += EXCHANGES * (all / 2) * Math.min(ROUND, all - all / 2) + all;
    }
    long size = spec.given().isEmpty() ? all : spec.given().size();
    long sets =
        size <= SMALL
            ? 1L << size
            : 1
                + size
                + spec.randomSets()
                + (long) spec.greedySets() * (1 + GREEDY_STEPS * GREEDY_CANDIDATES);
    return search + 2 + 2 * sets + size * sets;
  }

  private static Circuits open(
      Engine engine,
      LanguageModel model,
      String name,
      List<IoiPrompt> prompts,
      CircuitSpec spec,
      List<Reference> references,
      Circuits.Listener listener) {
    List<Example> examples = prompts.stream().map(Example::of).toList();
    return new Circuits(engine, model, name, examples, spec.ablation(), references, listener);
  }

  private CircuitResult result(
      Engine engine, LanguageModel model, List<IoiPrompt> prompts, List<String> warnings) {
    double[] whole = tested.whole();
    double positive = share(whole);
    List<String> doubts = new ArrayList<>(warnings);
    doubts.addAll(tested.warnings());
    String reason = "";
    if (positive < CircuitSpec.POSITIVE) {
      reason =
          "the model prefers IO on %.1f %% of the prompts only, and a circuit needs %.0f %%"
              .formatted(100 * positive, 100 * CircuitSpec.POSITIVE);
    }
    boolean does = reason.isEmpty();
    List<Node> circuit =
        !spec.given().isEmpty()
            ? spec.given()
            : does ? search(found, spec.target(), search) : List.of();
    double[] kept = circuit.isEmpty() ? new double[0] : tested.only(circuit);
    List<Completeness> completeness = new ArrayList<>();
    List<Minimality> minimality = new ArrayList<>();
    if (!circuit.isEmpty()) {
      double share = Circuits.mean(kept) / Circuits.mean(whole);
      if (does && !(share >= CircuitSpec.FAITHFUL)) {
        reason =
            "the heads keep %.1f %% of the logit difference, and a circuit needs %.0f %%"
                .formatted(100 * share, 100 * CircuitSpec.FAITHFUL);
      }
      completeness = completeness(circuit);
      minimality = minimality(circuit, completeness);
      incompleteness(completeness, Circuits.mean(whole)).ifPresent(doubts::add);
    }
    return new CircuitResult(
        prompts,
        whole,
        kept,
        circuit,
        tested.layers(),
        tested.heads(),
        search,
        completeness,
        minimality,
        attention(engine, model, prompts),
        circuit.isEmpty() ? List.of() : copies(engine, model, prompts, heads(circuit)),
        edges(engine, model, prompts, heads(circuit)),
        has(model, "blocks.0.attn.hook_pattern")
            ? HeadScores.patterns(engine, model, prompts.getFirst().ids(), heads(circuit))
            : new float[0][],
        reason,
        doubts);
  }

  private static boolean has(LanguageModel model, String... hooks) {
    return model.model().hooks().names().containsAll(List.of(hooks));
  }

  private static List<HeadScores> attention(
      Engine engine, LanguageModel model, List<IoiPrompt> prompts) {
    return has(model, "blocks.0.attn.hook_pattern")
        ? HeadScores.ofPrompts(engine, model, prompts.stream().map(Example::of).toList())
        : List.of();
  }

  private static List<Copy> copies(
      Engine engine, LanguageModel model, List<IoiPrompt> prompts, List<Node> heads) {
    if (!has(
        model,
        "blocks.0.hook_resid_pre",
        "blocks.0.hook_resid_post",
        "blocks.0.hook_attn_out",
        "blocks.0.attn.hook_v")) {
      return List.of();
    }
    List<Example> some = prompts.stream().limit(COPIES).map(Example::of).toList();
    try (CopyScores scores = new CopyScores(engine, model, some)) {
      return heads.stream()
          .map(
              n ->
                  new Copy(
                      n.layer(),
                      n.head(),
                      scores.of(n.layer(), n.head(), 1, TOP),
                      scores.of(n.layer(), n.head(), -1, TOP)))
          .toList();
    }
  }

  private static List<Node> heads(List<Node> circuit) {
    return circuit.stream().map(n -> Node.of(n.layer(), n.head())).distinct().toList();
  }

  /** Path patches between heads, and from each to the logits, on prompts of one length. */
  private static List<Edge> edges(
      Engine engine, LanguageModel model, List<IoiPrompt> prompts, List<Node> heads) {
    if (heads.isEmpty()
        || !has(model, "blocks.0.attn.hook_q", "blocks.0.attn.hook_k", "blocks.0.attn.hook_v")) {
      return List.of();
    }
    int length = prompts.getFirst().ids().length;
    List<Pair> pairs =
        prompts.stream()
            .filter(p -> p.ids().length == length)
            .limit(PATHS)
            .map(CircuitAudit::pair)
            .toList();
    List<Edge> edges = new ArrayList<>();
    for (Node to : heads) {
      List<Node> before = heads.stream().filter(n -> n.layer() < to.layer()).toList();
      if (!before.isEmpty()) {
        String receivers = at(to, "hook_q") + "," + at(to, "hook_k") + "," + at(to, "hook_v");
        edges.addAll(paths(engine, model, pairs, before, receivers, to));
      }
    }
    edges.addAll(paths(engine, model, pairs, heads, "logits", null));
    return edges;
  }

  private static Pair pair(IoiPrompt p) {
    List<Integer> clean = Arrays.stream(p.ids()).mapToObj(Math::toIntExact).toList();
    List<Integer> corrupt = Arrays.stream(p.corruptIds()).mapToObj(Math::toIntExact).toList();
    return new Pair(clean, corrupt, (int) p.answer(), (int) p.wrong(), p.positions().byName());
  }

  private static String at(Node head, String part) {
    return "blocks." + head.layer() + ".attn." + part + "[" + head.head() + "]";
  }

  private static List<Edge> paths(
      Engine engine,
      LanguageModel model,
      List<Pair> pairs,
      List<Node> from,
      String receivers,
      Node to) {
    String senders = from.stream().map(n -> at(n, "hook_z")).collect(Collectors.joining(","));
    PathSpec spec =
        PathSpec.toLogits(Direction.NOISE, pairs).withFrom(senders).withReceivers(receivers);
    PatchMap map = PathPatch.run(engine, model, spec, UnitListener.none());
    return IntStream.range(0, from.size())
        .mapToObj(i -> new Edge(from.get(i), to, map.mean(i) - map.clean()))
        .toList();
  }

  private static double share(double[] differences) {
    return Arrays.stream(differences).filter(ld -> ld > 0).count() / (double) differences.length;
  }

  // ---- search ----

  /**
   * Takes the head out without which the logit difference stays nearest to the model's, again and
   * again (of many heads several at once), and begins from the smallest set on the way that is as
   * near as the target asks. Heads may stand in for each other, and which of them went first may be
   * chance: so heads of the set are exchanged for others, and taken out, as long as that helps.
   */
  static List<Node> search(Circuits circuits, double target, List<Step> steps) {
    TreeSet<Node> left = circuits.all();
    double model = Circuits.mean(circuits.whole());
    double near = (1 - target) * model;
    List<Node> best = List.copyOf(left);
    while (left.size() > 1) {
      List<Node> order = removals(circuits, left, model);
      for (Node node : order.subList(0, Math.max(1, left.size() / ROUND))) {
        left.remove(node);
        double kept = Circuits.mean(circuits.only(left));
        steps.add(new Step(node, null, left.size(), kept));
        if (Math.abs(kept - model) <= near) {
          best = List.copyOf(left);
        }
      }
    }
    List<Node> others = steps.reversed().stream().map(Step::removed).limit(ROUND).toList();
    left = new TreeSet<>(best);
    boolean fewer = true;
    while (fewer && left.size() > 1) {
      exchange(circuits, left, others, model, steps);
      Node node = removals(circuits, left, model).getFirst();
      double kept = Circuits.mean(circuits.only(Circuits.difference(left, List.of(node))));
      fewer = Math.abs(kept - model) <= near;
      if (fewer) {
        left.remove(node);
        steps.add(new Step(node, null, left.size(), kept));
      }
    }
    return List.copyOf(left);
  }

  /** The heads of a set, first the one without which it stays nearest to the model. */
  private static List<Node> removals(Circuits circuits, TreeSet<Node> set, double model) {
    TreeMap<Node, Double> off = new TreeMap<>();
    for (Node node : set) {
      double kept = Circuits.mean(circuits.only(Circuits.difference(set, List.of(node))));
      off.put(node, Math.abs(kept - model));
    }
    List<Node> order = new ArrayList<>(set);
    order.sort(Comparator.comparing(off::get));
    return order;
  }

  /** Exchanges a head for one of the others, always the best pair, while that comes nearer. */
  private static void exchange(
      Circuits circuits, TreeSet<Node> set, List<Node> others, double model, List<Step> steps) {
    double kept = Circuits.mean(circuits.only(set));
    Step best;
    int left = EXCHANGES;
    do {
      best = null;
      for (Node node : set) {
        for (Node other : Circuits.difference(others, set)) {
          TreeSet<Node> changed = Circuits.difference(set, List.of(node));
          changed.add(other);
          double now = Circuits.mean(circuits.only(changed));
          if (Math.abs(now - model) < Math.abs(kept - model)) {
            kept = now;
            best = new Step(node, other, set.size(), now);
          }
        }
      }
      if (best != null) {
        set.remove(best.removed());
        set.add(best.added());
        steps.add(best);
      }
    } while (best != null && --left > 0);
  }

  // ---- tests ----

  private List<Completeness> completeness(List<Node> circuit) {
    List<Completeness> all = new ArrayList<>();
    if (circuit.size() <= SMALL) {
      for (int bits = 0; bits < 1 << circuit.size(); bits++) {
        all.add(completeness("all subsets", circuit, subset(circuit, bits)));
      }
      return all;
    }
    all.add(completeness("none", circuit, List.of()));
    for (Node node : circuit) {
      all.add(completeness("one", circuit, List.of(node)));
    }
    Random random = new Random(spec.prompts().seed());
    for (int i = 0; i < spec.randomSets(); i++) {
      List<Node> removed = circuit.stream().filter(n -> random.nextBoolean()).toList();
      all.add(completeness("random", circuit, removed));
    }
    for (int i = 0; i < spec.greedySets(); i++) {
      all.add(completeness("greedy", circuit, greedy(circuit, random)));
    }
    return all;
  }

  /** A warning of the largest incompleteness, where it is a large share of the model's F. */
  static Optional<String> incompleteness(List<Completeness> tried, double model) {
    return tried.stream()
        .max(Comparator.comparingDouble(Completeness::incompleteness))
        .filter(c -> c.incompleteness() > CircuitSpec.INCOMPLETE * Math.abs(model))
        .map(
            c ->
                ("the circuit may lack heads: with %s removed, its logit difference is %.3f and"
                        + " the model's %.3f; that is %.0f %% of the whole model's apart, and a"
                        + " circuit should stay below %.0f %%")
                    .formatted(
                        c.removed().isEmpty() ? "none" : c.removed(),
                        c.circuit(),
                        c.model(),
                        100 * c.incompleteness() / Math.abs(model),
                        100 * CircuitSpec.INCOMPLETE));
  }

  private static List<Node> subset(List<Node> circuit, int bits) {
    List<Node> removed = new ArrayList<>();
    for (int i = 0; i < circuit.size(); i++) {
      if ((bits >> i & 1) != 0) {
        removed.add(circuit.get(i));
      }
    }
    return removed;
  }

  private Completeness completeness(String kind, List<Node> circuit, List<Node> removed) {
    return new Completeness(
        kind,
        removed,
        Circuits.mean(tested.only(Circuits.difference(circuit, removed))),
        Circuits.mean(tested.without(removed)));
  }

  /** Adds, of some nodes drawn each time, the one that makes incompleteness largest. */
  private List<Node> greedy(List<Node> circuit, Random random) {
    List<Node> removed = new ArrayList<>();
    double most = tested.incompleteness(circuit, removed);
    for (int step = 0; step < GREEDY_STEPS; step++) {
      List<Node> rest = new ArrayList<>(Circuits.difference(circuit, removed));
      Collections.shuffle(rest, random);
      Node best = null;
      for (Node node : rest.subList(0, Math.min(GREEDY_CANDIDATES, rest.size()))) {
        List<Node> more = new ArrayList<>(removed);
        more.add(node);
        double value = tested.incompleteness(circuit, more);
        if (value > most) {
          most = value;
          best = node;
        }
      }
      if (best != null) {
        removed.add(best);
      }
    }
    return removed.stream().sorted().toList();
  }

  /**
   * For each node the set, of those that completeness was tried with, without which it adds most.
   */
  private List<Minimality> minimality(List<Node> circuit, List<Completeness> tried) {
    List<Minimality> all = new ArrayList<>();
    for (Node node : circuit) {
      Minimality best = null;
      for (Completeness c : tried) {
        if (!c.removed().contains(node)) {
          List<Node> more = new ArrayList<>(c.removed());
          more.add(node);
          double without = Circuits.mean(tested.only(Circuits.difference(circuit, more)));
          Minimality m = new Minimality(node, c.removed(), c.circuit(), without);
          best = best == null || m.value() > best.value() ? m : best;
        }
      }
      all.add(best);
    }
    return all;
  }
}
