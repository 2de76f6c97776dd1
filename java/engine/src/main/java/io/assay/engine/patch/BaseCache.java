package io.assay.engine.patch;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What a chunk's prompts computed without a patch: streams, keys and values of every block. */
final class BaseCache {
  private final int length;
  private final Map<String, Tensor> base;
  private final Map<String, Tensor> source;
  private final List<Tensor> keys = new ArrayList<>();
  private final List<Tensor> values = new ArrayList<>();

  private BaseCache(int length, Map<String, Tensor> base, Map<String, Tensor> source, int layers) {
    this.length = length;
    this.base = base;
    this.source = source;
    for (int layer = 0; layer < layers; layer++) {
      keys.add(Rows.headsBeforePositions(Arena.ofAuto(), base.get(at(layer, "attn.hook_k"))));
      values.add(Rows.headsBeforePositions(Arena.ofAuto(), base.get(at(layer, "attn.hook_v"))));
    }
  }

  /**
   * Runs the prompts of some pairs.
   *
   * @param hooks whose values the sources are read for
   */
  static BaseCache of(
      Patcher patcher, Direction direction, List<Pair> pairs, List<HookPoint> hooks) {
    List<int[]> rows = new ArrayList<>();
    pairs.forEach(pair -> rows.add(Baselines.ints(pair.base(direction))));
    pairs.forEach(pair -> rows.add(Baselines.ints(pair.source(direction))));
    int layers = patcher.model().layers();
    Set<String> wanted = new LinkedHashSet<>();
    for (int layer = 0; layer < layers; layer++) {
      for (String part :
          List.of("hook_resid_pre", "hook_resid_mid", "attn.hook_k", "attn.hook_v")) {
        wanted.add(at(layer, part));
      }
    }
    wanted.add(at(layers - 1, "hook_resid_post"));
    hooks.forEach(hook -> wanted.add(hook.name()));
    // One graph for both: it is compiled once.
    Map<String, Tensor> both = patcher.read(rows, wanted);
    Map<String, Tensor> base = new HashMap<>();
    Map<String, Tensor> source = new HashMap<>();
    wanted.forEach(hook -> base.put(hook, half(both.get(hook), 0)));
    hooks.forEach(hook -> source.put(hook.name(), half(both.get(hook.name()), 1)));
    return new BaseCache(pairs.getFirst().length(), base, source, layers);
  }

  /** The first or second half of the rows. */
  private static Tensor half(Tensor t, int which) {
    long bytes = t.data().byteSize() / 2;
    return Tensor.of(
        t.dtype(), t.data().asSlice(which * bytes, bytes), Rows.withRows(t, t.dim(0) / 2));
  }

  private static String at(int layer, String part) {
    return "blocks." + layer + "." + part;
  }

  int length() {
    return length;
  }

  /**
   * The stream before a block, [prompt, position, width], or, with their number, behind the last.
   */
  Tensor before(int layer) {
    Tensor before = base.get(at(layer, "hook_resid_pre"));
    return before != null ? before : base.get(at(layer - 1, "hook_resid_post"));
  }

  /** The stream between a block's attention and its MLP. */
  Tensor middle(int layer) {
    return base.get(at(layer, "hook_resid_mid"));
  }

  /** [prompt, position, head, head width]. */
  Tensor heads(int layer) {
    return base.get(at(layer, "attn.hook_z"));
  }

  /** [prompt, head, position, head width]. */
  Tensor keys(int layer) {
    return keys.get(layer);
  }

  Tensor values(int layer) {
    return values.get(layer);
  }

  /** What the source prompts have at a hook. */
  Tensor source(String hook) {
    return source.get(hook);
  }
}
