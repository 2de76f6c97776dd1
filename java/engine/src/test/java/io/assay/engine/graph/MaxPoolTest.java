package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Gradients of MaxPool by all ways of padding, against the definition: each window hands its
 * gradient to its largest element, and {@code auto_pad} gives the output {@code ceil(size /
 * stride)} places, with the odd element of padding behind (UPPER) or in front (LOWER).
 */
class MaxPoolTest {
  private final Ort ort = new Ort();

  @ParameterizedTest
  @CsvSource({
    "SAME_UPPER, 3, 2, 1, 7, 5",
    "SAME_LOWER, 3, 2, 1, 7, 5",
    "SAME_UPPER, 2, 2, 1, 7, 7",
    "SAME_LOWER, 2, 2, 1, 7, 7",
    "SAME_UPPER, 2, 1, 1, 4, 6",
    "SAME_LOWER, 4, 3, 1, 8, 7",
    "VALID, 3, 2, 1, 8, 7",
    "VALID, 2, 2, 2, 7, 8",
    "NOTSET, 3, 2, 1, 7, 8"
  })
  void eachWindowGivesToItsLargest(
      String auto, int kernel, int stride, int dilation, int height, int width) {
    Graph.Builder b = Graph.builder("pool").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 2, 3, height, width));
    Map<String, Object> attributes = new LinkedHashMap<>();
    attributes.put("kernel_shape", List.of((long) kernel, (long) kernel));
    attributes.put("strides", List.of((long) stride, (long) stride));
    attributes.put("dilations", List.of((long) dilation, (long) dilation));
    attributes.put("auto_pad", auto);
    b.op("y", "MaxPool", attributes, "x");
    Graph g = b.output("y").build().specialise(Map.of(), ort);

    int outHeight = places(auto, height, kernel, stride, dilation);
    int outWidth = places(auto, width, kernel, stride, dilation);
    assertArrayEquals(new long[] {2, 3, outHeight, outWidth}, g.type("y").shape());
    Random random = new Random(6);
    Tensor x = Tensor.allocate(Arena.ofAuto(), DType.F32, 2, 3, height, width);
    for (long i = 0; i < x.elements(); i++) {
      x.set(i, random.nextGaussian() - 3); // below 0, so that padding by zeros would win
    }
    Tensor seed = Tensor.allocate(Arena.ofAuto(), DType.F32, 2, 3, outHeight, outWidth);
    for (long i = 0; i < seed.elements(); i++) {
      seed.set(i, random.nextInt(9) - 4);
    }
    int top = before(auto, height, kernel, stride, dilation);
    int left = before(auto, width, kernel, stride, dilation);
    double[] want = new double[(int) x.elements()];
    double[] values = new double[(int) seed.elements()];
    for (int i = 0; i < values.length; i++) {
      int channel = i / (outHeight * outWidth);
      int y0 = i / outWidth % outHeight * stride - top;
      int x0 = i % outWidth * stride - left;
      int best = -1;
      for (int r = y0; r < y0 + kernel * dilation; r += dilation) {
        for (int c = x0; c < x0 + kernel * dilation; c += dilation) {
          int at = (channel * height + r) * width + c;
          boolean inside = r >= 0 && r < height && c >= 0 && c < width;
          if (inside && (best < 0 || x.get(at) > x.get(best))) {
            best = at;
          }
        }
      }
      assertTrue(best >= 0);
      values[i] = x.get(best);
      want[best] += seed.get(i);
    }
    Gradient d = g.differentiate(Map.of("y", "seed"), List.of("x"));
    Map<String, Tensor> got = ort.evaluate(d.graph(), Map.of("x", x, "seed", seed));
    assertArrayEquals(values, got.get("y").toDoubles());
    // Small integers are summed, exactly.
    assertArrayEquals(want, got.get("x.grad").toDoubles(), 1e-30);
  }

  private static int places(String auto, int size, int kernel, int stride, int dilation) {
    int span = (kernel - 1) * dilation + 1;
    return auto.startsWith("SAME") ? (size + stride - 1) / stride : (size - span) / stride + 1;
  }

  private static int before(String auto, int size, int kernel, int stride, int dilation) {
    if (!auto.startsWith("SAME")) {
      return 0;
    }
    int span = (kernel - 1) * dilation + 1;
    int padding =
        Math.max(0, (places(auto, size, kernel, stride, dilation) - 1) * stride + span - size);
    return auto.equals("SAME_UPPER") ? padding / 2 : (padding + 1) / 2;
  }
}
