package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#edgeScores}: what S sources change at P positions of d elements each,
 * and the gradients by what E destinations read there (specs/ioi.md 2.8). The matrices are both F32
 * or both F64.
 *
 * @param changes [S,P d]
 * @param gradients [E,P d]
 * @param before int32 [E], in [0,S]: how many sources, the first ones, come before a destination
 * @param width d, divides the columns
 * @param scores out, double [S,E]; 0 where there is no edge
 */
public record EdgeScores(
    Matrix changes, Matrix gradients, MemorySegment before, int width, MemorySegment scores) {}
