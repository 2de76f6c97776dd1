package io.assay.engine.session;

/** The runtime failed while it ran a graph; the message holds the runtime's own words. */
public final class SessionException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Whether the runtime blames a value that it was given, such as an index out of bounds. */
  private final boolean value;

  SessionException(String message, boolean value, Throwable cause) {
    super(message, cause);
    this.value = value;
  }

  /** Whether the runtime blames a value that it was given, such as an index out of bounds. */
  public boolean blamesValue() {
    return value;
  }
}
