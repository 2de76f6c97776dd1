package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;

/** The checks that every implementation makes before it touches memory. */
final class KernelArguments {
  private KernelArguments() {}

  /** Element type of all float arguments beside a table of this type. */
  static DType real(DType table) {
    return table == DType.F64 ? DType.F64 : DType.F32;
  }

  static void check(TokenSwap a) {
    table("embedding", a.embedding());
    long vocabulary = a.embedding().rows();
    long width = a.embedding().columns();
    DType real = real(a.embedding().dtype());
    if (a.head() != null) {
      table("head", a.head());
      shape("head", a.head(), vocabulary, width);
      type("head", a.head(), a.embedding().dtype());
    }
    long audits = a.gradient().rows();
    shape("gradient", a.gradient(), audits, width);
    type("gradient", a.gradient(), real);
    if (a.alpha() != null || a.lse() != null) {
      if (a.hidden() == null) {
        throw new IllegalArgumentException("hidden is null; alpha and lse need it");
      }
    }
    if (a.hidden() != null) {
      shape("hidden", a.hidden(), audits, width);
      type("hidden", a.hidden(), real);
    }
    if (a.kept() < 1 || a.kept() > Kernels.MAX_KEPT) {
      throw new IllegalArgumentException(
          "kept is " + a.kept() + "; 1 to " + Kernels.MAX_KEPT + " tokens can be kept");
    }
    optional("alpha", a.alpha(), audits, real.bytes());
    optional("bias", a.bias(), vocabulary, real.bytes());
    optional("unigram", a.unigram(), vocabulary, real.bytes());
    optional("allowed", a.allowed(), (vocabulary + 7) / 8, 1);
    if ((a.forbiddenOffsets() == null) != (a.forbiddenIds() == null)) {
      throw new IllegalArgumentException(
          "forbiddenOffsets and forbiddenIds must both be given or both be null");
    }
    if (a.forbiddenOffsets() != null) {
      checkForbidden(a, audits, vocabulary);
    }
    long kept = Math.multiplyExact(audits, (long) a.kept());
    vector("ids", a.ids(), kept, Integer.BYTES);
    vector("scores", a.scores(), kept, real.bytes());
    vector("found", a.found(), audits, Integer.BYTES);
    vector("nans", a.nans(), audits, Long.BYTES);
    optional("lse", a.lse(), audits, real.bytes());
  }

  static void check(TokenSwap a, CoarseTable coarse) {
    check(a);
    shape("coarse", coarse.table(), a.embedding().rows(), a.embedding().columns());
    type("coarse", coarse.table(), DType.I8);
    vector("coarse scale", coarse.scale(), a.embedding().rows(), Float.BYTES);
    vector("coarse error", coarse.error(), a.embedding().rows(), Float.BYTES);
  }

  private static void checkForbidden(TokenSwap a, long audits, long vocabulary) {
    vector("forbiddenOffsets", a.forbiddenOffsets(), audits + 1, Long.BYTES);
    long previous = a.forbiddenOffsets().get(Tensor.LONG, 0);
    if (previous < 0) {
      throw new IllegalArgumentException(
          "forbiddenOffsets[0] is " + previous + "; it must be >= 0");
    }
    for (long i = 1; i <= audits; i++) {
      long offset = a.forbiddenOffsets().get(Tensor.LONG, i * Long.BYTES);
      if (offset < previous) {
        throw new IllegalArgumentException(
            "forbiddenOffsets[" + i + "] is " + offset + ", below its predecessor " + previous);
      }
      vector("forbiddenIds", a.forbiddenIds(), offset, Integer.BYTES);
      for (long j = previous; j < offset; j++) {
        int id = a.forbiddenIds().get(Tensor.INT, j * Integer.BYTES);
        if (id < 0 || id >= vocabulary) {
          throw new IllegalArgumentException(
              "forbiddenIds["
                  + j
                  + "] is "
                  + id
                  + "; the vocabulary has "
                  + vocabulary
                  + " tokens");
        }
        if (j > previous && id <= a.forbiddenIds().get(Tensor.INT, (j - 1) * Integer.BYTES)) {
          throw new IllegalArgumentException(
              "forbiddenIds[" + j + "] is " + id + "; the ids of an audit must ascend");
        }
      }
      previous = offset;
    }
  }

