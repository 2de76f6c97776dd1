package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.BlockGraphs;
import io.assay.engine.model.BlockGraphs.Layout;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

/**
 * The compiled graphs of a model's blocks for one layout at a time; each serves all blocks, whose
 * weights it is given.
 */
final class BlockSessions implements AutoCloseable {
  private record Compiled(Graph graph, Session session) {}

  private final Engine engine;
  private final LanguageModel model;
  private final BlockGraphs blocks;

  /** By kind, for any number of rows. */
  private final Map<String, Compiled> open = new HashMap<>();

  /** By kind, for the present layout. */
  private final Map<String, Compiled> laid = new HashMap<>();

  private Layout present;

  BlockSessions(Engine engine, LanguageModel model, BlockGraphs blocks) {
    this.engine = engine;
    this.model = model;
    this.blocks = blocks;
  }

  /** Rows of the stream before {@code layer} to the hidden row of each sequence's last position. */
  Tensor finish(Arena arena, Layout layout, int layer, Tensor rows, BaseCache base) {
    Tensor from = rows;
    Tensor to = null;
    for (int at = layer; at < model.layers() - 1; at++) {
      to = to == null ? Tensor.allocate(arena, rows.dtype(), rows.shape()) : to;
      run(compiled(layout, "block", () -> blocks.block(layout)), at, from, base, null, to);
      Tensor swapped = from;
      from = to;
      to = swapped;
    }
    Tensor hidden = Tensor.allocate(arena, rows.dtype(), layout.sequences(), model.width());
    run(
        compiled(layout, "last", () -> blocks.last(layout)),
        model.layers() - 1,
        from,
        base,
        null,
        hidden);
    return hidden;
  }

  /** Output rows of a block in which each copy's own head is patched. */
  Tensor patched(
      Arena arena,
      Layout layout,
      int layer,
      String hook,
      boolean all,
      BaseCache base,
      Tensor source) {
    Tensor rows = Tensor.allocate(arena, model.dtype(), layout.rows(), model.width());
    long row = 0;
    for (int start : layout.starts()) {
      long length = base.length() - start;
      for (int s = 0; s < layout.prompts() * layout.copies(); s++, row += length) {
        long first = (long) (s / layout.copies()) * base.length() + start;
        Rows.copy(base.before(layer), first, rows, row, length, model.width());
      }
    }
    boolean pattern = hook.equals("hook_pattern");
    Tensor values = pattern ? source : Rows.headsBeforePositions(arena, source);
    Tensor out = Tensor.allocate(arena, model.dtype(), layout.rows(), model.width());
    Compiled graph = compiled(layout, hook, () -> blocks.patched(layout, hook, all));
    run(graph, layer, rows, base, values, out);
    return out;
  }

  /** Rows between attention and MLP to rows behind the block. */
  Tensor secondHalf(Arena arena, int layer, Tensor middle) {
    Tensor rows = flat(middle);
    Tensor out = Tensor.allocate(arena, rows.dtype(), rows.shape());
    run(compiled("half", blocks::secondHalf), layer, rows, null, null, out);
    return out;
  }

  /** What heads [head, row, head width] add to the stream, [head, row, width]. */
  Tensor headResults(Arena arena, int layer, Tensor heads) {
    int rows = Math.toIntExact(heads.dim(1));
    Tensor out = Tensor.allocate(arena, heads.dtype(), heads.dim(0), rows, model.width());
    Compiled graph = compiled("heads " + rows, () -> blocks.headResults(rows));
    run(graph, layer, heads, null, null, out);
    return out;
  }

  /** Rows behind the last block to what the head multiplies. */
  Tensor lastNorm(Arena arena, Tensor rows) {
    Tensor out = Tensor.allocate(arena, rows.dtype(), rows.shape());
    run(compiled("norm", blocks::lastNorm), 0, rows, null, null, out);
    return out;
  }

  private Tensor flat(Tensor t) {
    return t.reshape(t.elements() / model.width(), model.width());
  }

  private Compiled compiled(String kind, Supplier<Graph> graph) {
    return open.computeIfAbsent(kind, _ -> compile(graph.get()));
  }

  private Compiled compiled(Layout layout, String kind, Supplier<Graph> graph) {
    if (!layout.equals(present)) {
      close(laid);
      present = layout;
    }
    return laid.computeIfAbsent(kind, _ -> compile(graph.get()));
  }

  private Compiled compile(Graph graph) {
    return new Compiled(graph, engine.compile(graph));
  }

  private void run(
      Compiled compiled, int layer, Tensor in, BaseCache base, Tensor source, Tensor out) {
    Map<String, Tensor> inputs = new LinkedHashMap<>(blocks.weights(layer));
    inputs.put(BlockGraphs.IN, in);
    if (base != null) {
      inputs.put(BlockGraphs.KEYS, base.keys(layer));
      inputs.put(BlockGraphs.VALUES, base.values(layer));
    }
    if (source != null) {
      inputs.put(BlockGraphs.SOURCE, source);
    }
    inputs.keySet().retainAll(compiled.graph().inputs());
    try (Binding binding = compiled.session().bind(inputs, Map.of(BlockGraphs.OUT, out))) {
      binding.run();
    }
  }

  private static void close(Map<String, Compiled> sessions) {
    sessions.values().forEach(compiled -> compiled.session().close());
    sessions.clear();
  }

  @Override
  public void close() {
    close(laid);
    close(open);
  }
}
