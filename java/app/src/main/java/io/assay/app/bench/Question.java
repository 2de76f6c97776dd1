package io.assay.app.bench;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Locale;

/** A piece of work that can be done in Assay's way and in another way, with its lower bound. */
public interface Question extends AutoCloseable {
  /** Stable name, such as {@code token_swap_topk}. */
  String name();

  /** Sizes, types and tier, as people read them. */
  String shape();

  /** What the other way is. */
  String baseline();

  /** Work that Assay's way cannot avoid. */
  Cost cost();

  /** Work that the other way cannot avoid, in the form it has. */
  default Cost baselineCost() {
    return cost();
  }

  /**
   * Does the work in both ways and compares the answers with the oracle.
   *
   * @throws IllegalStateException if an answer is wrong; the message has question and difference
   */
  void check();

  /** Does the work once in Assay's way. */
  void ours();

  /** Does the work once in the other way. */
  void other();

  /** Seconds of one unit of work in Assay's way. */
  default double secondsOfOurs(Clock clock) {
    return clock.seconds(this::ours);
  }

  /** Seconds of one unit of work in the other way. */
  default double secondsOfOther(Clock clock) {
    return clock.seconds(this::other);
  }

  /** The clock of this question, where the engine has so many threads. */
  default Clock clock(int threads) {
    return Clock.of(threads);
  }

  /**
   * Seconds that Assay's way may take at most.
   *
   * @param otherSeconds what the other way took
   * @return NaN where nothing but the ratio is asked
   */
  default double bound(double otherSeconds) {
    return Double.NaN;
  }

  /**
   * Bytes that Assay's way may take at its peak, above what the process held before.
   *
   * @return NaN where the peak is not asked for
   */
  default double boundBytes() {
    return Double.NaN;
  }

  /**
   * How often each way is timed, after a first time that does not count; the median counts. With 1
   * there is no first time: {@link #check} has done as much.
   */
  default int runs() {
    return 15;
  }

  @Override
  void close();

  /**
   * Operations (a multiplication and an addition are two) and bytes moved.
   *
   * @param operations floating-point operations
   * @param bytes bytes that must come from memory or go there
   */
  record Cost(double operations, double bytes) {
    /** Of work that has no roof here: it waits for the disk. */
    static final Cost NONE = new Cost(Double.NaN, Double.NaN);

    /** Seconds that the roof allows: arithmetic or memory, whichever binds. */
    double seconds(Roof roof) {
      return Math.max(operations / roof.operationsPerSecond(), bytes / roof.bytesPerSecond());
    }
  }

  /** What is read before and after: the time of day, or what the calling thread has used. */
  enum Clock {
    WALL,
    /** Fair beside other programs, but blind to other threads: for work on one thread. */
    CPU;

    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    /** The clock for work on so many threads. */
    public static Clock of(int threads) {
      return threads == 1 ? CPU : WALL;
    }

    /** Nanoseconds. */
    long now() {
      return this == WALL ? System.nanoTime() : THREADS.getCurrentThreadCpuTime();
    }

    double seconds(Runnable work) {
      long start = now();
      work.run();
      return (now() - start) / 1e9;
    }

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }
}