  static void check(HeadRows a) {
    table("head", a.head());
    shape("hidden", a.hidden(), a.hidden().rows(), a.head().columns());
    type("hidden", a.hidden(), real(a.head().dtype()));
    optional("bias", a.bias(), a.head().rows(), real(a.head().dtype()).bytes());
    vector("targets", a.targets(), a.hidden().rows(), Integer.BYTES);
    for (long r = 0; r < a.hidden().rows(); r++) {
      int target = a.targets().get(Tensor.INT, r * Integer.BYTES);
      if (target < 0 || target >= a.head().rows()) {
        throw new IllegalArgumentException(
            "targets["
                + r
                + "] is "
                + target
                + "; the vocabulary has "
                + a.head().rows()
                + " tokens");
      }
    }
  }

  static void checkOutputs(
      HeadRows a,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin) {
    check(a);
    long rows = a.hidden().rows();
    int real = real(a.head().dtype()).bytes();
    vector("logProb", logProb, rows, real);
    vector("lse", lse, rows, real);
    vector("argMax", argMax, rows, Integer.BYTES);
    vector("margin", margin, rows, real);
  }

  static void checkBackward(HeadRows a, MemorySegment lse, MemorySegment weight, Matrix gradient) {
    check(a);
    long rows = a.hidden().rows();
    DType real = real(a.head().dtype());
    vector("lse", lse, rows, real.bytes());
    vector("weight", weight, rows, real.bytes());
    shape("gradient", gradient, rows, a.head().columns());
    type("gradient", gradient, real);
    apart("gradient", gradient.data(), "hidden", a.hidden().data());
  }

  static void check(FourierAblate a) {
    if (a.modulus() < 3 || a.modulus() % 2 == 0) {
      throw new IllegalArgumentException(
          "modulus is " + a.modulus() + "; it must be odd and at least 3");
    }
    real("logits are", a.logits());
    long pairs = (long) a.modulus() * a.modulus();
    shape("logits", a.logits(), pairs, a.modulus());
    if (a.familyCount() < 0 || a.groupCount() < 1 || a.groupCount() > 255) {
      throw new IllegalArgumentException(
          "familyCount is "
              + a.familyCount()
              + " and groupCount "
              + a.groupCount()
              + "; at least 0, and 1 to 255, are needed");
    }
    bytes("families", a.families(), (long) a.familyCount() * a.frequencies(), 1);
    bytes("groups", a.groups(), pairs, a.groupCount());
    vector("loss", a.loss(), (long) a.familyCount() * a.groupCount(), Double.BYTES);
    apart("loss", a.loss(), "logits", a.logits().data());
  }

  static void checkTogether(List<FourierAblate> together) {
    if (together.size() > Kernels.MAX_ABLATIONS) {
      throw new IllegalArgumentException(
          together.size()
              + " ablations are asked for together; at most "
              + Kernels.MAX_ABLATIONS
              + " are possible");
    }
    for (FourierAblate a : together) {
      FourierAblate first = together.getFirst();
      if (a.modulus() != first.modulus() || !a.logits().equals(first.logits())) {
        throw new IllegalArgumentException(
            "ablations that are asked for together have different logits or moduli; give those of"
                + " one network");
      }
    }
  }

  /** Bytes of at most {@code most}. */
  private static void bytes(String name, MemorySegment s, long n, int most) {
    vector(name, s, n, 1);
    for (long i = 0; i < n; i++) {
      int value = s.get(ValueLayout.JAVA_BYTE, i) & 0xff;
      if (value > most) {
        throw new IllegalArgumentException(
            name + "[" + i + "] is " + value + "; it must be 0 to " + most);
      }
    }
  }

