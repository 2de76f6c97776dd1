package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * One operator, or a few, at a time: outputs and gradients against PyTorch in float64. The cases
 * are those of {@code ops/cases.json}; one that is added there runs without a word here.
 */
class OperatorsTest {
  /**
   * The same graph as {@code tie_clip}, with the other of PyTorch's two conventions: Assay has that
   * of bounds that are numbers.
   */
  private static final Set<String> OTHER_CONVENTION = Set.of("tie_clip_tensor");

  /** Of the largest entry: the values that lead to it are rounded at 6e-8, some ten times. */
  private static final double FLOAT32 = 1e-5;

  private static final Path FOLDER = folder();
  private static final Map<String, Tensor> TORCH =
      Safetensors.read(FOLDER.resolve("cases.safetensors")).tensors();

  private static int held;
  private static int refused;
  private static final List<String> left = new ArrayList<>();

  private final Ort ort = new Ort();

  /** A line of the index. */
  record Case(JsonNode json) {
    String name() {
      return json.get("name").asText();
    }

    List<String> texts(String field) {
      List<String> texts = new ArrayList<>();
      json.get(field).forEach(text -> texts.add(text.asText()));
      return texts;
    }

    /** Whether the runtime computes the forward pass. */
    boolean runs() {
      return json.at("/checks/ort_fp32_output").isNumber();
    }

    @Override
    public String toString() {
      return name();
    }
  }

  private static Path folder() {
    try {
      return Path.of(OperatorsTest.class.getResource("/ops/cases.json").toURI()).getParent();
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  static List<Case> cases() throws IOException {
    List<Case> cases = new ArrayList<>();
    JsonNode index = new ObjectMapper().readTree(FOLDER.resolve("cases.json").toFile());
    index.get("cases").forEach(json -> cases.add(new Case(json)));
    return cases;
  }

  @AfterAll
  static void count() {
    System.out.println(
        "operator cases: "
            + held
            + " hold in float32, "
            + refused
            + " refused as ONNX Runtime does, left out "
            + left);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void outputsAndGradients(Case c) {
    if (!c.runs()) {
      InputException e = assertThrows(InputException.class, () -> compare(c));
      assertTrue(e.getMessage().contains("ONNX Runtime refuses"), e.getMessage());
      assertFalse(e.getMessage().contains("\n"), e.getMessage());
      refused++;
    } else if (OTHER_CONVENTION.contains(c.name())) {
      assertThrows(Throwable.class, () -> compare(c), "this case holds; take it off the list");
      left.add(c.name());
    } else {
      compare(c);
      held++;
    }
  }

  private void compare(Case c) {
    Graph whole = Graph.read(FOLDER.resolve(c.json.get("file").asText()));
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (String input : whole.inputs()) {
      Tensor t = shaped(TORCH.get(c.name() + "/in/" + input), whole.type(input));
      inputs.put(input, t);
      shapes.put(input, t.shape());
    }
    Graph g = whole.specialise(shapes, ort);
    Map<String, String> seeds = new LinkedHashMap<>();
    for (String output : g.outputs()) {
      Tensor seed = TORCH.get(c.name() + "/dy/" + output);
      if (seed != null) {
        seeds.put(output, "seed." + output);
        inputs.put("seed." + output, to(g.type(output).dtype(), shaped(seed, g.type(output))));
      }
    }
    List<String> wrt = c.texts("gradients");
    Gradient d = g.differentiate(seeds, wrt);
    Graph used = d.graph().slice(Set.of(), d.graph().outputs());
    inputs.keySet().retainAll(new LinkedHashSet<>(used.inputs()));
    Map<String, Tensor> got = ort.evaluate(used, inputs);
    for (String output : c.texts("outputs")) {
      Tensor want = shaped(TORCH.get(c.name() + "/out/" + output), g.type(output));
      close(c.name() + " " + output, want, got.get(output));
    }
    for (String x : wrt) {
      Tensor gradient = got.get(d.gradients().get(x));
      Tensor want = shaped(TORCH.get(c.name() + "/grad/" + x), g.type(x));
      close(c.name() + " gradient of " + x, want, gradient);
    }
  }

  /** The fixture keeps scalars as tensors of one element. */
  private static Tensor shaped(Tensor t, TensorType type) {
    return type.dims().isEmpty() ? t.reshape() : t;
  }

  private static Tensor to(DType dtype, Tensor t) {
    if (t.dtype() == dtype) {
      return t;
    }
    Tensor out = Tensor.allocate(Arena.ofAuto(), dtype, t.shape());
    for (long i = 0; i < out.elements(); i++) {
      out.set(i, t.get(i));
    }
    return out;
  }

  private static void close(String what, Tensor want, Tensor got) {
    assertArrayEquals(want.shape(), got.shape(), what);
    double[] expected = want.toDoubles();
    double scale = Arrays.stream(expected).map(Math::abs).filter(Double::isFinite).max().orElse(0);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], got.get(i), FLOAT32 * scale, what + " [" + i + "]");
    }
  }
}
