package io.assay.engine.train;

import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Weights, their gradients and AdamW's two moments, each in one piece of memory: an update is one
 * call of the kernel for all weights that decay and one for all others. Between two tensors there
 * are zeros up to a multiple of 64 bytes, which stay zeros.
 */
final class Parameters {
  private static final long ALIGNMENT = 64;

  /** Sums that a norm is added up in; the order of its terms is fixed by it. */
  private static final int LANES = 8;

  /** What PyTorch adds to the norm that it divides by. */
  private static final double CLIP_EPSILON = 1e-6;

  private final DType dtype;
  private final long decayed;
  private final long all;
  private final List<MemorySegment> memory = new ArrayList<>();
  private final List<Map<String, Tensor>> views = new ArrayList<>();

  /** Copies the tensors, all of one float type. */
  Parameters(Map<String, Tensor> initial, Predicate<String> decays) {
    Map<String, Long> offsets = new LinkedHashMap<>();
    long at = 0;
    long border = 0;
    for (boolean decaying : new boolean[] {true, false}) {
      for (String name : initial.keySet()) {
        if (decays.test(name) == decaying) {
          offsets.put(name, at);
          long bytes = initial.get(name).data().byteSize();
          at = Math.ceilDiv(at + bytes, ALIGNMENT) * ALIGNMENT;
        }
      }
      border = decaying ? at : border;
    }
    dtype = initial.values().iterator().next().dtype();
    decayed = border / dtype.bytes();
    all = at / dtype.bytes();
    for (int i = 0; i < 4; i++) {
      MemorySegment block = Arena.ofAuto().allocate(at, ALIGNMENT);
      Map<String, Tensor> named = new LinkedHashMap<>();
      initial.forEach(
          (name, t) -> {
            MemorySegment part = block.asSlice(offsets.get(name), t.data().byteSize());
            named.put(name, Tensor.of(dtype, part, t.shape()));
          });
      memory.add(block);
      views.add(Collections.unmodifiableMap(named));
    }
    weights().forEach((name, t) -> t.data().copyFrom(initial.get(name).data()));
  }

  Map<String, Tensor> weights() {
    return views.get(0);
  }

  Map<String, Tensor> gradients() {
    return views.get(1);
  }

  Map<String, Tensor> firstMoments() {
    return views.get(2);
  }

  Map<String, Tensor> secondMoments() {
    return views.get(3);
  }

  /**
   * Scales the gradient down to the length {@code clip} if it is longer.
   *
   * @return the length that it had
   */
  double clip(double clip) {
    double norm = norm();
    double scale = clip / (norm + CLIP_EPSILON);
    if (scale < 1) {
      scale(scale);
    }
    return norm;
  }

  private double norm() {
    MemorySegment g = memory.get(1);
    double[] sums = new double[LANES];
    // The size is a multiple of 64 bytes, so that no element is left over.
    for (long i = 0; i < all; i += LANES) {
      for (int lane = 0; lane < LANES; lane++) {
        double x =
            dtype == DType.F32
                ? g.getAtIndex(Tensor.FLOAT, i + lane)
                : g.getAtIndex(Tensor.DOUBLE, i + lane);
        sums[lane] += x * x;
      }
    }
    double sum = 0;
    for (double s : sums) {
      sum += s;
    }
    return Math.sqrt(sum);
  }

  private void scale(double by) {
    MemorySegment g = memory.get(1);
    for (long i = 0; i < all; i++) {
      if (dtype == DType.F32) {
        g.setAtIndex(Tensor.FLOAT, i, (float) (g.getAtIndex(Tensor.FLOAT, i) * by));
      } else {
        g.setAtIndex(Tensor.DOUBLE, i, g.getAtIndex(Tensor.DOUBLE, i) * by);
      }
    }
  }

  /** One update of all weights; {@code step} counts from 1. */
  void update(Kernels kernels, TrainSpec spec, double rate, long step) {
    update(kernels, spec, rate, spec.weightDecay(), step, 0, decayed);
    update(kernels, spec, rate, 0, step, decayed, all);
  }

  private void update(
      Kernels kernels, TrainSpec spec, double rate, double decay, long step, long from, long to) {
    List<Matrix> parts = new ArrayList<>();
    for (MemorySegment block : memory) {
      long bytes = dtype.bytes();
      MemorySegment part = block.asSlice(from * bytes, (to - from) * bytes);
      parts.add(new Matrix(part, dtype, 1, to - from, to - from));
    }
    kernels.adamw(
        parts.get(0),
        parts.get(1),
        parts.get(2),
        parts.get(3),
        new Kernels.AdamW(rate, spec.beta1(), spec.beta2(), spec.epsilon(), decay),
        step);
  }
}