  static void checkAdamw(Matrix p, Matrix g, Matrix m, Matrix v, Kernels.AdamW s, long step) {
    real("parameters are", p);
    Matrix[] all = {p, g, m, v};
    String[] names = {"parameters", "gradients", "firstMoments", "secondMoments"};
    for (int i = 0; i < all.length; i++) {
      shape(names[i], all[i], p.rows(), p.columns());
      type(names[i], all[i], p.dtype());
      for (int j = 0; j < i; j++) {
        apart(names[i], all[i].data(), names[j], all[j].data());
      }
    }
    if (step < 1) {
      throw new IllegalArgumentException("step is " + step + "; steps count from 1");
    }
    range("beta1", s.beta1());
    range("beta2", s.beta2());
    if (!(s.epsilon() >= 0)) {
      throw new IllegalArgumentException("epsilon is " + s.epsilon() + "; it must be >= 0");
    }
    if (!Double.isFinite(s.learningRate()) || !Double.isFinite(s.weightDecay())) {
      throw new IllegalArgumentException(
          "learningRate is "
              + s.learningRate()
              + " and weightDecay "
              + s.weightDecay()
              + "; both must be finite");
    }
  }

  static void check(GrokPairs a) {
    GrokWeights w = a.weights();
    vector("first", a.first(), 0, Integer.BYTES);
    long pairs = a.count();
    vector("second", a.second(), pairs, Integer.BYTES);
    vector("labels", a.labels(), pairs, Integer.BYTES);
    vector("losses", a.losses(), pairs, Double.BYTES);
    vector("best", a.best(), pairs, Integer.BYTES);
    ids("first", a.first(), pairs, 0, w.numbers());
    ids("second", a.second(), pairs, 0, w.numbers());
    ids("labels", a.labels(), pairs, 0, w.outputs());
    if (a.gradients() == null) {
      return;
    }
    Tensor[] weights = w.all();
    Tensor[] gradients = a.gradients().all();
    for (int i = 0; i < weights.length; i++) {
      boolean same =
          weights[i] == null
              ? gradients[i] == null
              : gradients[i] != null && Arrays.equals(weights[i].shape(), gradients[i].shape());
      if (!same) {
        throw new IllegalArgumentException(
            "a gradient is " + gradients[i] + ", its weight is " + weights[i]);
      }
      for (int j = 0; weights[i] != null && j < weights.length; j++) {
        if (weights[j] != null) {
          apart("a gradient", gradients[i].data(), "a weight", weights[j].data());
        }
      }
    }
  }

  /** The type of a matrix of which kernels take float32 and float64. */
  private static DType real(String subject, Matrix m) {
    if (m.dtype() != DType.F32 && m.dtype() != DType.F64) {
      throw new IllegalArgumentException(subject + " " + m.dtype() + "; F32 or F64 is needed");
    }
    return m.dtype();
  }

  private static void ids(String name, MemorySegment ids, long count, int least, long limit) {
    for (long i = 0; i < count; i++) {
      int id = ids.get(Tensor.INT, i * Integer.BYTES);
      if (id < least || id >= limit) {
        throw new IllegalArgumentException(
            name + "[" + i + "] is " + id + "; it must be from " + least + " to " + (limit - 1));
      }
    }
  }

