package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/**
 * The kernels in plain Java, written from the formulas with double accumulation: the oracle of the
 * others, and what runs where no native library can be had.
 *
 * <p>Every sum runs over ascending indices, so a row's bits depend on nothing but the row. Rows are
 * dealt out to the calling thread and, where more than one thread was asked for, its helpers.
 */
public final class PortableKernels implements Kernels {
  private final int threads;

  /** One thread less than asked for, since the caller works too; they start when first needed. */
  private final ExecutorService helpers;

  /** Kernels that use the calling thread only. */
  public PortableKernels() {
    this(1);
  }

  /**
   * @param threads most threads that one call uses, the calling one among them; at least 1. With
   *     more than one, arguments must not be confined to the calling thread
   */
  public PortableKernels(int threads) {
    this.threads = threads;
    this.helpers =
        threads == 1
            ? null
            : Executors.newFixedThreadPool(
                threads - 1, Thread.ofPlatform().daemon().name("assay-portable-", 1).factory());
  }

  @Override
  public String implementation() {
    return "portable";
  }

  @Override
  public String tier() {
    return "java";
  }

  @Override
  public void tokenSwapTopk(TokenSwap a) {
    KernelArguments.check(a);
    rows(a.gradient().rows(), audit -> swap(a, audit));
  }

  @Override
  public void fourierAblate(FourierAblate a) {
    KernelArguments.check(a);
    PortableFourier.run(a, this::rows);
  }

  private static void swap(TokenSwap a, int audit) {
    DType real = KernelArguments.real(a.embedding().dtype());
    int vocabulary = (int) a.embedding().rows();
    double[] gradient = row(a.gradient(), audit);
    double[] hidden = a.hidden() == null ? null : row(a.hidden(), audit);
    double alpha = a.alpha() == null ? 0 : get(a.alpha(), real, audit);
    Matrix head = a.head() == null ? a.embedding() : a.head();
    double lse = 0;
    if (a.lse() != null) {
      lse = logSumExp(head, a.bias(), real, hidden);
      put(a.lse(), real, audit, lse);
    }
    // The best tokens so far, worst first out: a plain insertion sort over at most 256 entries.
    int[] ids = new int[a.kept()];
    double[] scores = new double[a.kept()];
    int found = 0;
    long nans = 0;
    Forbidden forbidden = new Forbidden(a, audit);
    for (int v = 0; v < vocabulary; v++) {
      if (forbidden.contains(v) || (a.allowed() != null && !bit(a.allowed(), v))) {
        continue;
      }
      double score = dot(a.embedding(), v, gradient);
      if (alpha != 0) {
        double logit = dot(head, v, hidden);
        if (a.bias() != null) {
          logit += get(a.bias(), real, v);
        }
        score += alpha * (logit - lse);
      }
      if (a.unigram() != null) {
        score += get(a.unigram(), real, v);
      }
      if (real == DType.F32) {
        score = (float) score;
      }
      if (Double.isNaN(score)) {
        nans++;
        continue;
      }
      if (found == a.kept() && !(score > scores[found - 1])) {
        continue;
      }
      int at = found < a.kept() ? found++ : found - 1;
      while (at > 0 && score > scores[at - 1]) {
        scores[at] = scores[at - 1];
        ids[at] = ids[at - 1];
        at--;
      }
      scores[at] = score;
      ids[at] = v;
    }
    long first = (long) audit * a.kept();
    for (int i = 0; i < a.kept(); i++) {
      a.ids().set(Tensor.INT, (first + i) * Integer.BYTES, i < found ? ids[i] : -1);
      put(a.scores(), real, first + i, i < found ? scores[i] : Double.NEGATIVE_INFINITY);
    }
    a.found().set(Tensor.INT, (long) audit * Integer.BYTES, found);
    a.nans().set(Tensor.LONG, (long) audit * Long.BYTES, nans);
  }

  /** Walks one audit's ascending list along with ascending tokens. */
  private static final class Forbidden {
    private final MemorySegment ids;
    private final long end;
    private long next;

    Forbidden(TokenSwap a, int audit) {
      ids = a.forbiddenIds();
      next = ids == null ? 0 : a.forbiddenOffsets().get(Tensor.LONG, (long) audit * Long.BYTES);
      end = ids == null ? 0 : a.forbiddenOffsets().get(Tensor.LONG, (audit + 1L) * Long.BYTES);
    }

