package io.assay.engine.kernel;

import io.assay.engine.device.CudaDriver;
import io.assay.engine.device.Driver;
import io.assay.engine.device.FakeDriver;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;

/**
 * The CUDA kernels against the portable ones, by way of a device's memory. It needs no test
 * library, so that it also runs on a machine that has a device and little else: {@code java -cp ...
 * io.assay.engine.kernel.CudaCheck}.
 */
final class CudaCheck {
  private static final double BOUND = 1e-5;

  private final Random random = new Random(20230308);
  private final Arena arena = Arena.ofShared();

  /** The CUDA library that is named and there, or null. */
  static Path library() {
    String named = System.getProperty(CudaLibrary.PROPERTY);
    return named != null && Files.exists(Path.of(named)) ? Path.of(named) : null;
  }

  /** The installed driver; for the emulated library one whose devices are memory of the host. */
  static Driver driver() {
    return library().getFileName().toString().contains("emulated")
        ? new FakeDriver(1, 1L << 32, true)
        : CudaDriver.open();
  }

  /** Two engines' kernels on the device 0. */
  public static void main(String[] args) {
    Driver driver = driver();
    try (Kernels first = CudaKernels.open(driver, 0, 1);
        Kernels second = CudaKernels.open(driver, 0, 1)) {
      for (Kernels cuda : new Kernels[] {first, second, first}) {
        new CudaCheck().check(cuda);
      }
    }
    System.out.println("CUDA kernels by way of Java agree with the portable ones");
  }

