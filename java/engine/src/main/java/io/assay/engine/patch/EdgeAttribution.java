package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.kernel.EdgeScores;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Edge attribution patching: s(u, v) = sum over positions of (out_u of the source prompt - out_u of
 * the base) . d metric / d in_v on the base prompt; with integrated gradients, of their mean on the
 * way between the prompts' embeddings. {@code in_v} is one reader's own copy of the stream: a
 * gradient to queries, keys or values of a head is pulled back through that reader alone.
 */
public final class EdgeAttribution implements AutoCloseable {
  /** Pairs whose scores are kept as one sum. */
  private static final int TOGETHER = 8;

  private static final List<String> PARTS = List.of("hook_q", "hook_k", "hook_v");

  private final Engine engine;
  private final LanguageModel model;
  private final AttributeSpec spec;
  private final Patcher patcher;
  private final Edges edges;
  private final Map<String, Gradients> graphs = new HashMap<>();

  private EdgeAttribution(Engine engine, LanguageModel model, AttributeSpec spec) {
    this.engine = engine;
    this.model = model;
    this.spec = spec;
    this.patcher = new Patcher(engine, model);
    SweepSpec.requireFit(model, spec.pairs());
    int length = spec.pairs().getFirst().length();
    List<HookPoint> queries = HookPoint.matching("blocks.*.attn.hook_q", patcher.hooks());
    boolean mlps = patcher.type("blocks.0.hook_mlp_out", 1, length) != null;
    if (mlps) {
      HookPoint.matching("blocks.*.hook_resid_mid", patcher.hooks());
    }
    edges = new Edges(queries.size(), heads("hook_q", length), heads("hook_k", length), mlps);
  }

  private int heads(String part, int length) {
    HookPoint hook = HookPoint.of("blocks.0.attn." + part);
    TensorType type = patcher.type(hook.name(), 1, length);
    if (type == null) {
      throw HookPoint.unknown(hook.name(), patcher.hooks());
    }
    return hook.heads(type);
  }

  /**
   * Scores all edges.
   *
   * @param listener keeps the units: some pairs each
   * @throws InputException if the specification does not fit the model; nothing has run then
   */
  public static EdgeMap run(
      Engine engine,
      LanguageModel model,
      AttributeSpec spec,
      UnitListener<AttributeUnit> listener) {
    try (EdgeAttribution scores = new EdgeAttribution(engine, model, spec)) {
      return scores.run(listener);
    }
  }

  /** Units of a run over so many pairs. */
  public static int units(int pairs) {
    return (pairs + TOGETHER - 1) / TOGETHER;
  }

  private EdgeMap run(UnitListener<AttributeUnit> listener) {
    Baselines base = Baselines.of(patcher, spec.metric(), spec.pairs());
    int rows = edges.sources().size();
    int columns = edges.destinations().size();
    double[][] sums = new double[rows][columns];
    Map<Integer, AttributeUnit> done = new HashMap<>();
    listener.done().forEach(unit -> done.put(unit.chunk(), unit));
    int pairs = spec.pairs().size();
    for (int chunk = 0; chunk < units(pairs); chunk++) {
      AttributeUnit unit = done.get(chunk);
      if (unit == null) {
        double[] values = new double[rows * columns];
        for (int i = chunk * TOGETHER; i < Math.min(pairs, (chunk + 1) * TOGETHER); i++) {
          if (listener.cancelled()) {
            return new EdgeMap(edges, base, sums, true);
          }
          double[] scores = scores(spec.pairs().get(i));
          for (int s = 0; s < values.length; s++) {
            values[s] += scores[s];
          }
        }
        unit = new AttributeUnit(chunk, values);
        listener.finished(unit);
      }
      for (int i = 0; i < rows * columns; i++) {
        sums[i / columns][i % columns] += unit.values()[i] / pairs;
      }
    }
    return new EdgeMap(edges, base, sums, false);
  }

