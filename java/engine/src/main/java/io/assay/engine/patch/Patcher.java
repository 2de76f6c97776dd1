package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.RowPatch;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Runs plans on a model by recomputing everything, up to the hidden row of the last position: the
 * plain way, for every model whose hooks are known. Graphs are compiled once for each number of
 * rows, length and set of hooks.
 *
 * <p>Used by one thread at a time.
 */
public final class Patcher implements AutoCloseable {
  static final String END = "hidden.end";
  private static final String EMBED = "hook_embed";
  private static final String HEAD_INPUT = "unembed.hook_in";

  private record Size(int rows, int length, Set<String> results) {}

  private record Key(Size size, Map<String, Long> patched, Set<String> exposed) {}

  private final Engine engine;
  private final LanguageModel model;
  private final Map<Size, Graph> bodies = new LinkedHashMap<>();
  private final Map<Key, Session> sessions = new LinkedHashMap<>();

  /** Sessions that are kept open. */
  private static final int MOST = 64;

  public Patcher(Engine engine, LanguageModel model) {
    this.engine = engine;
    this.model = model;
  }

  public LanguageModel model() {
    return model;
  }

  /** Names of the model's hooks, in the order of computation. */
  public List<String> hooks() {
    return model.model().hooks().names();
  }

  /** Number of blocks that the hooks name. */
  int blocks() {
    return 1 + hooks().stream().mapToInt(h -> HookPoint.of(h).layer()).max().orElse(-1);
  }

  /**
   * Runs a plan.
   *
   * @return hidden rows of the last position [rows, width], which the head multiplies
   * @throws PatchException if the plan does not fit the model; nothing has run then
   */
  public Tensor run(Plan plan) {
    return run(plan, List.of()).get(END);
  }

  /**
   * Checks a plan without running it.
   *
   * @throws PatchException as {@link #run(Plan)}
   */
  public void check(Plan plan) {
    maps(plan, body(size(plan.rows(), plan.length(), plan.hooks())));
  }

  /**
   * Values of hooks, unpatched.
   *
   * @param rows token ids, of equal lengths
   */
  public Map<String, Tensor> read(List<int[]> rows, Collection<String> hooks) {
    Plan.Builder plan = Plan.builder();
    rows.forEach(plan::row);
    return run(plan.build(), hooks);
  }

  /** Runs a plan; the values of {@code exposed} hooks are those before they are replaced. */
  Map<String, Tensor> run(Plan plan, Collection<String> exposed) {
    Set<String> named = new LinkedHashSet<>(plan.hooks());
    named.addAll(exposed);
    Size size = size(plan.rows(), plan.length(), named);
    Graph body = body(size);
    for (String hook : exposed) {
      if (!body.has(value(body, hook))) {
        throw HookPoint.unknown(hook, hooks());
      }
    }
    Map<String, Tensor> maps = maps(plan, body);
    Map<String, Tensor> inputs = new LinkedHashMap<>(Map.of("input_ids", plan.ids()));
    Map<String, Long> banks = new LinkedHashMap<>();
    maps.forEach(
        (hook, map) -> {
          String at = value(body, hook) + ".patch";
          inputs.put(at + ".rows", map);
          Tensor bank = plan.bank(hook);
          banks.put(hook, bank == null ? 0 : elements(hook, bank));
          if (bank != null) {
            inputs.put(at + ".bank", flat(hook, bank));
          }
        });
    Map<String, Tensor> values =
        session(body, new Key(size, banks, Set.copyOf(exposed))).run(inputs);
    Map<String, Tensor> results = new LinkedHashMap<>();
    results.put(END, values.get(END));
    exposed.forEach(hook -> results.put(hook, values.get(value(body, hook))));
    return results;
  }

  private Map<String, Tensor> maps(Plan plan, Graph body) {
    return plan.maps(hook -> body.type(value(body, hook)), new LinkedHashSet<>(hooks()));
  }

