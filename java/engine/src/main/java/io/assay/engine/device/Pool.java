package io.assay.engine.device;

import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * Memory of a device that is kept when it is given back, by its size: the shapes of an audit are
 * few and come again. For several threads.
 */
final class Pool {
  private static final long SMALL = 512;
  private static final long LARGE = 1 << 20;

  private final Driver.Context context;
  private final Map<Long, Deque<Block>> free = new HashMap<>();
  private final Set<Block> taken = new HashSet<>();
  private long held;

  Pool(Driver.Context context) {
    this.context = context;
  }

  /** What a request of so many bytes takes: at most a fifth more from 5 MiB on. */
  private static long rounded(long bytes) {
    long step = bytes <= LARGE ? SMALL : LARGE;
    return Math.max(SMALL, Math.multiplyExact(Math.ceilDiv(bytes, step), step));
  }

  /** Gives back to the driver what is not in use, where it has no more, before it gives up. */
  synchronized Block take(long bytes) {
    long size = rounded(bytes);
    Deque<Block> fitting = free.get(size);
    Block block = fitting == null ? null : fitting.poll();
    if (block == null) {
      block = allocate(size);
      held += size;
    }
    taken.add(block);
    return block;
  }

  private Block allocate(long size) {
    try {
      return new Block(context, size);
    } catch (DeviceException e) {
      if (!e.outOfMemory()) {
        throw e;
      }
      release(free.values().stream().flatMap(Deque::stream).toList());
      free.clear();
    }
    try {
      return new Block(context, size);
    } catch (DeviceException e) {
      throw new DeviceException(
          (size >> 20)
              + " MiB are not to be had beside "
              + (held >> 20)
              + " MiB: "
              + e.getMessage());
    }
  }

  synchronized void give(Block block) {
    if (taken.remove(block)) {
      free.computeIfAbsent(block.bytes, size -> new ArrayDeque<>()).push(block);
    }
  }

  /** Bytes that the driver has given and not got back. */
  synchronized long held() {
    return held;
  }

  private void release(Collection<Block> blocks) {
    for (Block block : blocks) {
      block.close();
      held -= block.bytes;
    }
  }

  /** Gives everything back to the driver, what is in use too. */
  synchronized void close() {
    release(taken);
    free.values().forEach(this::release);
    taken.clear();
    free.clear();
  }
}
