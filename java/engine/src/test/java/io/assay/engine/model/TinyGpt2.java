package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * A GPT-2 of three layers with random weights, and what transformers and TransformerLens compute
 * with it in float64.
 */
final class TinyGpt2 {
  static final int ROWS = 6;
  static final int LENGTH = 12;

  private TinyGpt2() {}

  static Path folder() {
    try {
      return Path.of(TinyGpt2.class.getResource("/gpt2-tiny/config.json").toURI()).getParent();
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  static Map<String, Tensor> reference() {
    return Safetensors.read(folder().resolve("reference.safetensors")).tensors();
  }

  /** The hook names of the stored activations, in alphabetical order. */
  static List<String> hooks(Map<String, Tensor> reference) {
    return reference.keySet().stream()
        .filter(name -> name.startsWith("act."))
        .map(name -> name.substring("act.".length()))
        .sorted()
        .toList();
  }

  /** Positions {@code from} to {@code to} of the token ids [row, position]. */
  static Tensor ids(Tensor ids, int from, int to) {
    int length = to - from;
    int all = Math.toIntExact(ids.dim(1));
    long[] part = new long[Math.toIntExact(ids.dim(0)) * length];
    for (int i = 0; i < part.length; i++) {
      part[i] = ids.getLong((long) i / length * all + from + i % length);
    }
    return Tensor.ofLongs(part, ids.dim(0), length);
  }

  /** Equal shapes, equal infinities, and finite elements within {@code bound}. */
  static void assertClose(String name, Tensor want, Tensor got, double bound) {
    assertArrayEquals(want.shape(), got.shape(), name);
    for (long i = 0; i < want.elements(); i++) {
      double w = want.get(i);
      double g = got.get(i);
      if (Double.isInfinite(w)) {
        assertEquals(w, g, name + " at " + i);
      } else {
        assertTrue(Math.abs(w - g) <= bound, name + " at " + i + ": " + g + " for " + w);
      }
    }
  }
}
