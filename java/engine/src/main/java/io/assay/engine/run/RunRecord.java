package io.assay.engine.run;

import java.time.Instant;
import java.util.List;

/**
 * What the ledger knows of a run.
 *
 * @param name name of the run
 * @param method what runs, such as {@code arca.reverse}
 * @param state how it stands
 * @param started when it began, by the clock of that machine
 * @param ended when it was finished or failed; null before
 * @param seconds seconds that all its lives worked, up to what was last written
 * @param units units of work in all; 0 until the method has counted them
 * @param finished units finished
 * @param arguments what the command line was given
 * @param folder working folder of that command
 * @param provenance JSON: what decides the result; null until the run has described itself
 * @param failure why it failed, or null
 * @param result JSON: the envelope of the finished run, or null
 */
public record RunRecord(
    String name,
    String method,
    State state,
    Instant started,
    Instant ended,
    double seconds,
    long units,
    long finished,
    List<String> arguments,
    String folder,
    String provenance,
    String failure,
    String result) {

  public RunRecord {
    arguments = List.copyOf(arguments);
  }

  /** How a run stands. */
  public enum State {
    /** A process works on it. */
    RUNNING,
    /** It ended before it was finished, whether it was asked to or was killed. */
    INTERRUPTED,
    /** It ended with an error; what was finished counts. */
    FAILED,
    FINISHED
  }

  /**
   * A finished unit of work.
   *
   * @param name name of the unit, one of a kind in its run
   * @param finished when it was finished
   * @param result JSON
   */
  public record Unit(String name, Instant finished, String result) {}
}
