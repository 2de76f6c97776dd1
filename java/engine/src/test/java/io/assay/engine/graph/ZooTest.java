package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Exported models against PyTorch: outputs, and gradients to inputs, embeddings and weights. The
 * cases are those of the index {@code zoo.json}, which says how PyTorch's weights lie in the files:
 * a model that is added there is tested without a change here.
 */
class ZooTest {
  private static int points;
  private static int gradients;

  private final Ort ort = new Ort();

  /** A file at one of the two shapes for which the index has numbers. */
  record Case(JsonNode model, JsonNode file, int point) {
    @Override
    public String toString() {
      return file.get("file").asText() + " s" + point;
    }

    String prefix() {
      return "s" + point + ".";
    }
  }

  static Stream<Case> cases() throws IOException {
    JsonNode models = new ObjectMapper().readTree(folder().resolve("zoo.json").toFile());
    return elements(models.get("models"))
        .flatMap(
            model ->
                elements(model.get("files"))
                    .flatMap(
                        file -> Stream.of(new Case(model, file, 0), new Case(model, file, 1))));
  }

  private static Stream<JsonNode> elements(JsonNode list) {
    return StreamSupport.stream(list.spliterator(), false);
  }

  private static Path folder() {
    return Fixtures.path("gpt2-eager.dynamo").getParent();
  }

