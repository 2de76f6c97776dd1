package io.assay.engine.run;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/**
 * Which process works on which run of a ledger: byte {@code id} of a file beside it is locked as
 * long as one works on run {@code id}. The system releases the locks of a process that ends.
 */
final class RunLocks {
  private static final String FILE = "ledger.lock";
  private static final int TRIES = 20;
  private static final long PAUSE_NANOS = 5_000_000;

  /**
   * Open files by ledger. They stay open as long as the process: on POSIX systems closing any
   * channel of a file releases all locks that the process has on it.
   */
  private static final Map<Path, FileChannel> OPEN = new HashMap<>();

  private RunLocks() {}

  /**
   * The lock of a run, or null if a process works on it. {@link #isHeld} in another process holds
   * it for a moment, which is waited for.
   */
  static FileLock of(Path ledger, long id) {
    FileLock lock = lock(ledger, id, 1);
    for (int i = 0; lock == null && i < TRIES; i++) {
      LockSupport.parkNanos(PAUSE_NANOS);
      lock = lock(ledger, id, 1);
    }
    return lock;
  }

  /** The lock of all runs, or null if one of them is held. */
  static FileLock ofAll(Path ledger) {
    return lock(ledger, 0, Long.MAX_VALUE);
  }

  /** Whether a process works on a run; where the folder cannot be written none does. */
  static boolean isHeld(Path ledger, long id) {
    if (!Files.exists(ledger.resolveSibling(FILE)) || !Files.isWritable(ledger.getParent())) {
      return false;
    }
    try (FileLock lock = lock(ledger, id, 1)) {
      return lock == null;
    } catch (IOException e) {
      throw new InputException("the lock of a run cannot be released", e);
    }
  }

  private static FileLock lock(Path ledger, long first, long count) {
    try {
      return channel(ledger).tryLock(first, count, false);
    } catch (OverlappingFileLockException e) {
      return null;
    } catch (IOException e) {
      throw new InputException(
          "the file " + ledger.resolveSibling(FILE) + " cannot be locked: " + e.getMessage(), e);
    }
  }

  private static FileChannel channel(Path ledger) throws IOException {
    synchronized (OPEN) {
      FileChannel channel = OPEN.get(ledger);
      if (channel == null) {
        channel =
            FileChannel.open(
                ledger.resolveSibling(FILE), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        OPEN.put(ledger, channel);
      }
      return channel;
    }
  }
}
