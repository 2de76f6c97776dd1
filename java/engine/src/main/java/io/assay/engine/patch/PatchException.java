package io.assay.engine.patch;

import io.assay.engine.InputException;

/** An intervention that cannot be carried out, or would say nothing; found before anything runs. */
public final class PatchException extends InputException {
  private static final long serialVersionUID = 1L;

  /** What is wrong. */
  public enum Reason {
    /** The model has no such hook. */
    UNKNOWN_HOOK,
    /** A head, position, row or bank that is not there, or has another shape than the hook. */
    SHAPE,
    /** Every element would be replaced by itself. */
    NO_CHANGE,
    /** No path leads where it should: the receivers are none, or before the sender. */
    NO_PATH
  }

  private final Reason reason;

  PatchException(Reason reason, String message) {
    super(message);
    this.reason = reason;
  }

  public Reason reason() {
    return reason;
  }
}
