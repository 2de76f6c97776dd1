package io.assay.audit.ioi;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.AttributeSpec;
import io.assay.engine.patch.AttributeSpec.Method;
import io.assay.engine.patch.AttributeSpec.Rule;
import io.assay.engine.patch.Attribution;
import io.assay.engine.patch.DirectAttribution;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.Disagreement;
import io.assay.engine.patch.EdgeAttribution;
import io.assay.engine.patch.EdgeMap;
import io.assay.engine.patch.Pair;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.PathPatch;
import io.assay.engine.patch.PathSpec;
import io.assay.engine.patch.Sweep;
import io.assay.engine.patch.SweepSpec;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Node patches, path patches and estimates of the circuits made by hand. */
final class PatchStatements {
  private static final String HEADS = "blocks.*.attn.hook_z";

  private final Engine engine;
  private final List<Statement> s = new ArrayList<>();

  PatchStatements(Engine engine) {
    this.engine = engine;
  }

  List<Statement> statements() {
    circuit();
    induction();
    linear();
    return s;
  }

  private static List<Integer> list(long... ids) {
    return Arrays.stream(ids).mapToObj(Math::toIntExact).toList();
  }

  private PatchMap paths(LanguageModel toy, List<Pair> pairs, String from, String to, String at) {
    PathSpec spec =
        PathSpec.toLogits(Direction.NOISE, pairs).withFrom(from).withReceivers(to).withAt(at);
    return PathPatch.run(engine, toy, spec, UnitListener.none());
  }

  private PatchMap nodes(LanguageModel toy, List<Pair> pairs) {
    SweepSpec spec = SweepSpec.of(HEADS, Direction.NOISE, pairs);
    return Sweep.run(engine, toy, spec, UnitListener.none());
  }

  private PatchMap estimates(LanguageModel toy, List<Pair> pairs) {
    AttributeSpec spec = AttributeSpec.of(HEADS, Direction.NOISE, pairs);
    return Attribution.run(engine, toy, spec, UnitListener.none());
  }

  private void circuit() {
    LanguageModel toy = Toys.circuit(DType.F64);
    List<Pair> pairs = new ArrayList<>();
    for (Example p : Toys.prompts()) {
      pairs.add(
          new Pair(
              list(p.ids()),
              list(p.corruptIds()),
              (int) p.answer(),
              (int) p.wrong(),
              p.positions().byName()));
    }
    String[] names = {"mover", "negative", "duplicate", "inhibition", "backup"};
    int[] heads = {4, 5, 0, 2, 6};
    int[] cells = {cell(2, 7, 0), cell(2, 7, 1), cell(0, 5, 0), cell(1, 7, 0), cell(3, 7, 0)};
    double third = -8.0 / 3;
    double[] node = {-1, 1, third, third, 0};
    double[] path = {-3, 1, 0, 0, 0};
    PatchMap direct = paths(toy, pairs, HEADS, "logits", "end");
    PatchMap swept = nodes(toy, pairs);
    PatchMap estimated = estimates(toy, pairs);
    double[] writes = {3, -1, 0, 0, 0};
    PatchMap written =
        DirectAttribution.run(
            engine, toy, AttributeSpec.of(HEADS, Direction.NOISE, pairs), UnitListener.none());
    double[][] got = new double[3][names.length];
    for (int i = 0; i < names.length; i++) {
      got[0][i] = swept.mean(cells[i]) - swept.clean();
      got[1][i] = direct.mean(heads[i]) - direct.clean();
      got[2][i] = estimated.mean(cells[i]);
      add("ioi.1.node." + names[i], "node patch of the " + names[i], node[i], got[0][i]);
      add("ioi.1.path." + names[i], "path to the logits", path[i], got[1][i]);
      add("ioi.5." + names[i], "attribution patching", path[i], got[2][i]);
      add("ioi.1.writes." + names[i], "direct attribution", writes[i], written.mean(heads[i]));
    }
    List<String> flagged =
        Disagreement.among(got[0], got[1], got[2]).stream().map(d -> names[d.cell()]).toList();
    s.add(
        same(
            "ioi.5.flags",
            "flagged as disagreeing",
            List.of("mover", "duplicate", "inhibition"),
            flagged));
    between(toy, pairs);
  }

  private static int cell(int layer, int position, int head) {
    return (layer * 8 + position) * 2 + head;
  }

  private void between(LanguageModel toy, List<Pair> pairs) {
    String mover = "blocks.2.attn.hook_q[0]";
    String both = mover + ",blocks.2.attn.hook_q[1]";
    String inhibition = "blocks.1.attn.hook_z[0]";
    String duplicate = "blocks.0.attn.hook_z[0]";
    path(toy, pairs, "inhibition.mover", inhibition, mover, "end", -2);
    path(toy, pairs, "inhibition.movers", inhibition, both, "end", -8.0 / 3);
    String three = both + ",blocks.3.attn.hook_q[0]";
    path(toy, pairs, "inhibition.three", inhibition, three, "end", -14.0 / 3);
    path(toy, pairs, "duplicate.v", duplicate, "blocks.1.attn.hook_v[0]", "S2", -2);
    path(toy, pairs, "duplicate.k", duplicate, "blocks.1.attn.hook_k[0]", "S2", -8.0 / 3);
    path(toy, pairs, "duplicate.q", duplicate, "blocks.1.attn.hook_q[0]", "S2", 0);
    String backup = "blocks.3.attn.hook_q[0]";
    path(toy, pairs, "mover.backup", "blocks.2.attn.hook_z[0]", backup, "end", 2);
  }

