package io.assay.audit.ioi;

/** Which of the two names of a prompt's first clause comes first. */
public enum Form {
  /** The one who acts (S), then the answer (IO). */
  BABA,
  /** The answer (IO), then the one who acts (S). */
  ABBA
}
