package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Hooks proposed for exported transformers, written, read back, and recomputed. */
class HookProposalsTest {
  private static final Path ONNX = TinyGpt2.folder().resolveSibling("onnx");
  private static final int ROWS = 2;
  private static final int LENGTH = 6;

  private static Engine engine;

  @TempDir Path folder;

  @BeforeAll
  static void open() {
    engine = Engine.open(EngineOptions.defaults().withThreads(1));
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  private static HookProposals proposals(String name) {
    return HookProposals.of(ONNX.resolve(name + ".onnx"), engine.evaluator());
  }

  /** The model with the proposals beside it as a hook map. */
  private Model mapped(String name) throws IOException {
    Path file = folder.resolve(name + ".onnx");
    Files.copy(ONNX.resolve(name + ".onnx"), file);
    Files.writeString(HookMap.fileFor(file), proposals(name).toHookMap());
    return Model.load(file);
  }

  /** Numbers of every hook for token ids below 60, or normal pixels. */
  private static Map<String, Tensor> run(Model model, List<String> hooks) {
    Graph graph = model.hooks().expose(model.graph(), hooks);
    Random random = new Random(4);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    for (String input : graph.inputs()) {
      TensorType type = graph.type(input);
      long[] shape = new long[type.dims().size()];
      for (int i = 0; i < shape.length; i++) {
        TensorType.Dim dim = type.dims().get(i);
        shape[i] = dim.isKnown() ? dim.size() : i == 0 ? ROWS : LENGTH;
      }
      Tensor t = Tensor.allocate(Arena.ofAuto(), type.dtype(), shape);
      for (long i = 0; i < t.elements(); i++) {
        boolean ids = type.dtype() == DType.I64;
        boolean mask = input.contains("mask");
        boolean places = input.contains("position");
        t.set(i, mask ? 1 : places ? i % LENGTH : ids ? random.nextInt(20) : random.nextGaussian());
      }
      inputs.put(input, model.emptyPast(input, ROWS).orElse(t));
    }
    try (Session session = engine.compile(graph)) {
      return session.run(inputs);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "gpt2-eager.dynamo,2",
    "gpt2-eager.ts,2",
    "gpt2-mask.dynamo,2",
    "gpt2-past.ts,2",
    "gpt2-sdpa.ts,2",
    "llama.dynamo,2",
    "llama.ts,2",
    "llama-sdpa.dynamo,2",
    "llama-pos.dynamo,2",
    "qwen2.dynamo,2",
    "qwen2.ts,2",
    "neox.dynamo,2",
    "neox.ts,2",
    "opt.ts,2"
  })
  void whatIsProposedForDecodersHolds(String name, int layers) throws IOException {
    for (HookProposal p : proposals(name).hooks()) {
      boolean part = p.hook().matches(".*(pattern|scores|_v|_z|resid_.*|_out)");
      assertTrue(p.checked() || !part, p.toString());
    }
    try (Model model = mapped(name)) {
      List<String> hooks =
          model.hooks().names().stream().filter(h -> h.contains("blocks")).toList();
      Map<String, Tensor> got = run(model, hooks);
      for (int layer = 0; layer < layers; layer++) {
        String at = "blocks." + layer + ".";
        requirePattern(got.get(at + "attn.hook_pattern"));
        requireMix(
            got.get(at + "attn.hook_pattern"),
            got.get(at + "attn.hook_v"),
            got.get(at + "attn.hook_z"));
        Tensor pre = got.get(at + "hook_resid_pre");
        Tensor attention = got.get(at + "hook_attn_out");
        Tensor mlp = got.get(at + "hook_mlp_out");
        Tensor post = got.get(at + "hook_resid_post");
        for (long i = 0; i < post.elements(); i++) {
          assertEquals(post.get(i), pre.get(i) + attention.get(i) + mlp.get(i), 1e-5, at);
        }
        assertEquals(4, got.get(at + "attn.hook_q").rank());
        assertEquals(LENGTH, got.get(at + "attn.hook_k").dim(1));
        assertEquals(got.get(at + "mlp.hook_pre").dim(2), got.get(at + "mlp.hook_post").dim(2), at);
      }
      assertTrue(!got.containsKey("blocks." + layers + ".hook_resid_pre"), "no further block");
    }
  }

  private static void requirePattern(Tensor p) {
    assertEquals(4, p.rank());
    for (long row = 0; row < p.elements() / LENGTH; row++) {
      double sum = 0;
      for (long key = 0; key < LENGTH; key++) {
        sum += p.get(row * LENGTH + key);
        assertTrue(key <= row % LENGTH || p.get(row * LENGTH + key) == 0, "not causal");
      }
      assertEquals(1, sum, 1e-5);
    }
  }

  /** z [row, position, head, width] is the pattern times v of the group of its head. */
  private static void requireMix(Tensor p, Tensor v, Tensor z) {
    int heads = (int) z.dim(2);
    int group = heads / (int) v.dim(2);
    int width = (int) z.dim(3);
    for (int i = 0; i < z.elements(); i++) {
      int d = i % width;
      int h = i / width % heads;
      int t = i / width / heads % LENGTH;
      int b = i / width / heads / LENGTH;
      double sum = 0;
      for (int k = 0; k < LENGTH; k++) {
        sum +=
            p.get(((b * heads + h) * LENGTH + t) * LENGTH + k)
                * v.get(((b * LENGTH + k) * v.dim(2) + h / group) * width + d);
      }
      assertEquals(sum, z.get(i), 1e-5);
    }
  }

  /** The hooks of GPT-2, which are found by another way, have the same numbers. */
  @ParameterizedTest
  @ValueSource(strings = {"gpt2-eager.dynamo", "gpt2-eager.ts", "gpt2-past.dynamo", "gpt2-sdpa.ts"})
  void proposalsForGpt2AreItsHooks(String name) throws IOException {
    try (Model known = Model.load(ONNX.resolve(name + ".onnx"));
        Model mapped = mapped(name)) {
      List<String> common =
          proposals(name).hooks().stream()
              .map(HookProposal::hook)
              .filter(known.hooks().names()::contains)
              .toList();
      // 13 of each block, hook_embed and unembed.hook_in.
      assertEquals(2 * 13 + 2, common.size(), common.toString());
      Map<String, Tensor> want = run(known, common);
      Map<String, Tensor> got = run(mapped, common);
      for (String hook : common) {
        TinyGpt2.assertClose(hook, want.get(hook), got.get(hook), 1e-5);
      }
    }
  }

  /** With the map a rotary decoder comes apart: its hidden rows by the head are its logits. */
  @ParameterizedTest
  @ValueSource(strings = {"llama.dynamo", "llama.ts", "qwen2.dynamo", "neox.ts"})
  void aProposedMapIsEnoughForAudits(String name) throws IOException {
    try (Model model = mapped(name)) {
      LanguageModel decoder = LanguageModel.of(model);
      Tensor ids = Tensor.ofLongs(new long[] {3, 1, 4, 1, 5, 9, 2, 6}, 2, 4);
      Map<String, Tensor> in = Map.of("input_ids", ids);
      Tensor logits;
      Tensor hidden;
      try (Session whole = engine.compile(decoder.whole());
          Session body = engine.compile(decoder.suffix(1, 2, 0, 4))) {
        logits = whole.run(in).get("logits");
        hidden = body.run(in).get("hidden");
      }
      int width = decoder.width();
      for (int i = 0; i < logits.elements(); i++) {
        int row = i / decoder.vocabulary();
        int token = i % decoder.vocabulary();
        double sum = 0;
        for (int c = 0; c < width; c++) {
          sum +=
              hidden.get((long) row * width + c)
                  * decoder.head().data().getAtIndex(Tensor.FLOAT, (long) token * width + c);
        }
        assertEquals(sum, logits.get(i), 1e-4);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "bert.dynamo,blocks.1.attn.hook_pattern,not causal",
    "bert.ts,blocks.1.attn.hook_pattern,not causal",
    "vit.dynamo,blocks.1.attn.hook_pattern,not causal",
    "vit.ts,blocks.1.hook_resid_post,sum to hook_resid_post",
    "vit-sdpa.ts,blocks.1.attn.hook_z,is the pattern times hook_v",
    "videomae.dynamo,blocks.1.hook_mlp_out,sum to hook_resid_post",
    "videomae.ts,blocks.1.attn.hook_pattern,not causal",
    "timesformer.dynamo,blocks.1.attn_2.hook_pattern,not causal",
    "timesformer.ts,blocks.1.attn.hook_pattern,not causal",
    "t5.dynamo,decoder.1.cross_attn.hook_pattern,rows sum to one",
    "t5.ts,encoder.1.attn.hook_pattern,not causal",
    "t5.ts,decoder.1.attn.hook_pattern,; causal",
    "grokking.dynamo,blocks.0.attn.hook_pattern,; causal",
    "grokking.ts,blocks.0.hook_attn_out,sum to hook_resid_post",
    "opt.ts,blocks.1.hook_mlp_out,sum to hook_resid_post",
    "deberta2.ts,blocks.1.attn.hook_pattern,not causal",
    "deberta2.ts,blocks.1.attn.hook_z,is the pattern times hook_v",
    "deberta2.ts,blocks.0.attn.hook_attn_scores,its softmax is hook_pattern"
  })
  void everyFamilyHasItsHooks(String name, String hook, String why) throws IOException {
    HookProposals proposals = proposals(name);
    HookProposal found =
        proposals.hooks().stream()
            .filter(p -> p.hook().equals(hook))
            .findFirst()
            .orElseThrow(() -> new AssertionError(proposals.toString()));
    assertTrue(found.checked() && found.why().contains(why), found.toString());
    try (Model model = mapped(name)) {
      assertTrue(model.hooks().names().containsAll(List.of(hook)), model.hooks().toString());
    }
  }

  @Test
  void aStreamThatIsNormalisedBetweenIsSaidToBe() {
    HookProposal post =
        proposals("bert.dynamo").hooks().stream()
            .filter(p -> p.hook().equals("blocks.0.hook_resid_post"))
            .findFirst()
            .orElseThrow();
    assertTrue(!post.checked() && post.why().contains("normalised"), post.toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt2-sdpa.dynamo23", "llama-pos.dynamo23", "vit-sdpa.dynamo23"})
  void aFusedAttentionHasNoPattern(String name) throws IOException {
    HookProposals proposals = proposals(name);
    assertTrue(
        proposals
            .notes()
            .contains("blocks.0.attn.hook_pattern is no value: the operator Attention is fused"),
        proposals.notes().toString());
    try (Model model = mapped(name)) {
      List<String> names = model.hooks().names();
      assertTrue(
          names.containsAll(List.of("blocks.1.attn.hook_z", "blocks.1.hook_resid_post")),
          names.toString());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"resnet.dynamo", "mlp.ts", "lstm.dynamo"})
  void whereThereIsNoAttentionNothingIsProposed(String name) {
    HookProposals proposals = proposals(name);
    assertEquals(List.of(), proposals.hooks());
    assertTrue(proposals.notes().getFirst().contains("no attention was found"));
  }
}