  /** [source, destination] of one pair. */
  private double[] scores(Pair pair) {
    int length = pair.length();
    int[] base = Baselines.ints(pair.base(spec.direction()));
    int[] source = Baselines.ints(pair.source(spec.direction()));
    Map<String, Tensor> written = patcher.read(List.of(base, source), writers());
    Tensor embeddings = written.get("hook_embed");
    Tensor gradients =
        Tensor.allocate(
            Arena.ofAuto(),
            model.dtype(),
            edges.destinations().size(),
            (long) length * model.width());
    for (double[] node : spec.nodes()) {
      Tensor at = between(embeddings, node[0]);
      readers(pair, at, node[1], gradients);
    }
    int readers = edges.destinations().size();
    // All cells, as the matrices of other programs have them: Edges.has says which are edges.
    Tensor before = Tensor.allocate(Arena.ofAuto(), DType.I32, readers);
    for (int i = 0; i < readers; i++) {
      before.set(i, edges.sources().size());
    }
    Tensor scores = Tensor.allocate(Arena.ofAuto(), DType.F64, edges.sources().size(), readers);
    engine
        .kernels()
        .edgeScores(
            new EdgeScores(
                Matrix.of(changes(written, length)),
                Matrix.of(gradients),
                before.data(),
                model.width(),
                scores.data()));
    return scores.data().toArray(Tensor.DOUBLE);
  }

  private List<String> writers() {
    List<String> hooks = new ArrayList<>(List.of("hook_embed", "blocks.0.hook_resid_pre"));
    for (int layer = 0; layer < edges.layers(); layer++) {
      hooks.add("blocks." + layer + ".attn.hook_result");
      if (edges.mlps()) {
        hooks.add("blocks." + layer + ".hook_mlp_out");
      }
    }
    return hooks;
  }

  /** What each source writes on the source prompt less what it writes on the base prompt. */
  private Tensor changes(Map<String, Tensor> written, int length) {
    int width = model.width();
    Tensor out =
        Tensor.allocate(
            Arena.ofAuto(), model.dtype(), edges.sources().size(), (long) length * width);
    change(written.get("blocks.0.hook_resid_pre"), 1, out, 0, length);
    for (int layer = 0; layer < edges.layers(); layer++) {
      int first = 1 + layer * edges.perSource();
      change(
          written.get("blocks." + layer + ".attn.hook_result"), edges.heads(), out, first, length);
      if (edges.mlps()) {
        change(
            written.get("blocks." + layer + ".hook_mlp_out"),
            1,
            out,
            first + edges.heads(),
            length);
      }
    }
    return out;
  }

  /** [2, position, head, width]: row 1 less row 0, of each head. */
  private void change(Tensor value, int heads, Tensor out, int row, int length) {
    int width = model.width();
    long half = value.elements() / 2;
    for (long i = 0; i < half; i++) {
      long position = i / ((long) heads * width);
      long head = i / width % heads;
      long at = ((row + head) * length + position) * width + i % width;
      out.set(at, value.get(half + i) - value.get(i));
    }
  }

  /** Embeddings at a place between source (0) and base (1), [1, position, width]. */
  private Tensor between(Tensor embeddings, double place) {
    long half = embeddings.elements() / 2;
    Tensor out =
        Tensor.allocate(Arena.ofAuto(), model.dtype(), 1, embeddings.dim(1), embeddings.dim(2));
    for (long i = 0; i < half; i++) {
      double source = embeddings.get(half + i);
      out.set(i, place == 1 ? embeddings.get(i) : source + place * (embeddings.get(i) - source));
    }
    return out;
  }

