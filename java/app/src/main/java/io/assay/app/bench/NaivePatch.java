package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.RowPatch;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Pair;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Patching as people write it: a whole forward pass for each patch of one head at one position,
 * with the logits of all positions; by this runtime, with packed weights and memory bound once.
 */
final class NaivePatch implements AutoCloseable {
  private final int length;
  private final int heads;
  private final Session session;
  private final Binding binding;
  private final Tensor map;
  private final Tensor logits;

  /**
   * @param layer where is patched; it makes no difference to the time
   * @param pair its clean prompt runs, and takes from the corrupt one
   */
  NaivePatch(Engine engine, LanguageModel model, Pair pair, int layer) {
    length = pair.length();
    heads = model.heads();
    String hook = "blocks." + layer + ".attn.hook_z";
    Graph whole = Gpt2Small.whole(engine, model, 1, length);
    Tensor source;
    try (Session reader = engine.compile(whole.expose(hook).slice(whole.inputs(), List.of(hook)))) {
      source = reader.run(Map.of("input_ids", ids(pair.corrupt()))).get(hook);
    }
    Graph graph = whole.patch(hook, new RowPatch(3, (long) length * heads));
    map = Tensor.allocate(Arena.ofAuto(), DType.I64, 1, length, heads);
    logits = Tensor.allocate(Arena.ofAuto(), DType.F32, 1, length, model.vocabulary());
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("input_ids", ids(pair.clean()));
    inputs.put(hook + ".patch.rows", map);
    inputs.put(hook + ".patch.bank", source.reshape((long) length * heads, model.headWidth()));
    session = engine.compile(graph, true);
    binding = session.bind(inputs, Map.of("logits", logits));
  }

  private static Tensor ids(List<Integer> tokens) {
    long[] ids = tokens.stream().mapToLong(Integer::longValue).toArray();
    return Tensor.ofLongs(Arrays.copyOf(ids, ids.length), 1, ids.length);
  }

  /** The logit difference with one head at one position patched. */
  double run(int position, int head, Pair pair) {
    for (int i = 0; i < length * heads; i++) {
      boolean patched = i == position * heads + head;
      map.set(i, patched ? (double) length * heads + i : i);
    }
    binding.run();
    long last = (length - 1L) * (logits.elements() / length);
    return logits.get(last + pair.answer()) - logits.get(last + pair.wrong());
  }

  @Override
  public void close() {
    binding.close();
    session.close();
  }
}
