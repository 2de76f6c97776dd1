package io.assay.engine.patch;

/** Which prompt of a pair runs, and which gives the values; the two ask different questions. */
public enum Direction {
  /** Base corrupt, source clean: what is enough to bring the answer back. */
  DENOISE,
  /** Base clean, source corrupt: what the answer needs. */
  NOISE
}