  /** Checks the arguments and gives the first row of each sequence. */
  static long[] check(SuffixAttention a, Matrix out) {
    DType real = real("queries are", a.queries());
    long width = a.queries().columns();
    if (a.heads() < 1 || width % a.heads() != 0 || width / a.heads() > Kernels.MAX_HEAD_WIDTH) {
      throw new IllegalArgumentException(
          "heads is "
              + a.heads()
              + "; they must divide the "
              + width
              + " columns of the queries into at most "
              + Kernels.MAX_HEAD_WIDTH
              + " each");
    }
    if (a.positions() < 1 || a.sequences() < 0 || !Double.isFinite(a.scale())) {
      throw new IllegalArgumentException(
          "positions is %d, sequences %d, scale %s; positions >= 1, sequences >= 0 and a finite scale are needed"
              .formatted(a.positions(), a.sequences(), a.scale()));
    }
    vector("starts", a.starts(), a.sequences(), Integer.BYTES);
    long[] first = new long[a.sequences() + 1];
    for (int s = 0; s < a.sequences(); s++) {
      int start = a.starts().get(Tensor.INT, (long) s * Integer.BYTES);
      if (start < 0 || start >= a.positions()) {
        throw new IllegalArgumentException(
            "starts[" + s + "] is " + start + "; there are " + a.positions() + " positions");
      }
      if (start > 0) {
        checkPast(a, s, start);
      }
      first[s + 1] = first[s] + a.positions() - start;
    }
    long rows = first[a.sequences()];
    boolean last = a.queries().rows() == a.sequences();
    shape("queries", a.queries(), last ? a.sequences() : rows, width);
    operand("keys", a.keys(), rows, a, out);
    operand("values", a.values(), rows, a, out);
    if (a.pastKeys() != null) {
      operand("pastKeys", a.pastKeys(), a.pastKeys().rows(), a, out);
      operand("pastValues", a.pastValues(), a.pastKeys().rows(), a, out);
    }
    shape("out", out, a.queries().rows(), width);
    type("out", out, real);
    apart("out", out.data(), "queries", a.queries().data());
    return first;
  }

  private static void operand(String name, Matrix m, long rows, SuffixAttention a, Matrix out) {
    shape(name, m, rows, a.queries().columns());
    type(name, m, a.queries().dtype());
    apart("out", out.data(), name, m.data());
  }

  private static void checkPast(SuffixAttention a, int sequence, int start) {
    long prompts = a.pastKeys() == null ? 0 : a.pastKeys().rows() / a.positions();
    vector("prompts", a.prompts(), a.sequences(), Integer.BYTES);
    int prompt = a.prompts().get(Tensor.INT, (long) sequence * Integer.BYTES);
    if (prompt < 0 || prompt >= prompts) {
      throw new IllegalArgumentException(
          "starts[%d] is %d, behind prompt %d; pastKeys holds %d prompts"
              .formatted(sequence, start, prompt, prompts));
    }
  }

  static void check(PatchRows a, Matrix middle) {
    DType real = real("live is", a.live());
    long columns = a.live().columns();
    long width = a.output().columns();
    long copies = Math.multiplyExact((long) a.count(), a.heads());
    if (a.count() < 0
        || a.heads() < 1
        || columns % a.heads() != 0
        || columns / a.heads() > Kernels.MAX_HEAD_WIDTH) {
      throw new IllegalArgumentException(
          "count is %d, heads %d; count >= 0, and heads that divide the %d columns of live into at most %d each, are needed"
              .formatted(a.count(), a.heads(), columns, Kernels.MAX_HEAD_WIDTH));
    }
    long bank = a.bank() == null ? 0 : a.bank().rows();
    List<Matrix> outputs = a.norm() == null ? List.of(middle) : List.of(middle, a.norm().out());
    patched("live", a.live(), a.live().rows(), columns, real, outputs);
    if (a.bank() != null) {
      patched("bank", a.bank(), bank, columns, real, outputs);
    }
    patched("output", a.output(), columns, width, real, outputs);
    patched("stream", a.stream(), a.live().rows(), width, real, outputs);
    patched("middle", middle, copies, width, real, List.of());
    if (a.norm() != null) {
      patched("normed", a.norm().out(), copies, width, real, List.of(middle));
      optional("scale", a.norm().scale(), width, real.bytes());
      optional("bias", a.norm().bias(), width, real.bytes());
      if (!(a.norm().epsilon() >= 0)) {
        throw new IllegalArgumentException(
            "epsilon is " + a.norm().epsilon() + "; it must be >= 0");
      }
    }
    vector("rows", a.rows(), a.count(), Integer.BYTES);
    vector("sources", a.sources(), copies, Integer.BYTES);
    ids("rows", a.rows(), a.count(), 0, a.live().rows());
    ids("sources", a.sources(), copies, -1, a.live().rows() + bank);
  }

