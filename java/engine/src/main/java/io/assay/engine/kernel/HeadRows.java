package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#headRows} and {@link Kernels#headBackward}: the output head at R
 * rows, without writing logits (specs/arca.md 7.4).
 *
 * <p>The table is F32, F16, BF16 or F64; other float arguments are F32, or F64 with an F64 table.
 *
 * @param hidden [R,d]
 * @param head W [V,d]; logit[r,v] = W[v].hidden[r] + bias[v]
 * @param bias [V] or null
 * @param targets int32 [R], ids in [0,V)
 */
public record HeadRows(Matrix hidden, Matrix head, MemorySegment bias, MemorySegment targets) {}
