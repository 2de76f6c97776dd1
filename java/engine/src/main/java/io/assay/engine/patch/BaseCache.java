package io.assay.engine.patch;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What the prompts of some pairs computed without a patch: streams, queries, keys and values of
 * every block. The base prompts come first, the source prompts behind them. Its tensors end with
 * it.
 */
final class BaseCache implements AutoCloseable {
  private final Arena arena = Arena.ofShared();
  private final int prompts;
  private final int length;
  private final int heads;

  /** The stream before each block, and behind the last. */
  private final List<Tensor> before = new ArrayList<>();

  private final List<Tensor> middle = new ArrayList<>();
  private final List<Tensor> projections = new ArrayList<>();
  private final List<Tensor> z = new ArrayList<>();
  private final Tensor hidden;
  private final Map<String, Tensor> sources;

  /**
   * @param ids base prompts, then as many source prompts, of one length
   * @param layers of the model
   * @param heads of each
   * @param sources what the source prompts have at hooks other than {@code hook_z}
   */
  BaseCache(
      BlockSessions blocks, List<int[]> ids, int layers, int heads, Map<String, Tensor> sources) {
    this.prompts = ids.size() / 2;
    this.length = ids.getFirst().length;
    this.heads = heads;
    this.sources = sources;
    Layout layout = Layout.whole(ids.size(), length);
    Tensor rows = blocks.embedded(arena, ids);
    long width = rows.dim(1);
    before.add(rows);
    for (int layer = 0; layer < layers; layer++) {
      Tensor qkv = Tensor.allocate(arena, rows.dtype(), rows.dim(0), 3 * width);
      Tensor read = Tensor.allocate(arena, rows.dtype(), rows.shape());
      Tensor mid = Tensor.allocate(arena, rows.dtype(), rows.shape());
      blocks.projections(layer, rows, qkv);
      blocks.attention(layout, layer, qkv, null, read);
      blocks.firstHalf(layer, read, rows, mid);
      rows = blocks.secondHalf(arena, layer, mid);
      projections.add(qkv);
      z.add(read);
      middle.add(mid);
      before.add(rows);
    }
    hidden = blocks.lastNorm(arena, layout.ends(arena, rows));
  }

  /** Rows of the base prompts (0) or the source prompts (1), [prompt, position, width]. */
  private Tensor half(Tensor rows, int which) {
    long bytes = rows.data().byteSize() / 2;
    return Tensor.of(
        rows.dtype(), rows.data().asSlice(which * bytes, bytes), prompts, length, rows.dim(1));
  }

  private Tensor byHead(Tensor rows) {
    return rows.reshape(prompts, length, heads, rows.dim(2) / heads);
  }

  int length() {
    return length;
  }

  /**
   * The stream before a block, [prompt, position, width], or, with their number, behind the last.
   */
  Tensor before(int layer) {
    return half(before.get(layer), 0);
  }

  /** The stream between a block's attention and its MLP. */
  Tensor middle(int layer) {
    return half(middle.get(layer), 0);
  }

  /** {@code hook_z}, [prompt, position, head, head width]. */
  Tensor heads(int layer) {
    return byHead(half(z.get(layer), 0));
  }

  /** Queries, keys and values side by side, [prompt * position, 3 width]. */
  Tensor projections(int layer) {
    Tensor half = half(projections.get(layer), 0);
    return half.reshape((long) prompts * length, half.dim(2));
  }

  /** What the source prompts have at a hook. */
  Tensor source(HookPoint hook) {
    return hook.part().equals("hook_z")
        ? byHead(half(z.get(hook.layer()), 1))
        : sources.get(hook.name());
  }

  /** The hidden rows of the last positions, base prompts first, [2 * prompt, width]. */
  Tensor hidden() {
    return hidden;
  }

  @Override
  public void close() {
    arena.close();
  }
}
