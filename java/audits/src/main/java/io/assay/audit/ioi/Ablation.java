package io.assay.audit.ioi;

/** What the output of a head that is knocked out is replaced by. */
public enum Ablation {
  /** Its mean over reference prompts of the same template, at the same position. */
  MEAN,
  /** Its value in the prompt's corrupted partner. */
  RESAMPLE,
  ZERO
}
