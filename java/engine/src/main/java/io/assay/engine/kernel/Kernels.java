package io.assay.engine.kernel;

import io.assay.engine.InputException;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The hot loops, in one implementation: {@code portable} (plain Java, the oracle and the fallback),
 * {@code cpu} (C++) or {@code cuda}. All implementations pass one contract test.
 *
 * <p>Every method checks sizes, strides and types against its segments before it touches memory and
 * throws {@link IllegalArgumentException} naming argument, value and limit. Work of size zero is
 * done at once and writes nothing. Results have the same bits for every thread count. Methods may
 * be called from several threads; each call uses at most the threads this object was opened with.
 */
public interface Kernels extends AutoCloseable {
  /** Largest number of tokens that {@link #tokenSwapTopk} keeps. */
  int MAX_KEPT = 256;

  /** Widest head of {@link #suffixAttention} and {@link #patchRows}. */
  int MAX_HEAD_WIDTH = 1024;

  /** Most ablations of {@link #fourierAblate(List)}; {@code ASSAY_MAX_ABLATIONS}. */
  int MAX_ABLATIONS = 8;

  /**
   * The best implementation for the CPU: the native one on its best tier, or the portable one where
   * there is no native library. The properties {@code assay.kernels} ({@code cpu} or {@code
   * portable}) and {@code assay.cpu.tier} ({@code scalar}, {@code avx2}, {@code avx512}, {@code
   * amx}, {@code neon}) force a choice.
   *
   * @param threads most threads that one call uses, at least 1
   * @throws InputException if what is forced cannot be had; the message has the reason
   */
  static Kernels open(int threads) {
    if (threads < 1) {
      throw new InputException("threads is " + threads + "; at least 1 is needed");
    }
    String tier = System.getProperty("assay.cpu.tier");
    String forced = System.getProperty("assay.kernels", tier == null ? "" : "cpu");
    return switch (forced) {
      case "portable" -> new PortableKernels(threads);
      case "cpu" -> CpuKernels.open(threads, tier);
      case "" ->
          NativeLibrary.reason() == null
              ? CpuKernels.open(threads, null)
              : new PortableKernels(threads);
      default ->
          throw new InputException(
              "the property assay.kernels is " + forced + "; cpu and portable are known");
    };
  }

  /** {@code portable}, {@code cpu} or {@code cuda}. */
  String implementation();

  /**
   * Instruction set in use: {@code java}, {@code scalar}, {@code avx2}, {@code avx512}, {@code
   * amx}, {@code neon}; on a device its number: {@code device 0}.
   */
  String tier();

  /** Scores all tokens as swaps and keeps the best; see {@link TokenSwap}. */
  void tokenSwapTopk(TokenSwap args);

  /**
   * The same, with the same bits, perhaps faster.
   *
   * @param coarse of {@code args.embedding()}; used where that is F32 and the head is tied to it
   */
  default void tokenSwapTopk(TokenSwap args, CoarseTable coarse) {
    KernelArguments.check(args, coarse);
    tokenSwapTopk(args);
  }

  /**
   * For each row: log-probability of its target, log-sum-exp, arg max (lowest id among equals) and
   * margin between the best and the second logit, by online log-sum-exp. NaN logits make all four
   * outputs of the row NaN (arg max -1).
   *
   * @param logProb out [R], nats
   * @param lse out [R]
   * @param argMax out, int32 [R]
   * @param margin out [R], not negative; +infinity where V is 1
   */
  void headRows(
      HeadRows rows,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin);

  /**
   * Gradient of a weighted sum of target log-probabilities with respect to the hidden rows: {@code
   * gradient[r] = weight[r] * (W[target[r]] - sum_v exp(logit[r,v] - lse[r]) W[v])}.
   *
   * @param lse [R], as {@link #headRows} gave it
   * @param weight [R]
   * @param gradient out [R,d]
   */
  void headBackward(HeadRows rows, MemorySegment lse, MemorySegment weight, Matrix gradient);

  /**
   * Mean cross-entropies of (a + b) mod p after families of frequencies were removed or kept alone;
   * see {@link FourierAblate}. In double, with full relative precision however small a loss is.
   */
  void fourierAblate(FourierAblate args);

  /**
   * Several of them over the same logits and modulus, which are then read once where the
   * implementation can; each has the bits that it has by itself.
   *
   * @throws IllegalArgumentException if they are not of the same logits and modulus, or are more
   *     than {@link #MAX_ABLATIONS}
   */
  default void fourierAblate(List<FourierAblate> together) {
    KernelArguments.checkTogether(together);
    together.forEach(this::fourierAblate);
  }

  /**
   * One AdamW step in place (Loshchilov and Hutter 2019, algorithm 2, as PyTorch applies it):
   * {@code p -= lr*decay*p; m = b1*m + (1-b1)*g; v = b2*v + (1-b2)*g*g; p -= lr * (m/(1-b1^t)) /
   * (sqrt(v/(1-b2^t)) + eps)}. All four vectors are F32 or all F64, of equal length and disjoint.
   * Denormals of their type count as zero, which is where the moments go of what gets no gradient.
   *
   * @param step t, from 1
   */
  void adamw(
      Matrix parameters,
      Matrix gradients,
      Matrix firstMoments,
      Matrix secondMoments,
      AdamW settings,
      long step);

  /**
   * The one-layer transformer of Nanda et al. 2023 (section 3) on inputs {@code a b =}, without
   * norms, at its last position: losses of N pairs and the gradients of their mean
   * (specs/grokking.md 2.1). Cross-entropies, and the exponentials of differences of logits, are
   * double, so that a loss of 1e-8 keeps its digits (3.4). A NaN or infinite logit makes the pair's
   * loss NaN.
   */
  void grok(GrokPairs args);

  /**
   * The same network on all pairs, in double: logits, and sums of the neurons' activations; see
   * {@link GrokGrid}. An input that is not finite makes what it reaches not finite.
   */
  void grokGrid(GrokGrid args);

  /**
   * Causal attention of sequences that share the keys and values of whole prompts, which are read
   * where they lie: where q, k and v are the columns of one head, {@code out[t] = sum_{u <= t} p[u]
   * v[u], p = softmax(scale * q.k[u])}. A NaN score makes the row's head NaN.
   *
   * @param out out, of the shape of the queries
   */
  void suffixAttention(SuffixAttention args, Matrix out);

  /**
   * Rows of the stream in each of which one head is patched, with i = rows[n] and j = sources[n,h]:
   * {@code middle[n H + h] = stream[i] + (z[j] - z[i])(h) W_O(h)}; and their norm where asked for.
   * Sums run over the columns of the head, ascending. A NaN stays in its copy; where the source is
   * -1 the copy has the bits of the row.
   *
   * @param middle out [N H,d]
   */
  void patchRows(PatchRows args, Matrix middle);

  /**
   * Scores of edges: {@code scores[s,e] = sum over positions p and columns c of changes[s, p d + c]
   * * gradients[e, p d + c]} where source s comes before destination e, else 0; see {@link
   * EdgeScores}. The products of a position are summed in the matrices' type, the positions in
   * double. NaN and infinities show in the edges of their row.
   */
  void edgeScores(EdgeScores args);

  /**
   * Says that a table will not change until these kernels are closed, and not go away: a device
   * copies it once, and not for every call that has it among its inputs.
   */
  default void keep(Matrix table) {}

  /** Hyperparameters of {@link #adamw}. */
  record AdamW(
      double learningRate, double beta1, double beta2, double epsilon, double weightDecay) {}

  /** Releases threads and native handles; a second call does nothing. */
  @Override
  void close();
}