    boolean contains(int token) {
      while (next < end && ids.get(Tensor.INT, next * Integer.BYTES) < token) {
        next++;
      }
      return next < end && ids.get(Tensor.INT, next * Integer.BYTES) == token;
    }
  }

  @Override
  public void headRows(
      HeadRows a,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin) {
    KernelArguments.checkOutputs(a, logProb, lse, argMax, margin);
    DType real = KernelArguments.real(a.head().dtype());
    int vocabulary = (int) a.head().rows();
    rows(
        a.hidden().rows(),
        r -> {
          double[] hidden = row(a.hidden(), r);
          int target = a.targets().get(Tensor.INT, (long) r * Integer.BYTES);
          double wanted = 0;
          double best = Double.NEGATIVE_INFINITY;
          double second = Double.NEGATIVE_INFINITY;
          int bestId = 0;
          double max = Double.NEGATIVE_INFINITY;
          double sum = 0;
          boolean nan = false;
          for (int v = 0; v < vocabulary; v++) {
            double logit = logit(a, real, hidden, v);
            nan |= Double.isNaN(logit);
            wanted = v == target ? logit : wanted;
            if (v == 0 || logit > best) {
              second = v == 0 ? second : best;
              best = logit;
              bestId = v;
            } else if (logit > second) {
              second = logit;
            }
            if (logit > max) {
              sum = sum * Math.exp(max - logit) + 1;
              max = logit;
            } else if (logit > Double.NEGATIVE_INFINITY) {
              sum += max == Double.POSITIVE_INFINITY ? 1 : Math.exp(logit - max);
            }
          }
          double total =
              nan ? Double.NaN : max == Double.NEGATIVE_INFINITY ? max : max + Math.log(sum);
          put(lse, real, r, total);
          put(logProb, real, r, wanted - total);
          argMax.set(Tensor.INT, (long) r * Integer.BYTES, nan ? -1 : bestId);
          put(margin, real, r, nan ? Double.NaN : best == second ? 0 : best - second);
        });
  }

  @Override
  public void headBackward(HeadRows a, MemorySegment lse, MemorySegment weight, Matrix gradient) {
    KernelArguments.checkBackward(a, lse, weight, gradient);
    DType real = KernelArguments.real(a.head().dtype());
    int vocabulary = (int) a.head().rows();
    int width = (int) a.head().columns();
    rows(
        a.hidden().rows(),
        r -> {
          double[] hidden = row(a.hidden(), r);
          double normaliser = get(lse, real, r);
          double[] sum = new double[width];
          for (int v = 0; v < vocabulary; v++) {
            double p = Math.exp(logit(a, real, hidden, v) - normaliser);
            for (int c = 0; c < width; c++) {
              sum[c] += p * get(a.head(), v, c);
            }
          }
          int target = a.targets().get(Tensor.INT, (long) r * Integer.BYTES);
          double w = get(weight, real, r);
          for (int c = 0; c < width; c++) {
            double g = w * (get(a.head(), target, c) - sum[c]);
            put(gradient.data(), real, r * gradient.stride() + c, g);
          }
        });
  }

  @Override
  public void adamw(Matrix p, Matrix g, Matrix m, Matrix v, AdamW s, long step) {
    KernelArguments.checkAdamw(p, g, m, v, s, step);
    double bias1 = 1 - Math.pow(s.beta1(), step);
    double bias2 = Math.sqrt(1 - Math.pow(s.beta2(), step));
    rows(
        p.rows(),
        r -> {
          for (int c = 0; c < p.columns(); c++) {
            double gradient = normal(g, get(g, r, c));
            double first = s.beta1() * normal(m, get(m, r, c)) + (1 - s.beta1()) * gradient;
            double second =
                s.beta2() * normal(v, get(v, r, c)) + (1 - s.beta2()) * gradient * gradient;
            double decayed = normal(p, get(p, r, c)) * (1 - s.learningRate() * s.weightDecay());
            double step1 =
                s.learningRate() / bias1 * first / (Math.sqrt(second) / bias2 + s.epsilon());
            put(m.data(), m.dtype(), r * m.stride() + c, normal(m, first));
            put(v.data(), v.dtype(), r * v.stride() + c, normal(v, second));
            put(p.data(), p.dtype(), r * p.stride() + c, normal(p, decayed - step1));
          }
        });
  }

