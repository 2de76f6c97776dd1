package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#patchRows}: for each of N rows of a run, and each head, a copy of the
 * row in which that head alone has the output of a source row (specs/ioi.md 7). Rows of live and
 * bank are counted through: L + b is row b of the bank.
 *
 * <p>All matrices are F32 or all F64; a head is {@code columns / heads} neighbouring columns, at
 * most {@link Kernels#MAX_HEAD_WIDTH}.
 *
 * @param live [L,H d_h], what the heads of the run give
 * @param bank [B,H d_h], what else they may give; null: nothing
 * @param output W_O [H d_h,d]
 * @param stream [L,d], with the heads' part in it
 * @param rows int32 [N], in [0,L)
 * @param sources int32 [N,H], in [-1,L+B); -1: the copy is the row as it is
 * @param count N
 * @param heads H
 * @param norm of the copies, or null where it is not asked for
 */
public record PatchRows(
    Matrix live,
    Matrix bank,
    Matrix output,
    Matrix stream,
    MemorySegment rows,
    MemorySegment sources,
    int count,
    int heads,
    Norm norm) {
  /**
   * {@code (x - mean) / sqrt(variance + epsilon) * scale + bias} of a row of d.
   *
   * @param centred false: the mean counts as 0 (RMS norm)
   * @param scale [d], or null: 1
   * @param bias [d], or null: 0
   * @param out out [N H,d]
   */
  public record Norm(
      boolean centred, MemorySegment scale, MemorySegment bias, double epsilon, Matrix out) {}
}
