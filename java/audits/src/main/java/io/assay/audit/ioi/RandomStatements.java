package io.assay.audit.ioi;

import static io.assay.audit.Statement.atLeast;
import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.RowPatch;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.Edges;
import io.assay.engine.patch.Intervention;
import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.patch.Metric;
import io.assay.engine.patch.Pair;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.Patcher;
import io.assay.engine.patch.PathPatch;
import io.assay.engine.patch.PathSpec;
import io.assay.engine.patch.Plan;
import io.assay.engine.patch.Sweep;
import io.assay.engine.patch.SweepSpec;
import io.assay.engine.run.UnitListener;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Identities of random GPT-2s, and what a sweep costs. */
final class RandomStatements {
  private static final String HEADS = "blocks.*.attn.hook_z";

  private final Engine engine;

  RandomStatements(Engine engine) {
    this.engine = engine;
  }

  /** A GPT-2 in memory whose norms and biases are drawn too. */
  private static LanguageModel model(Gpt2Config c, DType dtype) {
    SplittableRandom random = new SplittableRandom(4);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    c.weightShapes()
        .forEach(
            (name, shape) -> {
              Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, shape);
              boolean norm = name.contains("ln_") && name.endsWith("weight");
              double deviation = shape.length == 1 ? 0.2 : 1 / Math.sqrt(c.width());
              for (long i = 0; i < t.elements(); i++) {
                t.set(i, (norm ? 1 : 0) + deviation * random.nextGaussian());
              }
              weights.put(name, t);
            });
    return LanguageModel.of("random", c.heads(), weights);
  }

  private static Gpt2Config shape(int layers, int heads, int width, int vocabulary) {
    return new Gpt2Config(
        layers, heads, width, 4 * width, 16, vocabulary, 1e-5, "gelu_new", true, false, true);
  }

  private static Pair pair(int length, int vocabulary) {
    SplittableRandom random = new SplittableRandom(5);
    List<Integer> clean = new ArrayList<>();
    List<Integer> corrupt = new ArrayList<>();
    for (int t = 0; t < length; t++) {
      clean.add(random.nextInt(vocabulary));
      corrupt.add(t == length - 1 ? clean.get(t) : Integer.valueOf(random.nextInt(vocabulary)));
    }
    return new Pair(clean, corrupt, 1, 2, Map.of());
  }

  private static int[] ints(List<Integer> ids) {
    return ids.stream().mapToInt(Integer::intValue).toArray();
  }

  // ---- statement 3 ----

  /** Statement 3: what patches of a random model must give. */
  List<Statement> patches() {
    List<Statement> s = new ArrayList<>();
    Pair pair = pair(7, 50);
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      LanguageModel model = model(shape(3, 2, 16, 50), dtype);
      double bound = dtype == DType.F32 ? 1e-5 : 1e-12;
      String id = dtype == DType.F32 ? "ioi.3.t4.f32." : "ioi.3.t4.f64.";
      Plan.Builder plan = Plan.builder();
      int clean = plan.row(ints(pair.clean()));
      int corrupt = plan.row(ints(pair.corrupt()));
      int carried = plan.row(ints(pair.clean()));
      int itself = plan.row(ints(pair.clean()));
      for (int layer = 0; layer < 3; layer++) {
        String z = "blocks." + layer + ".attn.hook_z";
        plan.patch(carried, z, 6, Intervention.ALL, new Source.Row(corrupt));
        plan.patch(itself, z, Intervention.ALL, Intervention.ALL, new Source.Row(clean));
      }
      Tensor hidden;
      try (Patcher patcher = new Patcher(engine, model)) {
        hidden = patcher.run(plan.build());
      }
      s.add(
          near(
              id + "heads",
              "all heads at END from the other prompt, less its own run",
              0,
              apart(hidden, carried, corrupt),
              bound));
      s.add(near(id + "self", "a patch with itself", 0, apart(hidden, itself, clean), bound));
      SweepSpec sweep = SweepSpec.of(HEADS, Direction.NOISE, List.of(pair));
      s.add(
          near(
              id + "suffix",
              "a sweep less the same by whole passes",
              0,
              apart(
                  Sweep.run(engine, model, sweep, UnitListener.none()),
                  Sweep.runPlainly(engine, model, sweep)),
              bound));
      PathSpec paths = PathSpec.toLogits(Direction.NOISE, List.of(pair));
      s.add(
          near(
              id + "paths",
              "paths to the logits less the same by whole passes",
              0,
              apart(
                  PathPatch.run(engine, model, paths, UnitListener.none()),
                  PathPatch.runPlainly(engine, model, paths)),
              bound));
    }
    return s;
  }

  private static double apart(Tensor hidden, long row, long other) {
    long width = hidden.dim(1);
    double most = 0;
    for (long c = 0; c < width; c++) {
      most = Math.max(most, Math.abs(hidden.get(row * width + c) - hidden.get(other * width + c)));
    }
    return most;
  }

  private static double apart(PatchMap one, PatchMap other) {
    return IntStream.range(0, one.cells())
        .mapToDouble(cell -> Math.abs(one.mean(cell) - other.mean(cell)))
        .max()
        .orElseThrow();
  }

  // ---- statement 4 ----

  /** Statement 4: folding and centring change no probability. */
  List<Statement> folding() {
    int vocabulary = 50;
    LanguageModel model = model(shape(3, 4, 16, vocabulary), DType.F64);
    Pair pair = pair(8, vocabulary);
    double[] want = logits(model, pair);
    double[] got = logits(LanguageModel.of(model.model().folded()), pair);
    double spread = 0;
    double probability = 0;
    double moved = 0;
    for (int from = 0; from < want.length; from += vocabulary) {
      double mean = 0;
      for (int v = from; v < from + vocabulary; v++) {
        mean += (got[v] - want[v]) / vocabulary;
      }
      double normalisers = logSumExp(got, from, vocabulary) - logSumExp(want, from, vocabulary);
      for (int v = from; v < from + vocabulary; v++) {
        spread = Math.max(spread, Math.abs(got[v] - want[v] - mean));
        probability = Math.max(probability, Math.abs(got[v] - want[v] - normalisers));
      }
      moved = Math.max(moved, Math.abs(mean));
    }
    return List.of(
        near("ioi.4.constant", "logits move by one number per position", 0, spread, 1e-10),
        near("ioi.4.probability", "log-probabilities stay", 0, probability, 1e-10),
        atLeast("ioi.4.moved", "but logits do move", 1e-3, moved));
  }

  private double[] logits(LanguageModel model, Pair pair) {
    Tensor ids =
        Tensor.ofLongs(
            pair.clean().stream().mapToLong(Integer::longValue).toArray(), 1, pair.length());
    try (Session session = engine.compile(model.whole())) {
      return session.run(Map.of("input_ids", ids)).get("logits").toDoubles();
    }
  }

  private static double logSumExp(double[] x, int from, int count) {
    double max = Arrays.stream(x, from, from + count).max().orElseThrow();
    return max + Math.log(Arrays.stream(x, from, from + count).map(v -> Math.exp(v - max)).sum());
  }

  // ---- statement 7 ----

  /** Statement 7, what is counted of GPT-2 small's graph. */
  List<Statement> counts() {
    Edges edges = new Edges(12, 12, 12, true);
    LanguageModel small = model(shape(12, 12, 12, 20), DType.F32);
    long community =
        small.model().hooks().names().stream().filter(hook -> !hook.startsWith("unembed.")).count();
    return List.of(
        same("ioi.7.sources", "sources of edges", 157, edges.sources().size()),
        same("ioi.7.destinations", "destinations of edges", 445, edges.destinations().size()),
        same("ioi.7.edges", "edges", 32_491, edges.count()),
        same("ioi.7.hooks", "hook points, those of the unembedding left out", 208L, community));
  }

  // ---- statement 9 ----

  /** Statement 9, bad input of patching. */
  List<Statement> badInputs() {
    LanguageModel model = model(shape(2, 2, 8, 20), DType.F32);
    List<Pair> one = List.of(pair(5, 20));
    PathSpec paths = PathSpec.toLogits(Direction.NOISE, one);
    List<Statement> s = new ArrayList<>();
    s.add(
        IoiSelfTest.refused(
            "ioi.9.lengths",
            "prompts of two lengths",
            "2 tokens and the corrupt one 3",
            () -> new Pair(List.of(1, 2), List.of(1, 2, 3), 1, 2, Map.of())));
    s.add(
        IoiSelfTest.refused(
            "ioi.9.position",
            "a position that is not there",
            "S2 is 5",
            () ->
                new Pair(one.getFirst().clean(), one.getFirst().corrupt(), 1, 2, Map.of("S2", 5))));
    s.add(
        IoiSelfTest.refused(
            "ioi.9.head",
            "a head that is not there",
            "no head 2",
            () -> run(model, paths.withFrom("blocks.0.attn.hook_z[2]"))));
    s.add(
        IoiSelfTest.refused(
            "ioi.9.order",
            "a sender behind its receiver",
            "is not before",
            () ->
                run(
                    model,
                    new PathSpec(
                        "blocks.1.attn.hook_z",
                        "blocks.1.attn.hook_q[0]",
                        PathSpec.Mlps.LIVE,
                        "all",
                        Direction.NOISE,
                        Metric.LOGIT_DIFF,
                        one))));
    s.add(
        IoiSelfTest.refused(
            "ioi.9.finite",
            "a weight that is no number",
            "blocks.1.hook_mlp_out",
            () -> {
              Tensor bias = model.model().graph().constants().get("h.1.mlp.c_proj.bias");
              bias.set(0, Double.NaN);
              run(model, paths);
            }));
    return s;
  }

  private void run(LanguageModel model, PathSpec spec) {
    PathPatch.run(engine, model, spec, UnitListener.none());
  }

  // ---- statement 10 ----

  /** Statement 10: processor time of a sweep on one thread against a pass for each patch. */
  List<Statement> sweep() {
    int length = 12;
    LanguageModel model = model(shape(4, 8, 256, 2000), DType.F32);
    Pair pair = pair(length, 2000);
    SweepSpec spec = SweepSpec.of(HEADS, Direction.NOISE, List.of(pair));
    try (Engine one = Engine.open(EngineOptions.defaults().withThreads(1));
        Sweep sweep = Sweep.open(one, model, spec);
        Naive naive = new Naive(one, model, pair)) {
      PatchMap map = sweep.run(UnitListener.none());
      double apart = naive.apart(map);
      double ours = seconds(() -> sweep.run(UnitListener.none()));
      double other = seconds(() -> naive.apart(map));
      return List.of(
          near("ioi.10.same", "a sweep less a pass for each patch", 0, apart, 1e-4),
          atLeast("ioi.10.time", "times less processor time than those passes", 4, other / ours));
    }
  }

  /** Processor seconds of this process, by the clock where the system does not tell them. */
  private static double seconds(Runnable work) {
    double start = processor();
    work.run();
    return processor() - start;
  }

  private static double processor() {
    return ProcessHandle.current()
        .info()
        .totalCpuDuration()
        .map(d -> d.toNanos() / 1e9)
        .orElseGet(() -> System.nanoTime() / 1e9);
  }

  /** A whole pass with all logits for each patch of a head at a position. */
  private static final class Naive implements AutoCloseable {
    private final Pair pair;
    private final int heads;
    private final Arena arena = Arena.ofShared();
    private final List<Session> sessions = new ArrayList<>();
    private final List<Binding> bindings = new ArrayList<>();
    private final List<Tensor> maps = new ArrayList<>();
    private final Tensor logits;

    Naive(Engine engine, LanguageModel model, Pair pair) {
      this.pair = pair;
      this.heads = model.heads();
      int length = pair.length();
      Graph whole =
          model.whole().specialise(Map.of("input_ids", new long[] {1, length}), engine.evaluator());
      logits = Tensor.allocate(arena, DType.F32, 1, length, model.vocabulary());
      for (int layer = 0; layer < model.layers(); layer++) {
        String hook = "blocks." + layer + ".attn.hook_z";
        Tensor source;
        try (Session reader =
            engine.compile(whole.expose(hook).slice(whole.inputs(), List.of(hook)))) {
          source = reader.run(Map.of("input_ids", ids(pair.corrupt()))).get(hook);
        }
        Tensor map = Tensor.allocate(arena, DType.I64, 1, length, heads);
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        inputs.put("input_ids", ids(pair.clean()));
        inputs.put(hook + ".patch.rows", map);
        inputs.put(hook + ".patch.bank", source.reshape((long) length * heads, model.headWidth()));
        Graph graph = whole.patch(hook, new RowPatch(3, (long) length * heads));
        sessions.add(engine.compile(graph, true));
        bindings.add(sessions.getLast().bind(inputs, Map.of("logits", logits)));
        maps.add(map);
      }
    }

    private static Tensor ids(List<Integer> tokens) {
      return Tensor.ofLongs(
          tokens.stream().mapToLong(Integer::longValue).toArray(), 1, tokens.size());
    }

    /** The largest difference from a map of all its patches. */
    double apart(PatchMap map) {
      int cells = pair.length() * heads;
      long last = logits.elements() - logits.dim(2);
      double most = 0;
      for (int cell = 0; cell < map.cells(); cell++) {
        Tensor rows = maps.get(cell / cells);
        for (int i = 0; i < cells; i++) {
          rows.set(i, i == cell % cells ? cells + i : i);
        }
        bindings.get(cell / cells).run();
        double metric = logits.get(last + pair.answer()) - logits.get(last + pair.wrong());
        most = Math.max(most, Math.abs(metric - map.mean(cell)));
      }
      return most;
    }

    @Override
    public void close() {
      bindings.forEach(Binding::close);
      sessions.forEach(Session::close);
      arena.close();
    }
  }
}
