package io.assay.engine;

/**
 * The user's input is wrong: a file, an option or an argument. The message is one sentence that
 * names the thing, the value and the remedy; the command line prints it and ends with status 2, the
 * server answers with it.
 */
public class InputException extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;

  public InputException(String message) {
    super(message);
  }

  public InputException(String message, Throwable cause) {
    super(message, cause);
  }
}