  private static long elements(String hook, Tensor bank) {
    long n = 1;
    for (int axis = 0; axis < HookPoint.of(hook).mapped(); axis++) {
      n *= bank.dim(axis);
    }
    return n;
  }

  /** A bank with its rows and their places as one axis. */
  private static Tensor flat(String hook, Tensor bank) {
    int mapped = HookPoint.of(hook).mapped();
    long[] shape = new long[1 + bank.rank() - mapped];
    shape[0] = elements(hook, bank);
    for (int axis = mapped; axis < bank.rank(); axis++) {
      shape[1 + axis - mapped] = bank.dim(axis);
    }
    return bank.reshape(shape);
  }

  private static Size size(int rows, int length, Collection<String> hooks) {
    Set<String> results = new LinkedHashSet<>();
    hooks.stream().filter(h -> h.endsWith("hook_result")).forEach(results::add);
    return new Size(rows, length, results);
  }

  /** The value of a hook in a body, which may not have it. */
  String value(Graph body, String hook) {
    Map<String, String> values = model.model().hooks().values();
    String value = values.get(hook);
    if (value == null || body.has(value)) {
      return value == null ? hook : value;
    }
    // A decoder gives the embedding its hook's name; other hooks may be the same value.
    return value.equals(values.get(EMBED)) ? EMBED : hook;
  }

  /** Type of a hook's value in a batch of this size, or null for no such hook. */
  TensorType type(String hook, int rows, int length) {
    Graph body = body(size(rows, length, List.of(hook)));
    return body.type(value(body, hook));
  }

  /** The model at one size, up to the hidden row of the last position. */
  Graph body(int rows, int length, Collection<String> hooks) {
    return body(size(rows, length, hooks));
  }

  private Graph body(Size size) {
    return bodies.computeIfAbsent(size, this::derive);
  }

  private Graph derive(Size size) {
    if (size.length() > model.context()) {
      throw new InputException(
          "a sequence of %d tokens exceeds the %d positions of the model %s"
              .formatted(size.length(), model.context(), model.model().name()));
    }
    Graph whole = model.model().hooks().withResults(model.whole(), size.results());
    String hidden = value(whole, HEAD_INPUT);
    if (!whole.has(hidden)) {
      throw new InputException(
          "the model "
              + model.model().name()
              + " has no hook "
              + HEAD_INPUT
              + ", so that nothing can be patched in it; give it a hook map");
    }
    Graph body = whole.slice(List.of("input_ids"), List.of(hidden));
    body =
        body.specialise(
            Map.of("input_ids", new long[] {size.rows(), size.length()}), engine.evaluator());
    Graph.Builder b = body.edit().clearOutputs();
    String last = b.constant(b.fresh("end"), Tensor.ofLongs(new long[] {size.length() - 1}));
    b.op(END, "Gather", Map.of("axis", 1L), hidden, last);
    b.type(END, TensorType.of(model.dtype(), size.rows(), model.width()));
    return b.output(END).build();
  }

  private Session session(Graph body, Key key) {
    Session session = sessions.get(key);
    if (session == null) {
      if (sessions.size() >= MOST) {
        close();
      }
      session = compile(body, key);
      sessions.put(key, session);
    }
    return session;
  }

  private Session compile(Graph body, Key key) {
    Graph graph = body;
    List<String> outputs = new ArrayList<>(List.of(END));
    for (Map.Entry<String, Long> patched : key.patched().entrySet()) {
      HookPoint hook = HookPoint.of(patched.getKey());
      RowPatch patch = new RowPatch(hook.mapped(), patched.getValue());
      graph = graph.patch(value(body, hook.name()), patch);
    }
    for (String hook : key.exposed()) {
      String value = value(body, hook);
      outputs.add(value);
      graph = graph.expose(value);
    }
    return engine.compile(graph.slice(graph.inputs(), outputs));
  }

  /** Closes the sessions; a second call does nothing. */
  @Override
  public void close() {
    sessions.values().forEach(Session::close);
    sessions.clear();
  }
}
