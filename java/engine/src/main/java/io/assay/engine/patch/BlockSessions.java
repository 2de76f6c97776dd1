package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.kernel.PatchRows;
import io.assay.engine.kernel.SuffixAttention;
import io.assay.engine.model.BlockGraphs;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * The blocks of a model over rows of many sequences: the products as compiled graphs, which serve
 * all blocks and any number of rows, and attention as a kernel between them.
 */
final class BlockSessions implements AutoCloseable {
  private record Compiled(Graph graph, Session session) {}

  private final Engine engine;
  private final LanguageModel model;
  private final BlockGraphs blocks;
  private final int width;
  private final Map<String, Compiled> open = new HashMap<>();

  /** By what it is used for. */
  private final Map<String, MemorySegment> scratch = new HashMap<>();

  BlockSessions(Engine engine, LanguageModel model, BlockGraphs blocks) {
    this.engine = engine;
    this.model = model;
    this.blocks = blocks;
    this.width = model.width();
  }

  /** See {@link BlockGraphs#embedded}. */
  Tensor embedded(Arena arena, List<int[]> prompts) {
    return blocks.embedded(arena, prompts);
  }

  private Tensor rows(Arena arena, long rows, long columns) {
    return Tensor.allocate(arena, DType.F32, rows, columns);
  }

  /**
   * Memory for rows that are filled at once, until the next call for the same use: its pages need
   * not be had and cleared again for every hook.
   */
  Tensor scratch(String use, long rows, long columns) {
    long bytes = DType.F32.bytes() * rows * columns;
    MemorySegment memory = scratch.get(use);
    if (memory == null || memory.byteSize() < bytes) {
      memory = Tensor.allocate(Arena.ofAuto(), DType.F32, rows, columns).data();
      scratch.put(use, memory);
    }
    return Tensor.of(DType.F32, memory.asSlice(0, bytes), rows, columns);
  }

  /**
   * Rows of the stream before {@code layer}, which are overwritten, to the hidden row of each
   * sequence's last position.
   *
   * @param qkv the layer's queries, keys and values where they are known, else null; overwritten
   */
  Tensor finish(Arena arena, Layout layout, int layer, Tensor rows, Tensor qkv, BaseCache base) {
    int last = model.layers() - 1;
    Tensor stream = rows;
    if (layer < last) {
      Tensor projected = qkv == null ? scratch("projections", layout.rows(), 3L * width) : qkv;
      Tensor one = scratch("one", layout.rows(), width);
      Tensor other = scratch("other", layout.rows(), width);
      for (int at = layer; at < last; at++) {
        if (at > layer || qkv == null) {
          projections(at, stream, projected);
        }
        attention(layout, at, projected, base, one);
        firstHalf(at, one, stream, other);
        secondHalf(at, other, one);
        Tensor free = stream;
        stream = one;
        one = free;
      }
    }
    return last(arena, layout, stream, layer == last ? qkv : null, base);
  }

  /** The last block and the last norm, of which the last position of each sequence is wanted. */
  private Tensor last(Arena arena, Layout layout, Tensor rows, Tensor qkv, BaseCache base) {
    int layer = model.layers() - 1;
    Tensor before = layout.ends(arena, rows);
    Tensor z = rows(arena, layout.sequences(), width);
    if (qkv == null) {
      Tensor queries = rows(arena, layout.sequences(), width);
      Tensor others = scratch("projections", layout.rows(), 2L * width);
      run(
          compiled("last projections", blocks::lastProjections),
          layer,
          Map.of(BlockGraphs.IN, rows, BlockGraphs.BEFORE, before),
          Map.of(BlockGraphs.OUT, others, BlockGraphs.QUERIES, queries));
      attention(
          layout, layer, columns(queries, 0), columns(others, 0), columns(others, 1), base, z);
    } else {
      Tensor queries = layout.ends(arena, qkv);
      attention(layout, layer, columns(queries, 0), columns(qkv, 1), columns(qkv, 2), base, z);
    }
    Tensor middle = rows(arena, layout.sequences(), width);
    firstHalf(layer, z, before, middle);
    secondHalf(layer, middle, z);
    return lastNorm(arena, z);
  }

  /** Rows before a block to queries, keys and values side by side. */
  void projections(int layer, Tensor rows, Tensor out) {
    run(compiled("projections", blocks::projections), layer, rows, out);
  }

  /** What the heads read, [rows, width]; {@code base} may be null where all sequences are whole. */
  void attention(Layout layout, int layer, Tensor qkv, BaseCache base, Tensor out) {
    attention(layout, layer, columns(qkv, 0), columns(qkv, 1), columns(qkv, 2), base, out);
  }