  @AfterAll
  static void count() {
    System.out.println(
        "zoo: " + points + " points, " + gradients + " gradients compared with PyTorch");
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithPyTorch(Case c) {
    Map<String, Tensor> torch =
        Safetensors.read(folder().resolve(c.model.get("safetensors").asText())).tensors();
    String p = c.prefix();
    Graph whole = Graph.read(folder().resolve(c.file.get("file").asText()));
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (String input : whole.inputs()) {
      Tensor t = torch.get(p + "in." + input);
      inputs.put(input, t);
      shapes.put(input, t.shape());
    }
    Map<String, List<JsonNode>> compared = compared(c, torch);
    Set<String> wrt = new LinkedHashSet<>();
    compared.values().forEach(parts -> parts.forEach(w -> wrt.add(w.get("init").asText())));
    // An embedding that nothing else reads may be folded away when the shapes are fixed.
    Graph g = whole.expose(wrt.toArray(String[]::new)).specialise(shapes, ort);
    Map<String, String> seeds = new LinkedHashMap<>();
    for (String output : whole.outputs()) {
      Tensor w = torch.get(p + "w." + output);
      if (w != null) {
        seeds.put(output, "seed." + output);
        inputs.put("seed." + output, w);
      }
    }
    assertTrue(!compared.isEmpty() && !seeds.isEmpty(), "nothing to compare");
    Gradient d = g.differentiate(seeds, wrt);
    requireNoCopies(d);
    Map<String, Tensor> out = ort.evaluate(d.graph(), inputs);
    Map<String, Tensor> joined = joined(d, inputs);

    JsonNode bounds = c.model.get("points").get(c.point).get("fp32_vs_fp64");
    double largest = compared.keySet().stream().mapToDouble(k -> max(torch.get(k))).max().orElse(0);
    for (String output : seeds.keySet()) {
      Tensor want = torch.get(p + "out." + output);
      close(output, want, out.get(output).toDoubles(), 1e-6, 10 * bounds.get("out").asDouble());
    }
    for (Map.Entry<String, List<JsonNode>> e : compared.entrySet()) {
      Tensor want = padded(c, e.getValue().getFirst(), torch.get(e.getKey()), torch);
      double[] got = new double[(int) want.elements()];
      for (JsonNode weight : e.getValue()) {
        String name = d.gradients().get(weight.get("init").asText());
        close(name, out.get(name), joined.get(name).toDoubles(), 1e-3 * largest, 4e-6);
        double[] part = torchLayout(weight, out.get(name), want);
        Arrays.setAll(got, i -> got[i] + part[i]);
      }
      String kind = e.getKey().split("\\.")[2];
      JsonNode bound = bounds.get(kind.equals("fused") ? "param" : kind);
      close(e.getKey(), want, got, 1e-3 * largest, 10 * bound.asDouble());
      gradients++;
    }
    points++;
  }

  /** The values of the file whose gradients PyTorch's tensors are; of a tied weight, all copies. */
  private static Map<String, List<JsonNode>> compared(Case c, Map<String, Tensor> torch) {
    Map<String, List<JsonNode>> compared = new LinkedHashMap<>();
    Set<String> zero = new LinkedHashSet<>();
    c.model.get("points").get(c.point).get("zero_gradient").forEach(z -> zero.add(z.asText()));
    for (String key : torch.keySet()) {
      String[] parts = key.split("\\.", 4);
      if (!key.startsWith(c.prefix() + "grad.") || zero.contains(parts[3])) {
        continue;
      }
      JsonNode found =
          switch (parts[2]) {
            case "in" -> value(parts[3]);
            case "embed" -> value(c.file.path("embed_values").path(parts[3]).asText(null));
            case "fused" -> c.file.path("fused_weights").path(parts[3]);
            default -> c.file.path("weights").path(parts[3]);
          };
      if (found.path("init").isTextual()) {
        List<JsonNode> weights = new ArrayList<>(List.of(found));
        found.path("copies").forEach(weights::add);
        compared.put(key, weights);
      }
    }
    return compared;
  }

  /**
   * An embedding with a padding index leaves that row's gradient out in PyTorch, which a graph does
   * not know; it is the sum of the gradients of the embedding where the index was read.
   */
  private static Tensor padded(
      Case c, JsonNode weight, Tensor gradient, Map<String, Tensor> torch) {
    JsonNode padding = weight.path("padding");
    if (padding.isMissingNode()) {
      return gradient;
    }
    long index = padding.get("index").asLong();
    Tensor ids = torch.get(c.prefix() + "in." + padding.get("ids").asText());
    Tensor embedded = torch.get(c.prefix() + "grad.embed." + padding.get("embed").asText());
    double[] whole = gradient.toDoubles();
    int width = (int) gradient.dim(1);
    for (long i = 0; i < ids.elements(); i++) {
      for (int j = 0; j < width && ids.get(i) == index; j++) {
        whole[(int) index * width + j] += embedded.get(i * width + j);
      }
    }
    return Tensor.ofDoubles(whole, gradient.shape());
  }

  /** A value that has PyTorch's layout. */
  private static JsonNode value(String name) {
    return new ObjectMapper().createObjectNode().put("init", name).put("transform", "identity");
  }

  /** A transposed weight would be a second copy of it; only convolutions are worth one. */
  private static void requireNoCopies(Gradient d) {
    for (Node node : d.graph().nodes()) {
      assertTrue(
          d.original().producer(node.output(0)) != null
              || !node.op().equals("Transpose")
              || d.original().constant(node.input(0)) == null
              || d.original().users(node.input(0)).stream().allMatch(n -> n.op().equals("Conv")),
          "a transposed copy of a weight: " + node);
    }
  }

  /**
   * The gradients when the graph is cut in two and the activations are handed over; not the same
   * bits, since the runtime fuses nodes unless the values between them are outputs.
   */
  private Map<String, Tensor> joined(Gradient d, Map<String, Tensor> inputs) {
    Split halves = d.split();
    Map<String, Tensor> handed = new LinkedHashMap<>(inputs);
    handed.putAll(ort.evaluate(halves.forward(), only(halves.forward(), inputs)));
    return ort.evaluate(halves.backward(), only(halves.backward(), handed));
  }

  private static Map<String, Tensor> only(Graph g, Map<String, Tensor> inputs) {
    Map<String, Tensor> some = new LinkedHashMap<>(inputs);
    some.keySet().retainAll(g.inputs());
    return some;
  }

  /** A gradient of the file's layout in that of PyTorch. */
  private static double[] torchLayout(JsonNode weight, Tensor gradient, Tensor like) {
    double[] values = gradient.toDoubles();
    double[] out = new double[(int) like.elements()];
    switch (weight.get("transform").asText()) {
      case "identity" -> System.arraycopy(values, 0, out, 0, out.length);
      case "gates" -> {
        JsonNode order = weight.get("gate_order");
        int block = out.length / order.size();
        int start = weight.get("flat_offset").asInt();
        for (int i = 0; i < order.size(); i++) {
          System.arraycopy(values, start + i * block, out, order.get(i).asInt() * block, block);
        }
      }
      case "transpose", "transpose+reshape" -> {
        int[] perm = new int[weight.get("perm").size()];
        Arrays.setAll(perm, i -> weight.get("perm").get(i).asInt());
        for (int i = 0; i < out.length; i++) {
          out[i] = values[permuted(i, like.shape(), perm)];
        }
      }
      default -> throw new AssertionError("an unknown transform: " + weight);
    }
    return out;
  }

  /** Where element {@code i} of a tensor lies after its axes were put into another order. */
  private static int permuted(int i, long[] shape, int[] perm) {
    long[] index = new long[shape.length];
    long rest = i;
    for (int axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis];
      rest /= shape[axis];
    }
    long at = 0;
    for (int axis : perm) {
      at = at * shape[axis] + index[axis];
    }
    return (int) at;
  }

  private static double max(Tensor t) {
    return Arrays.stream(t.toDoubles()).map(Math::abs).max().orElse(0);
  }

  private static void close(String what, Tensor want, double[] got, double floor, double relative) {
    double scale = Math.max(max(want), floor);
    double[] expected = want.toDoubles();
    assertEquals(expected.length, got.length, what);
    for (int i = 0; i < got.length; i++) {
      assertEquals(expected[i], got[i], relative * scale, what + " [" + i + "]");
    }
  }
}
