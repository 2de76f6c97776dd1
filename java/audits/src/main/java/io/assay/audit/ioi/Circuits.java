package io.assay.audit.ioi;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * A model's logit differences on some prompts with heads knocked out: F of specs/ioi.md 2.3, per
 * prompt. MLPs, layer norms and embeddings are never touched.
 */
public final class Circuits implements AutoCloseable {
  private static final int ROWS = 64;

  /**
   * A prompt over which means are taken.
   *
   * @param group see {@link Example#group}
   */
  public record Reference(long[] ids, int group) {}

  private final KnockOut model;
  private final List<Example> prompts;
  private final Ablation ablation;

  /** Group of the bank by group of the prompts. */
  private final Map<Integer, Integer> bankOf = new TreeMap<>();

  /** Prompts of the means, by group. */
  private final Map<Integer, List<long[]>> byGroup;

  /** Whether the bank holds the means. */
  private boolean banked;

  private final Listener listener;

  /** F by what is kept, or what is knocked out. */
  private final Map<String, double[]> known = new HashMap<>();

  /**
   * A finished unit of work: the logit difference of each prompt with some heads knocked out.
   *
   * @param name which heads, and which prompts
   */
  public record Evaluated(String name, double[] logitDifferences) {}

  /** Keeps what was evaluated, and may end the work. */
  public interface Listener extends UnitListener<Evaluated> {
    /** Keeps nothing and never ends. */
    Listener NONE = new Listener() {};

    /** Called after each evaluation, those of earlier lives left out. */
    default void evaluated(String what) {}
  }

  /** Ends an evaluation that was cancelled. */
  static final class Cancelled extends RuntimeException {
    private static final long serialVersionUID = 1;

    Cancelled() {
      super("cancelled", null, false, false);
    }
  }

  private final String name;

  /**
   * @param name of the prompts, for units of work
   * @param references prompts whose mean replaces a head with {@link Ablation#MEAN}; at least one
   *     for each group of the prompts, not read otherwise
   * @throws InputException if there is no prompt, or a group without a reference
   */
  public Circuits(
      Engine engine,
      LanguageModel model,
      String name,
      List<Example> prompts,
      Ablation ablation,
      List<Reference> references,
      Listener listener) {
    if (prompts.isEmpty()) {
      throw new InputException("there is no prompt; give at least one");
    }
    this.name = name;
    this.listener = listener;
    for (Evaluated e : listener.done()) {
      if (e.name().startsWith(name + ": ") && e.logitDifferences().length == prompts.size()) {
        known.put(e.name(), e.logitDifferences());
      }
    }
    this.prompts = List.copyOf(prompts);
    this.ablation = ablation;
    prompts.forEach(p -> bankOf.putIfAbsent(p.group(), bankOf.size()));
    int rows = Math.min(ROWS, prompts.size());
    int length = prompts.stream().mapToInt(p -> p.ids().length).max().orElseThrow();
    int groups =
        switch (ablation) {
          case MEAN -> bankOf.size();
          case RESAMPLE -> rows;
          case ZERO -> 1;
        };
    this.byGroup = ablation == Ablation.MEAN ? grouped(references) : Map.of();
    this.model = new KnockOut(engine, model, rows, length, groups);
  }

  public int layers() {
    return model.layers();
  }

  public int heads() {
    return model.heads();
  }

  /** Every head at every position. */
  public TreeSet<Node> all() {
    TreeSet<Node> all = new TreeSet<>();
    for (int layer = 0; layer < layers(); layer++) {
      for (int head = 0; head < heads(); head++) {
        all.add(Node.of(layer, head));
      }
    }
    return all;
  }

  /** What is doubtful about the means; mostly nothing. */
  public List<String> warnings() {
    List<String> warnings = new ArrayList<>();
    byGroup.forEach(
        (group, ids) -> {
          if (ids.size() == 1) {
            warnings.add("the reference of template " + group + " is a mean of 1");
          }
        });
    return warnings;
  }

  // ---- the bank ----

  private Map<Integer, List<long[]>> grouped(List<Reference> all) {
    Map<Integer, List<long[]>> groups = new TreeMap<>();
    for (Reference r : all) {
      if (bankOf.containsKey(r.group())) {
        groups.computeIfAbsent(r.group(), g -> new ArrayList<>()).add(r.ids());
      }
    }
    for (Example p : prompts) {
      List<long[]> mine = groups.get(p.group());
      if (mine == null || mine.stream().anyMatch(ids -> ids.length != p.ids().length)) {
        throw new InputException(
            mine == null
                ? "template " + p.group() + " has no reference prompt; give at least one"
                : "template "
                    + p.group()
                    + " has prompts and references of different lengths; their positions do not"
                    + " match");
      }
    }
    return groups;
  }

  /** Means by position, head and column, summed in doubles in the order of the prompts. */
  private void mean(int bank, List<long[]> ids) {
    int length = ids.getFirst().length;
    double[][][][] sums = new double[layers()][length][heads()][];
    for (int from = 0; from < ids.size(); from += model.rows()) {
      List<long[]> chunk = ids.subList(from, Math.min(ids.size(), from + model.rows()));
      model.run(chunk);
      for (int layer = 0; layer < layers(); layer++) {
        int width = model.headWidth(layer);
        for (int p = 0; p < length; p++) {
          for (int h = 0; h < heads(); h++) {
            double[] sum = sums[layer][p][h];
            if (sum == null) {
              sum = new double[width];
              sums[layer][p][h] = sum;
            }
            for (int r = 0; r < chunk.size(); r++) {
              for (int c = 0; c < width; c++) {
                sum[c] += model.value(layer, r, p, h, c);
              }
            }
          }
        }
      }
    }
    for (int layer = 0; layer < layers(); layer++) {
      for (int p = 0; p < length; p++) {
        for (int h = 0; h < heads(); h++) {
          for (int c = 0; c < model.headWidth(layer); c++) {
            model.bank(layer, bank, p, h, c, sums[layer][p][h][c] / ids.size());
          }
        }
      }
    }
  }