  private void path(
      LanguageModel toy,
      List<Pair> pairs,
      String id,
      String from,
      String to,
      String at,
      double expected) {
    PatchMap map = paths(toy, pairs, from, to, at);
    add("ioi.1.path." + id, from + " into " + to, expected, map.mean(0) - map.clean());
  }

  /** T2: 1 to 6, then 1 to 3, whose last is answered by 4; the partner has a 6 for the first 3. */
  private void induction() {
    LanguageModel toy = Toys.induction(DType.F64, 6);
    Pair pair =
        new Pair(
            list(0, 1, 2, 3, 4, 5, 6, 1, 2, 3), list(0, 1, 2, 6, 4, 5, 6, 1, 2, 3), 4, 0, Map.of());
    Map<String, Double> effects = new LinkedHashMap<>();
    effects.put("blocks.1.attn.hook_k[0]", -4.0);
    effects.put("blocks.1.attn.hook_q[0]", 0.0);
    effects.put("blocks.1.attn.hook_v[0]", 0.0);
    effects.put("logits", 0.0);
    effects.forEach(
        (to, expected) -> {
          PatchMap map = paths(toy, List.of(pair), "blocks.0.attn.hook_z[0]", to, "all");
          exact("ioi.2.path." + to, "previous token into " + to, expected, map.mean(0) - 4);
          exact("ioi.2.logit." + to, "the logit that is right", 4, map.clean());
        });
  }

  /** T3: the nine paths add up to the whole; patching, attribution and edges are the same. */
  private void linear() {
    LanguageModel toy = Toys.linear(DType.F64);
    List<Pair> pairs =
        List.of(
            new Pair(list(0), list(1), 0, 2, Map.of()), new Pair(list(0), list(1), 1, 2, Map.of()));
    Object[][] paths = {
      {"hook_embed", "logits", 2, -1},
      {"blocks.0.attn.hook_z[0]", "logits", 2, -2},
      {"blocks.0.attn.hook_z[1]", "logits", 6, -4},
      {"hook_embed", "blocks.1.attn.hook_v[0]", 2, -2},
      {"hook_embed", "blocks.1.attn.hook_v[1]", 6, -4},
      {"blocks.0.attn.hook_z[0]", "blocks.1.attn.hook_v[0]", 2, -4},
      {"blocks.0.attn.hook_z[0]", "blocks.1.attn.hook_v[1]", 6, -8},
      {"blocks.0.attn.hook_z[1]", "blocks.1.attn.hook_v[0]", 6, -8},
      {"blocks.0.attn.hook_z[1]", "blocks.1.attn.hook_v[1]", 18, -16},
    };
    String[] from = {
      "input", "a0.h0", "a0.h1", "input", "input", "a0.h0", "a0.h0", "a0.h1", "a0.h1"
    };
    double[] sum = new double[2];
    for (int component = 0; component < 2; component++) {
      List<Pair> one = pairs.subList(component, component + 1);
      EdgeMap edges = edges(toy, one, Method.EAP, 1);
      EdgeMap integrated = edges(toy, one, Method.EAP_IG, 3);
      for (int i = 0; i < paths.length; i++) {
        PatchMap map = paths(toy, one, (String) paths[i][0], (String) paths[i][1], "all");
        double expected = (int) paths[i][2 + component];
        double effect = map.mean(0) - map.clean();
        String id = "ioi.3." + from[i] + "." + i + "." + component;
        exact(id + ".path", paths[i][0] + " into " + paths[i][1], expected, effect);
        int source = edges.edges().sources().indexOf(from[i]);
        String reader = (String) paths[i][1];
        String to =
            reader.equals("logits") ? reader : "a1.h" + reader.charAt(reader.length() - 2) + "<v>";
        int destination = edges.edges().destinations().indexOf(to);
        double[][] plain = edges.values();
        exact(id + ".eap", "EAP of " + from[i] + " to " + to, expected, plain[source][destination]);
        double mean = integrated.values()[source][destination];
        exact(id + ".ig", "EAP-IG of the same", expected, mean);
        sum[component] += effect;
      }
    }
    exact("ioi.3.sum.0", "sum of the nine paths", 50, sum[0]);
    exact("ioi.3.sum.1", "sum of the nine paths", -49, sum[1]);
    PatchMap swept = nodes(toy, pairs);
    PatchMap estimated = estimates(toy, pairs);
    for (int component = 0; component < 2; component++) {
      double expected = component == 0 ? 30 : -28;
      double effect = swept.values()[1][component] - swept.base().clean()[component];
      exact("ioi.3.node." + component, "node patch of 0.1", expected, effect);
      double estimate = estimated.values()[1][component];
      exact("ioi.3.attribution." + component, "its estimate", expected, estimate);
    }
  }

  private EdgeMap edges(LanguageModel toy, List<Pair> pairs, Method method, int steps) {
    AttributeSpec spec =
        AttributeSpec.of(HEADS, Direction.NOISE, pairs)
            .withMethod(method, steps, Rule.GAUSS_LEGENDRE);
    return EdgeAttribution.run(engine, toy, spec, UnitListener.none());
  }

  private void add(String id, String words, double expected, double got) {
    s.add(near(id, words, expected, got, 1e-6));
  }

  private void exact(String id, String words, double expected, double got) {
    s.add(near(id, words, expected, got, 1e-9));
  }
}
