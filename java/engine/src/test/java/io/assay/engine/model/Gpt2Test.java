package io.assay.engine.model;

import static io.assay.engine.model.TinyGpt2.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The GPT-2 that Assay builds against transformers and TransformerLens. */
class Gpt2Test extends TinyGpt2Case {
  /** Positions in the stored cache. */
  private static final int PAST = 7;

  /** Bound of a stored value: ten times what float32 costs, or the rounding of the store. */
  private static double bound(DType dtype, double float32, double largest) {
    return dtype == DType.F32 ? float32 : 1e-7 * largest;
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F64"})
  void logitsAndEveryHookAgree(DType dtype) {
    try (Model model = Model.load(TinyGpt2.folder(), dtype)) {
      List<String> hooks = TinyGpt2.hooks(reference);
      assertEquals(56, hooks.size());
      Map<String, Tensor> got =
          run(model.hooks().expose(model.graph(), hooks), Map.of("input_ids", ids()));
      assertClose(
          "logits", reference.get("logits.input_ids"), got.get("logits"), bound(dtype, 4e-5, 6.2));
      for (String hook : hooks) {
        assertClose(
            hook,
            reference.get("act." + hook),
            got.get(hook),
            hook.endsWith("attn_scores") ? bound(dtype, 7e-5, 9.5) : bound(dtype, 1e-4, 24));
      }
    }
  }

  @Test
  void cacheHoldsKeysAndValuesAndGivesTheSameLogits() {
    try (Model model = Model.load(TinyGpt2.folder())) {
      Graph cached = model.cached().orElseThrow();
      Map<String, Tensor> first = new HashMap<>();
      first.put("input_ids", TinyGpt2.ids(ids(), 0, PAST));
      for (int layer = 0; layer < 3; layer++) {
        for (String part : List.of("key", "value")) {
          first.put("past." + layer + "." + part, Tensor.ofFloats(new float[0], 6, 4, 0, 8));
        }
      }
      Map<String, Tensor> after = run(cached, first);
      Map<String, Tensor> second = new HashMap<>();
      second.put("input_ids", TinyGpt2.ids(ids(), PAST, TinyGpt2.LENGTH));
      for (int layer = 0; layer < 3; layer++) {
        for (String part : List.of("key", "value")) {
          String at = layer + "." + part;
          assertClose(at, reference.get("kv." + at), after.get("present." + at), 4e-5);
          second.put("past." + at, after.get("present." + at));
        }
      }
      Map<String, Tensor> rest = run(cached, second);
      assertClose("logits", reference.get("kv.logits_rest"), rest.get("logits"), 4e-5);
      assertEquals(TinyGpt2.LENGTH, rest.get("present.2.key").dim(2));
    }
  }

  /** Six rows as one, two, three and six groups that share a past; each must give its own rows. */
  @ParameterizedTest
  @CsvSource({"6,1", "3,2", "1,6"})
  void suffixAgreesWithTheWholeModel(int groups, int rowsPerGroup) {
    LanguageModel model = LanguageModel.of(Model.load(TinyGpt2.folder(), DType.F64));
    Tensor ids = sharedPrefixes(ids(), rowsPerGroup);
    Map<String, Tensor> whole =
        run(model.suffix(6, 1, 0, TinyGpt2.LENGTH), Map.of("input_ids", ids));
    int length = TinyGpt2.LENGTH - PAST;
    Map<String, Tensor> inputs = new HashMap<>();
    inputs.put("input_ids", TinyGpt2.ids(ids, PAST, TinyGpt2.LENGTH));
    Graph prefixGraph = model.suffix(6, 1, 0, PAST);
    Map<String, Tensor> prefix = run(prefixGraph, Map.of("input_ids", TinyGpt2.ids(ids, 0, PAST)));
    for (int layer = 0; layer < model.layers(); layer++) {
      for (String part : List.of("key", "value")) {
        Tensor rows = prefix.get("present." + layer + "." + part);
        inputs.put("past." + layer + "." + part, everyNth(rows, rowsPerGroup));
      }
    }
    Map<String, Tensor> got = run(model.suffix(groups, rowsPerGroup, PAST, length), inputs);
    assertClose("hidden", positions(whole.get("hidden"), 1, PAST), got.get("hidden"), 1e-12);
    for (int layer = 0; layer < model.layers(); layer++) {
      for (String part : List.of("key", "value")) {
        String name = "present." + layer + "." + part;
        assertClose(name, positions(whole.get(name), 2, PAST), got.get(name), 1e-12);
      }
    }
    if (rowsPerGroup == 1) {
      assertClose(
          "hidden",
          positions(reference.get("act.unembed.hook_in"), 1, PAST),
          got.get("hidden"),
          24e-7);
    }
  }

  @Test
  void headIsTheEmbeddingsMemory() {
    LanguageModel model = LanguageModel.of(Model.load(TinyGpt2.folder()));
    assertTrue(model.tied());
    assertSame(model.embedding().data(), model.head().data());
    assertEquals(512, model.vocabulary());
    assertEquals(32, model.width());
    assertEquals(64, model.context());
    assertEquals(8, model.headWidth());
    InputException e = assertThrows(InputException.class, () -> model.suffix(1, 1, 60, 5));
    assertTrue(e.getMessage().contains("65") && e.getMessage().contains("64"), e.getMessage());
  }

  /** An untied head in memory: twice the embedding gives twice the logits. */
  @Test
  void modelInMemoryMayHaveAHeadOfItsOwn() {
    Model tied = Model.load(TinyGpt2.folder(), DType.F64);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    tied.graph()
        .constants()
        .forEach(
            (name, t) -> {
              if (name.startsWith(Gpt2Weights.PREFIX)) {
                weights.put(Gpt2Weights.bare(name), t);
              }
            });
    Tensor head = Tensor.allocate(Arena.ofAuto(), DType.F64, 512, 32);
    for (long i = 0; i < head.elements(); i++) {
      head.set(i, 2 * weights.get("wte.weight").get(i));
    }
    weights.put("lm_head.weight", head);
    LanguageModel untied = LanguageModel.of("untied", 4, weights);
    Tensor once = run(tied.graph(), Map.of("input_ids", ids())).get("logits");
    Tensor twice = run(untied.model().graph(), Map.of("input_ids", ids())).get("logits");
    for (long i = 0; i < once.elements(); i++) {
      assertEquals(2 * once.get(i), twice.get(i), 1e-12);
    }
    assertNotEquals(tied.sha256(), untied.model().sha256());
    weights.remove("h.2.mlp.c_proj.weight");
    InputException e =
        assertThrows(InputException.class, () -> LanguageModel.of("short", 4, weights));
    assertTrue(e.getMessage().contains("h.2.mlp.c_proj.weight"), e.getMessage());
  }

  /** The ids, with the first {@link #PAST} positions of each group equal to its first row's. */
  static Tensor sharedPrefixes(Tensor all, int rowsPerGroup) {
    long[] ids = all.toLongs();
    for (int i = 0; i < ids.length; i++) {
      int row = i / TinyGpt2.LENGTH;
      if (i % TinyGpt2.LENGTH < PAST) {
        ids[i] = ids[i - row % rowsPerGroup * TinyGpt2.LENGTH];
      }
    }
    return Tensor.ofLongs(ids, TinyGpt2.ROWS, TinyGpt2.LENGTH);
  }

  static Tensor everyNth(Tensor t, int n) {
    long[] shape = t.shape();
    long rowBytes = t.data().byteSize() / shape[0];
    shape[0] /= n;
    Tensor out = Tensor.allocate(Arena.ofAuto(), t.dtype(), shape);
    for (long row = 0; row < shape[0]; row++) {
      out.data()
          .asSlice(row * rowBytes, rowBytes)
          .copyFrom(t.data().asSlice(row * n * rowBytes, rowBytes));
    }
    return out;
  }

  /** From position {@code from} on, positions being axis {@code axis}. */
  static Tensor positions(Tensor t, int axis, int from) {
    long[] shape = t.shape();
    long inner = 1;
    for (int a = axis + 1; a < shape.length; a++) {
      inner *= shape[a];
    }
    long all = shape[axis];
    shape[axis] -= from;
    Tensor out = Tensor.allocate(Arena.ofAuto(), t.dtype(), shape);
    for (long i = 0; i < out.elements(); i++) {
      long position = i / inner % shape[axis] + from;
      out.set(i, t.get((i / inner / shape[axis] * all + position) * inner + i % inner));
    }
    return out;
  }
}
