package io.assay.fuzz;

import com.sun.management.ThreadMXBean;
import io.assay.engine.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;

/**
 * What holds for every parser and every input: it returns or throws an {@link InputException} of
 * one line, in ten seconds of processor time, and takes at most 64 MB and four times the file's
 * size.
 */
public final class Parsers {
  private static final long MEMORY_BYTES = 64L << 20;
  private static final int FILE_TIMES = 4;
  private static final double SECONDS = 10;
  private static final int LONGEST_MESSAGE = 1000;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
  private static final BufferPoolMXBean OFF_HEAP =
      ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
          .filter(pool -> pool.getName().equals("direct"))
          .findFirst()
          .orElseThrow();

  private Parsers() {}

  /** Something that reads a file and everything that follows from it. */
  public interface Parser {
    void read() throws IOException;
  }

  /** A new folder for a target's files, removed at the end of the process. */
  public static Path folder() {
    try {
      Path folder = Files.createTempDirectory("assay-fuzz");
      Runtime.getRuntime().addShutdownHook(new Thread(() -> remove(folder)));
      return folder;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void remove(Path folder) {
    try (var files = Files.walk(folder)) {
      files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
    } catch (IOException e) {
      // What is left lies in the temporary folder.
    }
  }

  /** Writes {@code bytes} to a file and checks what a parser makes of it. */
  public static void check(Path file, byte[] bytes, Parser parser) {
    try {
      Files.write(file, bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    long most = MEMORY_BYTES + FILE_TIMES * (long) bytes.length;
    // The first call of all may load and unpack libraries: what takes too much is asked again.
    if (taken(parser) > most) {
      long taken = taken(parser);
      if (taken > most) {
        throw new AssertionError(taken + " bytes taken for a file of " + bytes.length);
      }
    }
  }

  /** Memory in bytes that one call takes, an upper bound: what it gives back in between counts. */
  private static long taken(Parser parser) {
    long heap = THREADS.getCurrentThreadAllocatedBytes();
    long offHeap = OFF_HEAP.getMemoryUsed();
    long start = THREADS.getCurrentThreadCpuTime();
    try {
      parser.read();
    } catch (InputException e) {
      requireOneLine(e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    double seconds = (THREADS.getCurrentThreadCpuTime() - start) * 1e-9;
    if (seconds > SECONDS) {
      throw new AssertionError("it took " + seconds + " s of processor time");
    }
    return THREADS.getCurrentThreadAllocatedBytes()
        - heap
        + Math.max(0, OFF_HEAP.getMemoryUsed() - offHeap);
  }

  private static void requireOneLine(InputException e) {
    String message = e.getMessage();
    if (message.isBlank() || message.length() > LONGEST_MESSAGE) {
      throw new AssertionError("a message that is empty or too long: " + message, e);
    }
    if (message.chars().anyMatch(Character::isISOControl)) {
      throw new AssertionError("a message with control characters: " + message, e);
    }
  }
}
