package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Models of every float type, {@code y = tanh(x A + b) C}: imported, run, hooked and
 * differentiated, against the formulas in doubles. Their numbers are eighths, which all types hold.
 */
class ModelsDtypeTest {
  private static final int ROWS = 3;
  private static final int IN = 4;
  private static final int INNER = 5;
  private static final int OUT = 2;

  @TempDir private Path folder;

  private final Random random = new Random(3);

  private double[] eighths(int n) {
    return random.ints(n, -15, 16).mapToDouble(k -> k / 8.0).toArray();
  }

  /** The numbers in a type, by their bits. */
  private static Tensor tensor(DType dtype, double[] values, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, shape);
    for (int i = 0; i < values.length; i++) {
      switch (dtype) {
        case F16 -> t.data().set(Tensor.SHORT, 2L * i, Float.floatToFloat16((float) values[i]));
        case BF16 ->
            t.data()
                .set(
                    Tensor.SHORT, 2L * i, (short) (Float.floatToIntBits((float) values[i]) >>> 16));
        default -> t.set(i, values[i]);
      }
    }
    return t;
  }

  private static double[] product(double[] a, double[] b, int n, int k, int m) {
    double[] c = new double[n * m];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < m; j++) {
        for (int l = 0; l < k; l++) {
          c[i * m + j] += a[i * k + l] * b[l * m + j];
        }
      }
    }
    return c;
  }

  private static double[] transposed(double[] a, int rows, int columns) {
    double[] t = new double[a.length];
    for (int i = 0; i < a.length; i++) {
      t[i % columns * rows + i / columns] = a[i];
    }
    return t;
  }

  @ParameterizedTest
  @CsvSource({"F32,1,1e-6", "F16,10,1e-6", "BF16,16,1e-6", "F64,11,1e-13"})
  void everyFloatTypeRuns(DType dtype, long code, double tolerance) throws Exception {
    double[] a = eighths(IN * INNER);
    double[] b = eighths(INNER);
    double[] c = eighths(INNER * OUT);
    boolean half = dtype.bytes() == 2;
    Graph.Builder g = Graph.builder("g").opset("", 18);
    g.input("x", new TensorType(dtype, List.of(TensorType.Dim.symbol("n"), TensorType.Dim.of(IN))));
    g.constant("A", tensor(dtype, a, IN, INNER));
    g.constant("b", tensor(dtype, b, INNER));
    g.constant("C", tensor(dtype, c, INNER, OUT));
    g.op("xA", "MatMul", Map.of(), "x", "A");
    g.op("pre", "Add", Map.of(), "xA", "b");
    g.op("hidden", "Tanh", Map.of(), "pre");
    String inner = "hidden";
    if (half) {
      // As exporters write what must not be computed in 16 bits.
      g.op("wide", "Cast", Map.of("to", 1L), "hidden");
      inner = g.op("narrow", "Cast", Map.of("to", code), "wide");
    }
    g.output(g.op("y", "MatMul", Map.of(), inner, "C"));
    Path file = folder.resolve("model.onnx");
    g.build().write(file);
    Files.writeString(
        folder.resolve("model.hooks.json"), "{\"hooks\": {\"my.hook_hidden\": \"hidden\"}}");

    Path home = Files.createDirectory(folder.resolve("home"));
    String at = home.toString();
    JsonNode imported = json("models", "import", file.toString(), "--out", at, "--json");
    assertEquals(half ? 3 : 0, imported.at("/result/widened").intValue());
    Path model = Path.of(imported.at("/result/path").textValue());
    JsonNode info = json("models", "info", model.toString(), "--json").get("result");
    DType computed = half ? DType.F32 : dtype;
    assertEquals(computed + "[n,4]", info.at("/inputs/x").textValue());
    assertEquals(half ? 3 : 0, info.get("widened").intValue());

    double[] x = eighths(ROWS * IN);
    double[] seed = eighths(ROWS * OUT);
    Map<String, Tensor> got =
        run(
            model,
            Map.of("x", tensor(dtype, x, ROWS, IN), "seed", tensor(dtype, seed, ROWS, OUT)),
            "--expose",
            "my.hook_hidden",
            "--gradient-of",
            "y=seed",
            "--wrt",
            "x",
            "--wrt",
            "A",
            "--wrt",
            "my.hook_hidden");

    double[] hidden = product(x, a, ROWS, IN, INNER);
    for (int i = 0; i < hidden.length; i++) {
      hidden[i] = Math.tanh(hidden[i] + b[i % INNER]);
    }
    double[] dHidden = product(seed, transposed(c, INNER, OUT), ROWS, OUT, INNER);
    double[] dPre = new double[hidden.length];
    Arrays.setAll(dPre, i -> dHidden[i] * (1 - hidden[i] * hidden[i]));
    Map<String, double[]> want = new LinkedHashMap<>();
    want.put("y", product(hidden, c, ROWS, INNER, OUT));
    want.put("my.hook_hidden", hidden);
    want.put("grad.my.hook_hidden", dHidden);
    want.put("grad.A", product(transposed(x, ROWS, IN), dPre, IN, ROWS, INNER));
    want.put("grad.x", product(dPre, transposed(a, IN, INNER), ROWS, INNER, IN));
    assertEquals(want.keySet(), got.keySet());
    want.forEach(
        (name, values) -> {
          assertEquals(computed, got.get(name).dtype(), name);
          assertArrayEquals(values, got.get(name).toDoubles(), 10 * tolerance, name);
        });
  }

  /** The runtime has no float64 convolution: the sentence says how the model runs. */
  @Test
  void whatTheRuntimeLacksInFloat64RunsInFloat32() throws Exception {
    double[] x = eighths(6);
    double[] w = eighths(3);
    Graph.Builder g = Graph.builder("g").opset("", 18);
    g.input("x", TensorType.of(DType.F64, 1, 1, 6));
    g.constant("w", tensor(DType.F64, w, 1, 1, 3));
    g.output(g.op("y", "Conv", Map.of(), "x", "w"));
    Path file = folder.resolve("conv.onnx");
    g.build().write(file);
    Path in = folder.resolve("in.safetensors");
    Path out = folder.resolve("out.safetensors");
    Safetensors.write(in, Map.of("x", tensor(DType.F64, x, 1, 1, 6)), Map.of());
    String[] call = {
      "models", "run", file.toString(), "--inputs", in.toString(), "--out", out.toString()
    };
    Answer.to(call).assertRefused("compute in float32 (--dtype f32)");
    Map<String, Tensor> got =
        run(file, Map.of("x", tensor(DType.F32, x, 1, 1, 6)), "--dtype", "f32");
    double[] want = new double[4];
    for (int i = 0; i < 4; i++) {
      want[i] = x[i] * w[0] + x[i + 1] * w[1] + x[i + 2] * w[2];
    }
    assertArrayEquals(want, got.get("y").toDoubles(), 1e-6);
  }

  /** Floats of a file become those of the run: exactly to float64, rounded to float32. */
  @Test
  void floatsOfAFileAreConverted() {
    Graph.Builder g = Graph.builder("g").opset("", 18);
    g.input("x", TensorType.of(DType.F32, 2));
    g.constant("w", tensor(DType.F32, new double[] {3, 5}, 2));
    g.output(g.op("y", "Mul", Map.of(), "x", "w"));
    Path file = folder.resolve("scale.onnx");
    g.build().write(file);
    double[] x = {0.1, 1 / 3.0};
    double[] rounded = {0.1f, 1 / 3f};
    Tensor single = tensor(DType.F32, x, 2);
    String[] wide = {"--dtype", "f64", "--gradient-of", "y=x", "--wrt", "x"};
    Map<String, Tensor> got = run(file, Map.of("x", single), wide);
    assertEquals(DType.F64, got.get("grad.x").dtype());
    assertArrayEquals(new double[] {3 * rounded[0], 5 * rounded[1]}, got.get("y").toDoubles());
    assertArrayEquals(got.get("y").toDoubles(), got.get("grad.x").toDoubles());
    got = run(file, Map.of("x", tensor(DType.F64, x, 2)));
    assertArrayEquals(new double[] {3 * 0.1f, 5 * (1 / 3f)}, got.get("y").toDoubles());
  }

  /** The largest number of a type, which masks are made of, does not become infinite. */
  @Test
  void aFiniteNumberStaysFinite() throws Exception {
    Graph.Builder g = Graph.builder("g").opset("", 18);
    g.input("x", TensorType.of(DType.F64, 2));
    g.constant("mask", tensor(DType.F64, new double[] {-Double.MAX_VALUE, 0}, 2));
    g.output(g.op("y", "Mul", Map.of(), "x", "mask"));
    Path file = folder.resolve("mask.onnx");
    g.build().write(file);
    Map<String, Tensor> got =
        run(file, Map.of("x", tensor(DType.F32, new double[] {0, 1}, 2)), "--dtype", "f32");
    assertArrayEquals(new double[] {0, 0}, got.get("y").toDoubles(), 1e-30);
  }

  private Map<String, Tensor> run(Path model, Map<String, Tensor> inputs, String... more) {
    Path in = folder.resolve("in.safetensors");
    Path out = folder.resolve("out.safetensors");
    Safetensors.write(in, inputs, Map.of());
    List<String> call =
        new ArrayList<>(
            List.of(
                "models",
                "run",
                model.toString(),
                "--inputs",
                in.toString(),
                "--out",
                out.toString()));
    call.addAll(List.of(more));
    Answer answer = Answer.to(call.toArray(String[]::new));
    assertEquals(0, answer.status(), answer.err());
    assertTrue(Files.exists(out));
    return Safetensors.read(out).tensors();
  }

  private static JsonNode json(String... args) throws Exception {
    Answer answer = Answer.to(args);
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }
}
