package io.assay.audit;

import java.util.Locale;

/**
 * A checked claim about this implementation.
 *
 * @param id {@code METHOD.N}, with N of section 8 of the method's specification, or {@code
 *     METHOD.N.part}
 * @param statement the claim in words
 * @param expected what it should give
 * @param got what it gave
 * @param bound how far they may be apart
 * @param status {@code passed}, {@code failed} or {@code skipped}
 * @param reason why it was skipped or failed; empty otherwise
 * @param seconds wall time
 */
public record Statement(
    String id,
    String statement,
    String expected,
    String got,
    String bound,
    String status,
    String reason,
    double seconds) {

  public boolean failed() {
    return status.equals("failed");
  }

  /** A number that must come within {@code bound} of {@code expected}. */
  public static Statement near(String id, String words, double expected, double got, double bound) {
    return of(
        id, words, number(expected), number(got), number(bound), Math.abs(got - expected) <= bound);
  }

  /** A number that must be at least {@code expected}. */
  public static Statement atLeast(String id, String words, double expected, double got) {
    return of(id, words, ">= " + number(expected), number(got), "", got >= expected);
  }

  /** A value that must be the very same. */
  public static Statement same(String id, String words, Object expected, Object got) {
    return of(id, words, expected.toString(), got.toString(), "equal", expected.equals(got));
  }

  public static Statement skipped(String id, String words, String reason) {
    return new Statement(id, words, "", "", "", "skipped", reason, 0);
  }

  private static Statement of(
      String id, String words, String expected, String got, String bound, boolean holds) {
    String reason = holds ? "" : "expected " + expected + ", got " + got;
    return new Statement(id, words, expected, got, bound, holds ? "passed" : "failed", reason, 0);
  }

  public Statement took(double time) {
    return new Statement(id, statement, expected, got, bound, status, reason, time);
  }

  private static String number(double x) {
    return String.format(Locale.ROOT, "%.10g", x);
  }
}
