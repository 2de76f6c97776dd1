package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#fourierAblate}: the cross-entropy of (a + b) mod p after families of
 * frequencies of a + b were removed, or kept alone (Nanda et al. 2023, arXiv 2301.05217, section 5;
 * specs/grokking.md 7.3).
 *
 * <pre>
 *   D_k(s,c) = alpha_k(c) cos(w_k s) + beta_k(c) sin(w_k s),  w_k = 2 pi k / p,  k = 1 .. h = (p-1)/2
 * </pre>
 *
 * is the projection of the logits on cos(w_k (a+b)) and sin(w_k (a+b)), at s = a + b; D of a family
 * is the sum of those of its frequencies.
 *
 * @param logits L [p p, p], F32 or F64; row a p + b
 * @param modulus p, odd, at least 3
 * @param families bytes [F,h], 1 where frequency column + 1 is in the family, else 0
 * @param familyCount F
 * @param groups bytes [p p]: the mean that a pair counts in, 1 to G; 0 for none
 * @param groupCount G, 1 to 255
 * @param keep false: L - D; true: the mean of L over all pairs + D
 * @param rotation whether only the multiple of cos(w_k (a+b-c)) counts as D_k
 * @param loss out, F64 [F,G], nats; NaN where a group has no pair, and all where a logit is not
 *     finite
 */
public record FourierAblate(
    Matrix logits,
    int modulus,
    MemorySegment families,
    int familyCount,
    MemorySegment groups,
    int groupCount,
    boolean keep,
    boolean rotation,
    MemorySegment loss) {
  /** h, the number of frequencies. */
  public int frequencies() {
    return (modulus - 1) / 2;
  }
}
