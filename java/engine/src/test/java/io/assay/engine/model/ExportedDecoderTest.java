package io.assay.engine.model;

import static io.assay.engine.model.TinyGpt2.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Exported graphs taken apart, against the same graphs run whole, in float64. */
class ExportedDecoderTest extends TinyGpt2Case {
  private static final int PAST = 7;

  private static Model load(String file) {
    try {
      return Model.load(
          Path.of(ExportedDecoderTest.class.getResource("/" + file).toURI()), DType.F64);
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Token ids below the vocabulary of every fixture. */
  private static Tensor smallIds() {
    long[] ids = ids().toLongs();
    for (int i = 0; i < ids.length; i++) {
      ids[i] %= 64;
    }
    return Tensor.ofLongs(ids, TinyGpt2.ROWS, TinyGpt2.LENGTH);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "gpt2-tiny/onnx/model.dynamo",
        "gpt2-tiny/onnx/model.ts",
        "gpt2-tiny/onnx/model-past.ts",
        "onnx/gpt2-eager.dynamo",
        "onnx/gpt2-eager.ts",
        "onnx/gpt2-mask.dynamo",
        "onnx/gpt2-mask.ts",
        "onnx/gpt2-past.dynamo",
        "onnx/gpt2-past.ts",
        "onnx/gpt2-sdpa.dynamo",
        "onnx/gpt2-sdpa.ts",
        "onnx/gpt2-sdpa.external"
      })
  void bodyAndHeadGiveTheLogitsOfTheGraph(String name) {
    Model model = load(name + ".onnx");
    Tensor ids = smallIds();
    Map<String, Tensor> inputs = new HashMap<>();
    for (String input : model.graph().inputs()) {
      Tensor ones = Tensor.allocate(Arena.ofAuto(), DType.I64, ids.shape());
      for (int i = 0; i < ones.elements(); i++) {
        ones.set(i, 1);
      }
      inputs.put(
          input,
          switch (input) {
            case "input_ids" -> ids;
            case "attention_mask" -> ones;
            default -> model.emptyPast(input, TinyGpt2.ROWS).orElseThrow();
          });
    }
    Tensor want = run(model.graph(), inputs).get("logits");
    LanguageModel decoder = LanguageModel.of(model);
    Map<String, Tensor> plain = Map.of("input_ids", ids);
    assertClose("whole", want, run(decoder.whole(), plain).get("logits"), 1e-12);
    Tensor hidden = run(decoder.suffix(3, 2, 0, TinyGpt2.LENGTH), plain).get("hidden");
    assertClose("suffix", want, product(hidden, decoder), 1e-12);
    assertEquals(!name.contains("mask"), decoder.tied());
    assertEquals(name.contains("past"), decoder.cacheable());
  }

  /** Rows of {@code hidden} by the rows of the head. */
  private static Tensor product(Tensor hidden, LanguageModel model) {
    int width = model.width();
    int vocabulary = model.vocabulary();
    Tensor head = Tensor.of(DType.F64, model.head().data(), vocabulary, width);
    long rows = hidden.elements() / width;
    Tensor logits =
        Tensor.allocate(Arena.ofAuto(), DType.F64, hidden.dim(0), hidden.dim(1), vocabulary);
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vocabulary; v++) {
        double sum = 0;
        for (int c = 0; c < width; c++) {
          sum += hidden.get((long) r * width + c) * head.get((long) v * width + c);
        }
        logits.set((long) r * vocabulary + v, sum);
      }
    }
    return logits;
  }

  /** Six rows as one, three and six groups that share a past; each must give its own rows. */
  @ParameterizedTest
  @CsvSource({
    "gpt2-tiny/onnx/model-past.ts,6,1",
    "gpt2-tiny/onnx/model-past.ts,3,2",
    "onnx/gpt2-past.ts,1,6",
    "onnx/gpt2-past.dynamo,3,2"
  })
  void suffixBehindAPastAgreesWithTheWhole(String name, int groups, int rowsPerGroup) {
    LanguageModel model = LanguageModel.of(load(name + ".onnx"));
    assertTrue(model.layers() >= 2);
    Tensor ids = Gpt2Test.sharedPrefixes(smallIds(), rowsPerGroup);
    Map<String, Tensor> whole =
        run(model.suffix(6, 1, 0, TinyGpt2.LENGTH), Map.of("input_ids", ids));
    Map<String, Tensor> prefix =
        run(model.suffix(6, 1, 0, PAST), Map.of("input_ids", TinyGpt2.ids(ids, 0, PAST)));
    Map<String, Tensor> inputs = new HashMap<>();
    inputs.put("input_ids", TinyGpt2.ids(ids, PAST, TinyGpt2.LENGTH));
    for (int layer = 0; layer < model.layers(); layer++) {
      for (String part : List.of("key", "value")) {
        Tensor rows = prefix.get("present." + layer + "." + part);
        assertEquals(PAST, rows.dim(2));
        inputs.put("past." + layer + "." + part, Gpt2Test.everyNth(rows, rowsPerGroup));
      }
    }
    Graph suffix = model.suffix(groups, rowsPerGroup, PAST, TinyGpt2.LENGTH - PAST);
    Map<String, Tensor> got = run(suffix, inputs);
    assertClose(
        "hidden", Gpt2Test.positions(whole.get("hidden"), 1, PAST), got.get("hidden"), 1e-12);
    for (int layer = 0; layer < model.layers(); layer++) {
      for (String part : List.of("key", "value")) {
        String at = "present." + layer + "." + part;
        assertClose(at, Gpt2Test.positions(whole.get(at), 2, PAST), got.get(at), 1e-12);
      }
    }
  }

  @Test
  void whatCannotBeTakenApartSaysWhy() {
    Graph export = load("gpt2-tiny/onnx/model.ts.onnx").graph();
    Hooks hooks = load("gpt2-tiny/onnx/model.ts.onnx").hooks();
    assertRefused(export, new Hooks(Map.of()), "hook_embed");
    assertRefused(
        export.rename(Map.of("attention_mask", "mask")),
        hooks,
        "nothing is known to fill its input mask");
    Graph scaled = export.rename(Map.of("logits", "unscaled"));
    Graph.Builder b = scaled.edit().clearOutputs();
    b.op("logits", "Mul", Map.of(), "unscaled", b.constant("two", Tensor.scalar(DType.F64, 2)));
    assertRefused(b.output("logits").build(), hooks, "not a product of unembed.hook_in");
    LanguageModel model = LanguageModel.of(load("gpt2-tiny/onnx/model.ts.onnx"));
    assertThrows(IllegalArgumentException.class, () -> model.suffix(1, 1, 3, 2));
    assertEquals(64, model.context());
  }

  private static void assertRefused(Graph graph, Hooks hooks, String why) {
    InputException e = assertThrows(InputException.class, () -> ExportedDecoder.of(graph, hooks));
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(1, e.getMessage().lines().count());
  }
}