  /** Puts what the partners of some prompts compute into the bank, a group for each. */
  private void resample(List<Example> chunk) {
    model.run(chunk.stream().map(Example::corruptIds).toList());
    for (int layer = 0; layer < layers(); layer++) {
      for (int r = 0; r < chunk.size(); r++) {
        for (int p = 0; p < chunk.get(r).ids().length; p++) {
          for (int h = 0; h < heads(); h++) {
            for (int c = 0; c < model.headWidth(layer); c++) {
              model.bank(layer, r, p, h, c, model.value(layer, r, p, h, c));
            }
          }
        }
      }
    }
  }

  // ---- F ----

  /** Logit difference of each prompt where nothing is knocked out, nats. */
  public double[] whole() {
    return without(List.of());
  }

  /** The same where every node but these is knocked out. */
  public double[] only(Collection<Node> kept) {
    TreeSet<Node> nodes = new TreeSet<>(kept);
    int[][] places = places(nodes);
    return known("only " + nodes, (p, l, h, at) -> covers(places[l][h], p, at));
  }

  /** The same where these nodes are knocked out. */
  public double[] without(Collection<Node> removed) {
    TreeSet<Node> nodes = new TreeSet<>(removed);
    int[][] places = places(nodes);
    return known("without " + nodes, (p, l, h, at) -> !covers(places[l][h], p, at));
  }

  private double[] known(String set, KnockOut.Live live) {
    String key = name + ": " + set;
    double[] found = known.get(key);
    if (found == null) {
      if (listener.cancelled()) {
        throw new Cancelled();
      }
      found = run(live);
      known.put(key, found);
      listener.finished(new Evaluated(key, found));
      listener.evaluated(set);
    }
    return found;
  }

  /**
   * Checks nodes before anything is run.
   *
   * @throws InputException if the model does not have one
   */
  public void require(Collection<Node> nodes) {
    places(nodes);
  }

  /** Bits of the places of each head. */
  private int[][] places(Collection<Node> nodes) {
    int[][] places = new int[layers()][heads()];
    for (Node node : nodes) {
      if (node.layer() < 0
          || node.layer() >= layers()
          || node.head() < 0
          || node.head() >= heads()) {
        throw new InputException(
            "there is no head "
                + node
                + "; the model has layers 0 to "
                + (layers() - 1)
                + " of heads 0 to "
                + (heads() - 1));
      }
      places[node.layer()][node.head()] |= 1 << node.place().ordinal();
    }
    return places;
  }

  private static boolean covers(int places, Example prompt, int position) {
    if (places == 0 || (places & 1) != 0) {
      return places != 0;
    }
    for (Place place : Place.values()) {
      if ((places & 1 << place.ordinal()) != 0 && place.in(prompt.positions()) == position) {
        return true;
      }
    }
    return false;
  }

  private double[] run(KnockOut.Live live) {
    if (!banked) {
      byGroup.forEach((group, ids) -> mean(bankOf.get(group), ids));
      banked = true;
    }
    double[] all = new double[prompts.size()];
    for (int from = 0; from < all.length; from += model.rows()) {
      List<Example> chunk = prompts.subList(from, Math.min(all.length, from + model.rows()));
      int[] groups = new int[chunk.size()];
      if (ablation == Ablation.RESAMPLE) {
        resample(chunk);
      }
      for (int r = 0; r < groups.length; r++) {
        groups[r] =
            switch (ablation) {
              case MEAN -> bankOf.get(chunk.get(r).group());
              case RESAMPLE -> r;
              case ZERO -> 0;
            };
      }
      model.run(chunk, groups, live);
      for (int r = 0; r < chunk.size(); r++) {
        all[from + r] = model.logitDifference(chunk.get(r), r);
      }
    }
    return all;
  }

  /** Mean logit difference. */
  public static double mean(double[] perPrompt) {
    return Arrays.stream(perPrompt).average().orElseThrow();
  }

  // ---- tests of a circuit (specs/ioi.md 3.6) ----

  /** {@code |F(C \ K) - F(M \ K)|}: 0 for every K if the circuit has all that matters. */
  public double incompleteness(Collection<Node> circuit, Collection<Node> removed) {
    return Math.abs(mean(only(difference(circuit, removed))) - mean(without(removed)));
  }

  /** {@code |F(C \ (K + v)) - F(C \ K)|}: what the node adds to the circuit without K. */
  public double minimality(Collection<Node> circuit, Node node, Collection<Node> removed) {
    TreeSet<Node> more = new TreeSet<>(removed);
    more.add(node);
    return Math.abs(
        mean(only(difference(circuit, more))) - mean(only(difference(circuit, removed))));
  }

  static TreeSet<Node> difference(Collection<Node> all, Collection<Node> removed) {
    TreeSet<Node> rest = new TreeSet<>(all);
    rest.removeAll(removed);
    return rest;
  }

  @Override
  public void close() {
    model.close();
  }
}
