package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
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
      keys.add(Rows.headsBeforePositions(Arena.ofAuto(), base.remove(at(layer, "attn.hook_k"))));
      values.add(Rows.headsBeforePositions(Arena.ofAuto(), base.remove(at(layer, "attn.hook_v"))));
    }
  }

  /**
   * Runs the prompts of some pairs.
   *
   * @param hooks whose values the sources are read for
   */
  static BaseCache of(
      Engine engine,
      LanguageModel model,
      Direction direction,
      List<Pair> pairs,
      List<HookPoint> hooks) {
    List<int[]> bases = new ArrayList<>();
    List<int[]> sources = new ArrayList<>();
    for (Pair pair : pairs) {
      bases.add(Baselines.ints(pair.base(direction)));
      sources.add(Baselines.ints(pair.source(direction)));
    }
    Set<String> wanted = new LinkedHashSet<>();
    for (int layer = 0; layer < model.layers(); layer++) {
      for (String part :
          List.of("hook_resid_pre", "hook_resid_mid", "attn.hook_k", "attn.hook_v")) {
        wanted.add(at(layer, part));
      }
    }
    wanted.add(at(model.layers() - 1, "hook_resid_post"));
    List<String> swept = hooks.stream().map(HookPoint::name).toList();
    hooks.stream().filter(h -> h.part().equals("hook_z")).forEach(h -> wanted.add(h.name()));
    // The memory of these sessions is given back before the sweep begins.
    try (Patcher patcher = new Patcher(engine, model)) {
      Map<String, Tensor> base = patcher.read(bases, wanted);
      Map<String, Tensor> source = patcher.read(sources, swept);
      return new BaseCache(pairs.getFirst().length(), base, source, model.layers());
    }
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
