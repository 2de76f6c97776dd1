package io.assay.engine.session;

/** The runtime failed while it ran a graph; the message holds the runtime's own words. */
public final class SessionException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  SessionException(String message, Throwable cause) {
    super(message, cause);
  }
}