  /** Adds the weighted gradient of the metric to each reader's copy of the stream. */
  private void readers(Pair pair, Tensor embeddings, double weight, Tensor into) {
    int length = pair.length();
    Graph body = patcher.body(1, length, List.of());
    String embed = patcher.value(body, "hook_embed");
    List<String> wrt = new ArrayList<>();
    List<String> also = new ArrayList<>();
    String last = value(body, edges.layers() - 1, "hook_resid_post");
    for (int layer = 0; layer < edges.layers(); layer++) {
      for (String part : PARTS) {
        wrt.add(value(body, layer, "attn." + part));
      }
      also.add(value(body, layer, "hook_resid_pre"));
      if (edges.mlps()) {
        wrt.add(value(body, layer, "hook_resid_mid"));
        wrt.add(value(body, layer, "hook_resid_post"));
      }
    }
    if (!edges.mlps()) {
      wrt.add(last);
    }
    Gradients whole =
        graphs.computeIfAbsent(
            "whole " + length,
            _ ->
                new Gradients(
                    engine,
                    body.slice(List.of(embed), List.of(Patcher.END)),
                    List.of(Patcher.END),
                    wrt,
                    also));
    Map<String, Tensor> run =
        whole.run(
            Map.of(embed, embeddings),
            Map.of(Patcher.END, Attribution.seed(model, spec.metric(), pair)));
    for (int layer = 0; layer < edges.layers(); layer++) {
      int row = layer * edges.perDestination();
      heads(layer, length, body, run, weight, into, row);
      if (edges.mlps()) {
        // The stream goes on beside an MLP: what its gradient gains there came through the MLP.
        int mlp = row + edges.perDestination() - 1;
        add(run.get("grad." + value(body, layer, "hook_resid_mid")), 0, weight, into, mlp);
        add(run.get("grad." + value(body, layer, "hook_resid_post")), 0, -weight, into, mlp);
      }
    }
    add(run.get("grad." + last), 0, weight, into, edges.destinations().size() - 1);
  }

  private String value(Graph body, int layer, String part) {
    return patcher.value(body, "blocks." + layer + "." + part);
  }

  /** Pulls the gradients of queries, keys and values back, each head in a row of its own. */
  private void heads(
      int layer,
      int length,
      Graph body,
      Map<String, Tensor> run,
      double weight,
      Tensor into,
      int first) {
    int copies = edges.heads() + 2 * edges.keyHeads();
    Graph wide = patcher.body(copies, length, List.of());
    String stream = value(wide, layer, "hook_resid_pre");
    List<String> parts = PARTS.stream().map(p -> value(wide, layer, "attn." + p)).toList();
    Gradients graph =
        graphs.computeIfAbsent(
            "heads " + layer + " " + length,
            _ ->
                new Gradients(
                    engine, wide.slice(List.of(stream), parts), parts, List.of(stream), List.of()));
    Map<String, Tensor> seeds = new LinkedHashMap<>();
    int copy = 0;
    for (String part : parts) {
      Tensor gradient = run.get("grad." + part);
      long heads = gradient.dim(2);
      long width = gradient.dim(3);
      Tensor seed = Tensor.allocate(Arena.ofAuto(), model.dtype(), copies, length, heads, width);
      for (long head = 0; head < heads; head++, copy++) {
        for (long p = 0; p < length; p++) {
          Rows.copy(
              gradient,
              p * heads + head,
              seed,
              (copy * (long) length + p) * heads + head,
              1,
              width);
        }
      }
      seeds.put(part, seed);
    }
    Tensor back =
        graph.run(Map.of(stream, repeated(run.get(stream), copies)), seeds).get("grad." + stream);
    for (int row = 0; row < copies; row++) {
      add(back, row, weight, into, first + row);
    }
  }

  private Tensor repeated(Tensor row, int times) {
    Tensor out = Tensor.allocate(Arena.ofAuto(), row.dtype(), times, row.dim(1), row.dim(2));
    for (int i = 0; i < times; i++) {
      Rows.copy(row, 0, out, i, 1, row.elements());
    }
    return out;
  }

  /** Adds a row [position * width] of gradients, weighted. */
  private static void add(Tensor gradient, int row, double weight, Tensor into, int at) {
    long each = into.dim(1);
    for (long i = 0; i < each; i++) {
      long to = at * each + i;
      into.set(to, into.get(to) + weight * gradient.get(row * each + i));
    }
  }

  @Override
  public void close() {
    graphs.values().forEach(Gradients::close);
    patcher.close();
  }
}
