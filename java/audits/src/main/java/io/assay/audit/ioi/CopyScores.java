package io.assay.audit.ioi;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;

/**
 * Whether a head writes the name that it reads (specs/ioi.md 3.5): the residual stream behind block
 * 0 at a name, through the head's own layer norm, values and output, then the final layer norm and
 * the head of the model; the score is the share of names found among the highest logits. The bias
 * of the output projection belongs to no head and is left out.
 */
public final class CopyScores implements AutoCloseable {
  private final LanguageModel model;
  private final Engine engine;
  private final Graph whole;
  private final Deque<Session> owned = new ArrayDeque<>();
  private final int names;
  private final Tensor residual;
  private final long[] ids;
  private final Session end;
  private final Session logits;

  /**
   * Reads the names of some prompts: IO, S1 and S2 of each.
   *
   * @throws InputException if the model lacks a hook that is needed, or there is no prompt
   */
  public CopyScores(Engine engine, LanguageModel model, List<Example> prompts) {
    this.engine = engine;
    this.model = model;
    this.names = 3 * prompts.size();
    if (prompts.isEmpty()) {
      throw new InputException("there is no prompt; give at least one");
    }
    ids = new long[names];
    residual = Tensor.allocate(Arena.ofAuto(), model.dtype(), names, 1, model.width());
    read(prompts);
    Graph suffix = model.suffix(names, 1, 0, 1);
    whole =
        suffix.slice(suffix.inputs(), List.of("hidden")).specialise(Map.of(), engine.evaluator());
    String last = hook("blocks." + (layers() - 1) + ".hook_resid_post");
    end = compile(whole.slice(List.of(last), List.of("hidden")));
    Graph.Builder b = Graph.builder("head").opset("", 17);
    b.input("rows", TensorType.of(model.dtype(), names, model.width()));
    long vocabulary = model.vocabulary();
    Tensor head = Tensor.of(model.dtype(), model.head().data(), vocabulary, model.width());
    b.output(b.op("logits", "Gemm", Map.of("transB", 1L), "rows", b.constant("W_U", head)));
    logits = compile(b.build());
  }

  private String hook(String name) {
    return model.model().hooks().resolve(whole, name);
  }

  private int layers() {
    return (int)
        model.model().hooks().names().stream()
            .filter(hook -> hook.matches("blocks\\.\\d+\\.attn\\.hook_z"))
            .count();
  }

  private Session compile(Graph graph) {
    Session session = engine.compile(graph);
    owned.push(session);
    return session;
  }

  /** The residual stream behind block 0 at the names. */
  private void read(List<Example> prompts) {
    String hook = "blocks.0.hook_resid_post";
    Graph graph = model.model().hooks().expose(model.whole(), List.of(hook));
    try (Session session = engine.compile(graph.slice(List.of("input_ids"), List.of(hook)))) {
      for (int i = 0; i < prompts.size(); i++) {
        Example p = prompts.get(i);
        Tensor input = Tensor.ofLongs(p.ids(), 1, p.ids().length);
        Tensor seen = session.run(Map.of("input_ids", input)).get(hook);
        int[] places = {p.positions().io(), p.positions().s1(), p.positions().s2()};
        for (int n = 0; n < places.length; n++) {
          ids[3 * i + n] = p.ids()[places[n]];
          for (int c = 0; c < model.width(); c++) {
            residual.set(
                (3L * i + n) * model.width() + c, seen.get((long) places[n] * model.width() + c));
          }
        }
      }
    }
  }

  /**
   * The score of a head.
   *
   * @param sign 1, or -1 for heads that write against a name
   * @param top how many of the highest logits count
   * @throws InputException if the model has no such head
   */
  public double of(int layer, int head, int sign, int top) {
    if (layer < 0 || layer >= layers()) {
      throw new InputException(
          "there is no layer " + layer + "; the model has 0 to " + (layers() - 1));
    }
    String before = hook("blocks." + layer + ".hook_resid_pre");
    String v = hook("blocks." + layer + ".attn.hook_v");
    String z = hook("blocks." + layer + ".attn.hook_z");
    String out = hook("blocks." + layer + ".hook_attn_out");
    try (Session values = engine.compile(whole.slice(List.of(before), List.of(v)));
        Session output = engine.compile(whole.slice(List.of(z), List.of(out)))) {
      Tensor all = values.run(Map.of(before, residual)).get(v);
      int heads = Math.toIntExact(whole.type(z).shape()[2]);
      if (head < 0 || head >= heads || all.dim(2) != heads) {
        throw new InputException(
            all.dim(2) == heads
                ? "there is no head " + head + "; the model has 0 to " + (heads - 1)
                : "the heads of the model share values, for which there is no copy score");
      }
      Tensor only = Tensor.allocate(Arena.ofAuto(), all.dtype(), all.shape());
      long width = all.dim(3);
      for (long r = 0; r < names; r++) {
        for (long c = 0; c < width; c++) {
          long at = (r * heads + head) * width + c;
          only.set(at, all.get(at));
        }
      }
      Tensor written = output.run(Map.of(z, only)).get(out);
      Tensor bias =
          output.run(Map.of(z, Tensor.allocate(Arena.ofAuto(), all.dtype(), all.shape()))).get(out);
      for (long i = 0; i < written.elements(); i++) {
        written.set(i, sign * (written.get(i) - bias.get(i)));
      }
      return share(written, top);
    }
  }

  /** Share of names among the {@code top} highest logits of what was written. */
  private double share(Tensor written, int top) {
    String last = hook("blocks." + (layers() - 1) + ".hook_resid_post");
    Tensor hidden = end.run(Map.of(last, written)).get("hidden");
    Tensor scores = logits.run(Map.of("rows", hidden.reshape(names, model.width()))).get("logits");
    long found = 0;
    for (int r = 0; r < names; r++) {
      long row = (long) r * model.vocabulary();
      double mine = scores.get(row + ids[r]);
      int above = 0;
      for (int t = 0; t < model.vocabulary(); t++) {
        above += scores.get(row + t) > mine ? 1 : 0;
      }
      found += above < top ? 1 : 0;
    }
    return found / (double) names;
  }

  @Override
  public void close() {
    owned.forEach(Session::close);
  }
}