  /** Zero in place of what is denormal in the matrix's type. */
  private static double normal(Matrix of, double x) {
    double least = of.dtype() == DType.F32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
    return Math.abs(x) < least ? 0 : x;
  }

  @Override
  public void grok(GrokPairs a) {
    KernelArguments.check(a);
    new PortableGrok(a).run();
  }

  @Override
  public void grokGrid(GrokGrid a) {
    PortableGrid.run(a, this::rows);
  }

  @Override
  public void suffixAttention(SuffixAttention a, Matrix out) {
    long[] first = KernelArguments.check(a, out);
    rows(a.sequences(), s -> attend(a, s, first[s], out));
  }

  private static void attend(SuffixAttention a, int s, long first, Matrix out) {
    int start = a.starts().get(Tensor.INT, (long) s * Integer.BYTES);
    long past =
        start == 0
            ? 0
            : (long) a.prompts().get(Tensor.INT, (long) s * Integer.BYTES) * a.positions();
    boolean last = a.queries().rows() == a.sequences();
    int width = (int) a.queries().columns() / a.heads();
    double[] share = new double[a.positions()];
    for (int t = last ? a.positions() - 1 : start; t < a.positions(); t++) {
      long row = last ? s : first + t - start;
      for (int from = 0; from < width * a.heads(); from += width) {
        double max = Double.NEGATIVE_INFINITY;
        for (int u = 0; u <= t; u++) {
          Matrix keys = u < start ? a.pastKeys() : a.keys();
          long key = u < start ? past + u : first + u - start;
          double dot = 0;
          for (int c = from; c < from + width; c++) {
            dot += get(a.queries(), row, c) * get(keys, key, c);
          }
          share[u] = a.scale() * dot;
          max = Math.max(max, share[u]);
        }
        double sum = 0;
        for (int u = 0; u <= t; u++) {
          share[u] = Math.exp(share[u] - max);
          sum += share[u];
        }
        for (int c = from; c < from + width; c++) {
          double read = 0;
          for (int u = 0; u <= t; u++) {
            Matrix values = u < start ? a.pastValues() : a.values();
            read += share[u] * get(values, u < start ? past + u : first + u - start, c);
          }
          put(out.data(), out.dtype(), row * out.stride() + c, read / sum);
        }
      }
    }
  }

  @Override
  public void patchRows(PatchRows a, Matrix middle) {
    KernelArguments.check(a, middle);
    rows(
        middle.rows(),
        copy -> {
          double[] x = patched(a, copy);
          write(x, middle, copy);
          if (a.norm() != null) {
            // As stored: the norm is that of the rows that were written.
            write(normed(a.norm(), row(middle, copy)), a.norm().out(), copy);
          }
        });
  }

  private static double[] patched(PatchRows a, int copy) {
    int head = copy % a.heads();
    int width = (int) a.live().columns() / a.heads();
    long row = a.rows().get(Tensor.INT, copy / a.heads() * 4L);
    long source = a.sources().get(Tensor.INT, copy * 4L);
    double[] x = row(a.stream(), (int) row);
    if (source < 0) {
      return x;
    }
    long live = a.live().rows();
    Matrix from = source < live ? a.live() : a.bank();
    double[] change = new double[x.length];
    for (int k = head * width; k < (head + 1) * width; k++) {
      double by = get(from, source < live ? source : source - live, k) - get(a.live(), row, k);
      for (int c = 0; c < x.length; c++) {
        change[c] += by * get(a.output(), k, c);
      }
    }
    for (int c = 0; c < x.length; c++) {
      x[c] += change[c];
    }
    return x;
  }

  private static double[] normed(PatchRows.Norm norm, double[] x) {
    double mean = norm.centred() ? Arrays.stream(x).sum() / x.length : 0;
    double variance = Arrays.stream(x).map(v -> (v - mean) * (v - mean)).sum() / x.length;
    double root = Math.sqrt(variance + norm.epsilon());
    DType real = norm.out().dtype();
    for (int c = 0; c < x.length; c++) {
      double scale = norm.scale() == null ? 1 : get(norm.scale(), real, c);
      double bias = norm.bias() == null ? 0 : get(norm.bias(), real, c);
      x[c] = (x[c] - mean) / root * scale + bias;
    }
    return x;
  }

  private static void write(double[] x, Matrix out, int row) {
    for (int c = 0; c < x.length; c++) {
      put(out.data(), out.dtype(), row * out.stride() + c, x[c]);
    }
  }