  private void attention(
      Layout layout,
      int layer,
      Matrix queries,
      Matrix keys,
      Matrix values,
      BaseCache base,
      Tensor out) {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment sequences = layout.sequences(arena);
      SuffixAttention args =
          new SuffixAttention(
              queries,
              keys,
              values,
              base == null ? null : columns(base.projections(layer), 1),
              base == null ? null : columns(base.projections(layer), 2),
              sequences,
              sequences.asSlice(4L * layout.sequences()),
              layout.sequences(),
              layout.positions(),
              model.heads(),
              blocks.scoreScale(layer));
      engine.kernels().suffixAttention(args, Matrix.of(out));
    }
  }

  /** One of the parts, each as wide as the stream, that rows hold side by side. */
  private Matrix columns(Tensor rows, int part) {
    MemorySegment from = rows.data().asSlice(4L * part * width);
    return new Matrix(from, DType.F32, rows.dim(0), width, rows.dim(1));
  }

  /** What the heads read and the stream before the block to {@code hook_resid_mid}. */
  void firstHalf(int layer, Tensor heads, Tensor before, Tensor out) {
    run(
        compiled("first half", blocks::firstHalf),
        layer,
        Map.of(BlockGraphs.IN, heads, BlockGraphs.BEFORE, before),
        Map.of(BlockGraphs.OUT, out));
  }

  /** Rows of {@code hook_resid_mid} to rows behind the block. */
  void secondHalf(int layer, Tensor middle, Tensor out) {
    run(compiled("second half", blocks::secondHalf), layer, middle, out);
  }

  Tensor secondHalf(Arena arena, int layer, Tensor middle) {
    Tensor out = rows(arena, middle.elements() / width, width);
    secondHalf(layer, middle.reshape(out.shape()), out);
    return out;
  }

  /**
   * Rows of {@code hook_resid_mid} of the base run, each once for every head, in which that head
   * gives what it does in a source row: [row * head, width].
   *
   * @param source {@code hook_z} of the sources, [prompt, position, head, head width]
   * @param rows of the base run, prompt by prompt
   * @param from of each row that of the sources, or -1: none of its copies changes
   */
  Tensor patchedHeads(
      Arena arena, int layer, BaseCache base, Tensor source, int[] rows, int[] from) {
    int heads = model.heads();
    Matrix live = byRow(base.heads(layer));
    Tensor middle = rows(arena, (long) rows.length * heads, width);
    try (Arena call = Arena.ofShared()) {
      MemorySegment at = call.allocate(Tensor.INT, rows.length);
      MemorySegment sources = call.allocate(Tensor.INT, (long) rows.length * heads);
      for (int n = 0; n < rows.length; n++) {
        at.set(Tensor.INT, 4L * n, rows[n]);
        int its = from[n] < 0 ? -1 : Math.toIntExact(live.rows() + from[n]);
        for (int head = 0; head < heads; head++) {
          sources.set(Tensor.INT, 4L * (n * heads + head), its);
        }
      }
      PatchRows args =
          new PatchRows(
              live,
              byRow(source),
              Matrix.of(blocks.headOutput(layer)),
              Matrix.of(base.middle(layer)),
              at,
              sources,
              rows.length,
              heads,
              null);
      engine.kernels().patchRows(args, Matrix.of(middle));
    }
    return middle;
  }

  /** [prompt, position, head, head width] as [prompt * position, width]. */
  private Matrix byRow(Tensor heads) {
    return Matrix.of(heads.reshape(heads.elements() / width, width));
  }

  /** Rows behind the last block to what the head multiplies. */
  Tensor lastNorm(Arena arena, Tensor rows) {
    Tensor out = rows(arena, rows.dim(0), width);
    run(compiled("last norm", blocks::lastNorm), 0, rows, out);
    return out;
  }

  private Compiled compiled(String kind, Supplier<Graph> graph) {
    return open.computeIfAbsent(
        kind,
        _ -> {
          Graph g = graph.get();
          return new Compiled(g, engine.compile(g));
        });
  }

  private void run(Compiled compiled, int layer, Tensor in, Tensor out) {
    run(compiled, layer, Map.of(BlockGraphs.IN, in), Map.of(BlockGraphs.OUT, out));
  }

  private void run(
      Compiled compiled, int layer, Map<String, Tensor> in, Map<String, Tensor> results) {
    Map<String, Tensor> inputs = new LinkedHashMap<>(blocks.weights(layer));
    inputs.putAll(in);
    inputs.keySet().retainAll(compiled.graph().inputs());
    try (Binding binding = compiled.session().bind(inputs, results)) {
      binding.run();
    }
  }

  @Override
  public void close() {
    open.values().forEach(compiled -> compiled.session().close());
    open.clear();
  }
}