  private static void require(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  /** Every kernel; an {@link AssertionError} tells what differs. */
  void check(Kernels cuda) {
    try (Kernels oracle = new PortableKernels(1)) {
      heads(cuda, oracle, DType.F32, false);
      heads(cuda, oracle, DType.F64, true);
      swap(cuda, oracle);
      adamw(cuda, oracle);
      fourier(cuda, oracle);
      attention(cuda, oracle);
      patch(cuda, oracle);
      edges(cuda, oracle);
    } finally {
      arena.close();
    }
  }

  /** Rows behind each other with a gap of two elements, which holds 7. */
  private Matrix matrix(DType type, int rows, int columns) {
    Tensor t = Tensor.allocate(arena, type, rows, columns + 2);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, i % (columns + 2) < columns ? random.nextGaussian() : 7);
    }
    return new Matrix(t.data(), type, rows, columns, columns + 2);
  }

  private Tensor vector(DType type, int elements) {
    Tensor t = Tensor.allocate(arena, type, elements);
    for (long i = 0; i < elements; i++) {
      t.set(i, random.nextGaussian());
    }
    return t;
  }

  private Matrix copy(Matrix m) {
    MemorySegment data = arena.allocate(m.data().byteSize(), 64).copyFrom(m.data());
    return new Matrix(data, m.dtype(), m.rows(), m.columns(), m.stride());
  }

  private static void same(String what, Tensor got, Tensor want) {
    for (long i = 0; i < want.elements(); i++) {
      double off = Math.abs(got.get(i) - want.get(i));
      require(
          off <= BOUND * (1 + Math.abs(want.get(i))),
          what + "[" + i + "] is " + got.get(i) + ", not " + want.get(i));
    }
  }

  /** Gaps too: they are what they were. */
  private static void same(String what, Matrix got, Matrix want) {
    long elements = want.data().byteSize() / want.dtype().bytes();
    same(
        what,
        Tensor.of(got.dtype(), got.data(), elements),
        Tensor.of(want.dtype(), want.data(), elements));
  }

  private void heads(Kernels cuda, Kernels oracle, DType type, boolean kept) {
    int rows = 19;
    int vocabulary = 301;
    Matrix table = matrix(type, vocabulary, 17);
    Matrix hidden = matrix(type, rows, 17);
    MemorySegment targets = arena.allocate(4L * rows);
    for (int r = 0; r < rows; r++) {
      targets.set(Tensor.INT, 4L * r, random.nextInt(vocabulary));
    }
    if (kept) {
      cuda.keep(table);
    }
    HeadRows args = new HeadRows(hidden, table, vector(type, vocabulary).data(), targets);
    Tensor weight = vector(type, rows);
    Matrix ours = matrix(type, rows, 17);
    Matrix theirs = copy(ours);
    Tensor[][] out = new Tensor[2][];
    for (int k = 0; k < 2; k++) {
      Kernels kernels = k == 0 ? cuda : oracle;
      Tensor[] o = new Tensor[4];
      for (int i = 0; i < 4; i++) {
        o[i] = Tensor.allocate(arena, i == 3 ? DType.I32 : type, rows);
      }
      kernels.headRows(args, o[0].data(), o[1].data(), o[3].data(), o[2].data());
      kernels.headBackward(args, o[1].data(), weight.data(), k == 0 ? ours : theirs);
      out[k] = o;
    }
    for (int i = 0; i < 4; i++) {
      same("output " + i + " of headRows", out[0][i], out[1][i]);
    }
    same("gradient of headBackward", ours, theirs);
  }

  private void swap(Kernels cuda, Kernels oracle) {
    int audits = 5;
    int kept = 7;
    int vocabulary = 301;
    Matrix table = matrix(DType.F32, vocabulary, 17);
    cuda.keep(table);
    Matrix gradient = matrix(DType.F32, audits, 17);
    Matrix hidden = matrix(DType.F32, audits, 17);
    MemorySegment allowed = arena.allocate((vocabulary + 7) / 8).fill((byte) 0x5b);
    Tensor[][] out = new Tensor[2][];
    for (int k = 0; k < 2; k++) {
      Tensor ids = Tensor.allocate(arena, DType.I32, audits, kept);
      Tensor scores = Tensor.allocate(arena, DType.F32, audits, kept);
      Tensor found = Tensor.allocate(arena, DType.I32, audits);
      Tensor nans = Tensor.allocate(arena, DType.I64, audits);
      Tensor alpha = Tensor.ofFloats(new float[] {1, 2, 0, 3, 4}, audits);
      (k == 0 ? cuda : oracle)
          .tokenSwapTopk(
              new TokenSwap(
                  table,
                  null,
                  gradient,
                  hidden,
                  alpha.data(),
                  null,
                  null,
                  allowed,
                  null,
                  null,
                  kept,
                  ids.data(),
                  scores.data(),
                  found.data(),
                  nans.data(),
                  null));
      out[k] = new Tensor[] {ids, scores, found, nans};
    }
    for (int i = 0; i < 4; i++) {
      same("output " + i + " of tokenSwapTopk", out[0][i], out[1][i]);
    }
  }

  private void adamw(Kernels cuda, Kernels oracle) {
    Matrix g = matrix(DType.F32, 3, 50);
    Matrix[] ours = {matrix(DType.F32, 3, 50), matrix(DType.F32, 3, 50), matrix(DType.F32, 3, 50)};
    for (int r = 0; r < 3; r++) {
      for (int i = 0; i < 50; i++) {
        long at = 4L * (r * ours[2].stride() + i);
        ours[2].data().set(Tensor.FLOAT, at, Math.abs(ours[2].data().get(Tensor.FLOAT, at)));
      }
    }
    Matrix[] theirs = Arrays.stream(ours).map(this::copy).toArray(Matrix[]::new);
    Kernels.AdamW settings = new Kernels.AdamW(1e-2, 0.9, 0.99, 1e-8, 0.1);
    cuda.adamw(ours[0], g, ours[1], ours[2], settings, 3);
    oracle.adamw(theirs[0], g, theirs[1], theirs[2], settings, 3);
    for (int i = 0; i < 3; i++) {
      same("matrix " + i + " of adamw", ours[i], theirs[i]);
    }
  }

  private void fourier(Kernels cuda, Kernels oracle) {
    int p = 7;
    Matrix logits = matrix(DType.F32, p * p, p);
    MemorySegment families =
        arena.allocate(6).copyFrom(MemorySegment.ofArray(new byte[] {1, 0, 0, 0, 1, 1}));
    MemorySegment groups = arena.allocate(p * p).fill((byte) 1);
    Tensor ours = Tensor.allocate(arena, DType.F64, 2, 1);
    Tensor theirs = Tensor.allocate(arena, DType.F64, 2, 1);
    cuda.fourierAblate(
        new FourierAblate(logits, p, families, 2, groups, 1, false, false, ours.data()));
    oracle.fourierAblate(
        new FourierAblate(logits, p, families, 2, groups, 1, false, false, theirs.data()));
    same("loss of fourierAblate", ours, theirs);
  }

  private void attention(Kernels cuda, Kernels oracle) {
    int positions = 5;
    int[] starts = {0, 2, 4};
    int[] prompts = {0, 1, 0};
    int rows = 5 + 3 + 1;
    SuffixAttention args =
        new SuffixAttention(
            matrix(DType.F32, rows, 12),
            matrix(DType.F32, rows, 12),
            matrix(DType.F32, rows, 12),
            matrix(DType.F32, 2 * positions, 12),
            matrix(DType.F32, 2 * positions, 12),
            arena.allocate(12).copyFrom(MemorySegment.ofArray(prompts)),
            arena.allocate(12).copyFrom(MemorySegment.ofArray(starts)),
            3,
            positions,
            2,
            0.4);
    Matrix ours = matrix(DType.F32, rows, 12);
    Matrix theirs = copy(ours);
    cuda.suffixAttention(args, ours);
    oracle.suffixAttention(args, theirs);
    same("out of suffixAttention", ours, theirs);
  }

  private void patch(Kernels cuda, Kernels oracle) {
    int[] rows = {4, 0, 2};
    int[] sources = {7, -1, 4, 5, 2, 8};
    MemorySegment scale = vector(DType.F32, 40).data();
    Matrix[] live = {matrix(DType.F32, 5, 12), matrix(DType.F32, 4, 12)};
    Matrix output = matrix(DType.F32, 12, 40);
    Matrix stream = matrix(DType.F32, 5, 40);
    Matrix[] ours = {matrix(DType.F32, 6, 40), matrix(DType.F32, 6, 40)};
    Matrix[] theirs = Arrays.stream(ours).map(this::copy).toArray(Matrix[]::new);
    for (int k = 0; k < 2; k++) {
      Matrix[] out = k == 0 ? ours : theirs;
      PatchRows args =
          new PatchRows(
              live[0],
              live[1],
              output,
              stream,
              arena.allocate(12).copyFrom(MemorySegment.ofArray(rows)),
              arena.allocate(24).copyFrom(MemorySegment.ofArray(sources)),
              3,
              2,
              new PatchRows.Norm(true, scale, null, 1e-5, out[1]));
      (k == 0 ? cuda : oracle).patchRows(args, out[0]);
    }
    for (int i = 0; i < 2; i++) {
      same("matrix " + i + " of patchRows", ours[i], theirs[i]);
    }
  }

  private void edges(Kernels cuda, Kernels oracle) {
    Matrix changes = matrix(DType.F32, 4, 15);
    Matrix gradients = matrix(DType.F32, 3, 15);
    MemorySegment before = arena.allocate(12).copyFrom(MemorySegment.ofArray(new int[] {2, 0, 4}));
    Tensor ours = Tensor.allocate(arena, DType.F64, 4, 3);
    Tensor theirs = Tensor.allocate(arena, DType.F64, 4, 3);
    cuda.edgeScores(new EdgeScores(changes, gradients, before, 5, ours.data()));
    oracle.edgeScores(new EdgeScores(changes, gradients, before, 5, theirs.data()));
    same("scores of edgeScores", ours, theirs);
  }
}