  @Override
  public void edgeScores(EdgeScores a) {
    KernelArguments.check(a);
    long readers = a.gradients().rows();
    rows(
        readers,
        e -> {
          double[] gradient = row(a.gradients(), e);
          int before = a.before().get(Tensor.INT, e * 4L);
          for (int s = 0; s < a.changes().rows(); s++) {
            double score = s < before ? dot(a.changes(), s, gradient) : 0;
            a.scores().set(Tensor.DOUBLE, (s * readers + e) * 8, score);
          }
        });
  }

  @Override
  public void close() {
    if (helpers != null) {
      helpers.shutdown();
    }
  }

  private static double logit(HeadRows a, DType real, double[] hidden, int v) {
    double logit = dot(a.head(), v, hidden);
    if (a.bias() != null) {
      logit += get(a.bias(), real, v);
    }
    // Logits are rounded as they would be stored, so that ties are those of the stored type.
    return real == DType.F32 ? (float) logit : logit;
  }

  private static double logSumExp(Matrix head, MemorySegment bias, DType real, double[] hidden) {
    double[] logits = new double[(int) head.rows()];
    double max = Double.NEGATIVE_INFINITY;
    for (int v = 0; v < logits.length; v++) {
      logits[v] = dot(head, v, hidden) + (bias == null ? 0 : get(bias, real, v));
      max = Math.max(max, logits[v]);
    }
    if (Double.isInfinite(max)) {
      return max;
    }
    double sum = 0;
    for (double logit : logits) {
      sum += Math.exp(logit - max);
    }
    return max + Math.log(sum);
  }

  private static double dot(Matrix table, int row, double[] x) {
    double sum = 0;
    MemorySegment data = table.data();
    long at = row * table.stride();
    switch (table.dtype()) {
      case F32 -> {
        for (int c = 0; c < x.length; c++) {
          sum += data.get(Tensor.FLOAT, (at + c) * 4) * x[c];
        }
      }
      case F64 -> {
        for (int c = 0; c < x.length; c++) {
          sum += data.get(Tensor.DOUBLE, (at + c) * 8) * x[c];
        }
      }
      default -> {
        for (int c = 0; c < x.length; c++) {
          sum += get(data, table.dtype(), at + c) * x[c];
        }
      }
    }
    return sum;
  }

  private static double[] row(Matrix m, int row) {
    double[] values = new double[(int) m.columns()];
    for (int c = 0; c < values.length; c++) {
      values[c] = get(m, row, c);
    }
    return values;
  }

  private static double get(Matrix m, long row, int column) {
    return get(m.data(), m.dtype(), row * m.stride() + column);
  }

  private static double get(MemorySegment data, DType dtype, long i) {
    return switch (dtype) {
      case F32 -> data.get(Tensor.FLOAT, i * 4);
      case F64 -> data.get(Tensor.DOUBLE, i * 8);
      case F16 -> Float.float16ToFloat(data.get(Tensor.SHORT, i * 2));
      case BF16 -> Float.intBitsToFloat(data.get(Tensor.SHORT, i * 2) << 16);
      default -> throw new IllegalArgumentException("kernels read floats, not " + dtype);
    };
  }

  private static void put(MemorySegment data, DType dtype, long i, double value) {
    if (dtype == DType.F32) {
      data.set(Tensor.FLOAT, i * 4, (float) value);
    } else {
      data.set(Tensor.DOUBLE, i * 8, value);
    }
  }

  private static boolean bit(MemorySegment bits, int i) {
    return (bits.get(ValueLayout.JAVA_BYTE, i >> 3) >> (i & 7) & 1) != 0;
  }

  private void rows(long n, IntConsumer work) {
    int rows = Math.toIntExact(n);
    AtomicInteger next = new AtomicInteger();
    Runnable share =
        () -> {
          for (int row = next.getAndIncrement(); row < rows; row = next.getAndIncrement()) {
            work.accept(row);
          }
        };
    CompletableFuture<?>[] others =
        IntStream.range(1, Math.max(1, Math.min(threads, rows)))
            .mapToObj(i -> CompletableFuture.runAsync(share, helpers))
            .toArray(CompletableFuture[]::new);
    try {
      share.run();
    } finally {
      CompletableFuture.allOf(others).join();
    }
  }
}
