package io.assay.engine;

/**
 * The user's input is wrong: a file, an option or an argument. The message is one sentence that
 * names the thing, the value and the remedy; the command line prints it and ends with status 2, the
 * server answers with it.
 */
public class InputException extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;
  private static final int LONGEST_HEAD = 500;
  private static final int LONGEST_TAIL = 200;

  public InputException(String message) {
    super(oneLine(message));
  }

  public InputException(String message, Throwable cause) {
    super(oneLine(message), cause);
  }

  /** Messages quote what files hold: names of any length, line ends, terminal commands. */
  private static String oneLine(String message) {
    String line =
        String.valueOf(message)
            .strip()
            .replaceAll("[\\p{Cntrl}\\x{80}-\\x{9f}\\x{2028}\\x{2029}]+", " ");
    int length = line.length();
    return length <= LONGEST_HEAD + LONGEST_TAIL
        ? line
        : line.substring(0, LONGEST_HEAD) + " ... " + line.substring(length - LONGEST_TAIL);
  }
}
