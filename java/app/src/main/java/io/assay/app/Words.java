package io.assay.app;

/** Texts of a model as people can read them on one line. */
final class Words {
  private Words() {}

  /** Whether {@link #quoted} writes a text so that a shell reads it as it is. */
  static boolean fitsAShell(String text) {
    return text.indexOf('\'') < 0 && text.codePoints().noneMatch(Character::isISOControl);
  }

  /** An argument as one would type it into a shell. */
  static String argument(String text) {
    return text.matches("[\\w@%+=:,./-]+") ? text : "'" + text.replace("'", "'\\''") + "'";
  }

  /** The text in quotes, with control characters written out. */
  static String quoted(String text) {
    StringBuilder out = new StringBuilder("'");
    text.codePoints()
        .forEach(
            c -> {
              switch (c) {
                case '\n' -> out.append("\\n");
                case '\t' -> out.append("\\t");
                case '\r' -> out.append("\\r");
                default -> {
                  if (Character.isISOControl(c)) {
                    out.append("\\x%02x".formatted(c));
                  } else {
                    out.appendCodePoint(c);
                  }
                }
              }
            });
    return out.append('\'').toString();
  }
}