  private static void patched(
      String name, Matrix m, long rows, long columns, DType real, List<Matrix> outputs) {
    shape(name, m, rows, columns);
    type(name, m, real);
    for (Matrix out : outputs) {
      apart("an output", out.data(), name, m.data());
    }
  }

  static void check(EdgeScores a) {
    DType real = real("changes are", a.changes());
    long columns = a.changes().columns();
    long readers = a.gradients().rows();
    shape("gradients", a.gradients(), readers, columns);
    type("gradients", a.gradients(), real);
    if (a.width() < 1 || columns % a.width() != 0) {
      throw new IllegalArgumentException(
          "width is " + a.width() + "; it must divide the " + columns + " columns of changes");
    }
    vector("before", a.before(), readers, Integer.BYTES);
    ids("before", a.before(), readers, 0, a.changes().rows() + 1);
    vector("scores", a.scores(), Math.multiplyExact(a.changes().rows(), readers), Double.BYTES);
    apart("scores", a.scores(), "changes", a.changes().data());
    apart("scores", a.scores(), "gradients", a.gradients().data());
  }

  private static void range(String name, double beta) {
    if (!(beta >= 0 && beta < 1)) {
      throw new IllegalArgumentException(name + " is " + beta + "; it must be in [0,1)");
    }
  }

  private static void table(String name, Matrix m) {
    if (m.dtype() != DType.F32
        && m.dtype() != DType.F64
        && m.dtype() != DType.F16
        && m.dtype() != DType.BF16) {
      throw new IllegalArgumentException(
          name + " is a table of " + m.dtype() + "; F32, F16, BF16 or F64 is needed");
    }
    if (m.rows() < 1 || m.rows() > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          name + " has " + m.rows() + " rows; a vocabulary has 1 to " + Integer.MAX_VALUE);
    }
  }

  private static void shape(String name, Matrix m, long rows, long columns) {
    if (m.rows() != rows || m.columns() != columns) {
      throw new IllegalArgumentException(
          name
              + " is ["
              + m.rows()
              + ","
              + m.columns()
              + "]; ["
              + rows
              + ","
              + columns
              + "] is needed");
    }
  }

  private static void type(String name, Matrix m, DType dtype) {
    if (m.dtype() != dtype) {
      throw new IllegalArgumentException(name + " is " + m.dtype() + "; " + dtype + " is needed");
    }
  }

  private static void optional(String name, MemorySegment s, long elements, int bytes) {
    if (s != null) {
      vector(name, s, elements, bytes);
    }
  }

  private static void vector(String name, MemorySegment s, long elements, int bytes) {
    long needed = Math.multiplyExact(elements, (long) bytes);
    if (s == null || s.byteSize() < needed) {
      throw new IllegalArgumentException(
          name
              + (s == null ? " is null" : " has " + s.byteSize() + " bytes")
              + "; "
              + needed
              + " are needed");
    }
  }

  /** A tensor of that type and shape; -1 in the shape is any size from 1 on. */
  static Tensor tensor(String name, Tensor t, DType type, long... shape) {
    boolean fits = t != null && t.dtype() == type && t.rank() == shape.length;
    for (int i = 0; fits && i < shape.length; i++) {
      fits = shape[i] == -1 ? t.dim(i) >= 1 : t.dim(i) == shape[i];
    }
    if (!fits) {
      StringBuilder dims = new StringBuilder();
      for (long d : shape) {
        dims.append(dims.isEmpty() ? "" : ", ").append(d == -1 ? "any" : Long.toString(d));
      }
      throw new IllegalArgumentException(
          name + " is " + t + "; " + type + "[" + dims + "] is needed");
    }
    return t;
  }

  static void apart(String name, MemorySegment a, String other, MemorySegment b) {
    if (a.byteSize() > 0 && b.byteSize() > 0 && a.asOverlappingSlice(b).isPresent()) {
      throw new IllegalArgumentException(name + " overlaps " + other + "; they must be apart");
    }
  }
}
