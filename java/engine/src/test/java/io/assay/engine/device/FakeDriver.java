package io.assay.engine.device;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * A driver whose devices are memory of the host, and whose streams are threads: work of one is done
 * in order, that of several at the same time; or done at once. It counts what it has given and not
 * got back, and refuses what is closed twice, or used after it was closed.
 */
public final class FakeDriver implements Driver {
  /** A copy lasts at least so long: who does not wait for it comes too early. */
  private static final long COPY_NANOS = 2_000_000;

  private final int devices;
  private final long bytesOfEach;
  private final boolean atOnce;

  /** Of all devices. */
  public final AtomicLong bytes = new AtomicLong();

  /** Contexts, blocks, pinned memory, streams and events. */
  public final AtomicInteger open = new AtomicInteger();

  /** How often memory was asked for. */
  public final AtomicInteger allocations = new AtomicInteger();

  private final List<Throwable> faults = new ArrayList<>();

  public FakeDriver(int devices, long bytesOfEach) {
    this(devices, bytesOfEach, false);
  }

  /**
   * A driver.
   *
   * @param atOnce whether what is queued is done before the call returns, as emulated kernels are
   */
  public FakeDriver(int devices, long bytesOfEach, boolean atOnce) {
    this.devices = devices;
    this.bytesOfEach = bytesOfEach;
    this.atOnce = atOnce;
  }

  /** Lets something else happen on a stream, as a kernel would. */
  public void queue(Stream stream, Runnable kernel) {
    ((Queue) stream).add(kernel);
  }

  /** What went wrong in a stream. */
  public synchronized List<Throwable> faults() {
    return List.copyOf(faults);
  }

  private synchronized void fault(Throwable fault) {
    faults.add(fault);
  }

  @Override
  public int devices() {
    return devices;
  }

  @Override
  public Context open(int device) {
    return new One();
  }

  /** Anything that is closed once. */
  private abstract class Closing implements AutoCloseable {
    private boolean closed;

    Closing() {
      open.incrementAndGet();
    }

    void requireOpen() {
      if (closed) {
        throw new IllegalStateException(getClass().getSimpleName() + " is closed");
      }
    }

    @Override
    public void close() {
      requireOpen();
      closed = true;
      open.decrementAndGet();
    }
  }

  private final class One extends Closing implements Context {
    private final AtomicLong taken = new AtomicLong();

    @Override
    public Memory allocate(long size) {
      requireOpen();
      allocations.incrementAndGet();
      if (taken.addAndGet(size) > bytesOfEach) {
        taken.addAndGet(-size);
        throw new DeviceException("the fake device is full", true);
      }
      return new Host(this, size);
    }

    @Override
    public Pinned pin(long size) {
      requireOpen();
      return new Host(null, size);
    }

    @Override
    public Stream stream() {
      requireOpen();
      return new Queue();
    }

    @Override
    public Event event() {
      requireOpen();
      return new Point();
    }

    @Override
    public void upload(Pinned from, Memory to, long offset, long size, Stream stream) {
      copy((Host) from, 0, (Host) to, offset, size, stream);
    }

    @Override
    public void download(Memory from, long offset, Pinned to, long size, Stream stream) {
      copy((Host) from, offset, (Host) to, 0, size, stream);
    }

    private void copy(Host from, long at, Host to, long offset, long size, Stream stream) {
      queue(
          stream,
          () -> {
            long over = System.nanoTime() + COPY_NANOS;
            while (!atOnce && System.nanoTime() < over) {
              LockSupport.parkNanos(COPY_NANOS); // which may return at once
            }
            from.requireOpen();
            to.requireOpen();
            MemorySegment.copy(from.data, at, to.data, offset, size);
          });
    }
  }

  private final class Host extends Closing implements Memory, Pinned {
    private final One of;
    private final long size;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment data;

    Host(One of, long size) {
      this.of = of;
      this.size = size;
      data = arena.allocate(size, 64).fill((byte) 0x7f);
      bytes.addAndGet(size);
    }

    @Override
    public long address() {
      requireOpen();
      return data.address();
    }

    @Override
    public MemorySegment data() {
      requireOpen();
      return data;
    }

    @Override
    public void close() {
      super.close();
      arena.close();
      bytes.addAndGet(-size);
      if (of != null) {
        of.taken.addAndGet(-size);
      }
    }
  }

  private final class Queue extends Closing implements Stream {
    private final ExecutorService thread = atOnce ? null : Executors.newSingleThreadExecutor();

    void add(Runnable work) {
      requireOpen();
      Runnable noted =
          () -> {
            try {
              work.run();
            } catch (Throwable e) {
              fault(e);
            }
          };
      if (atOnce) {
        noted.run();
      } else {
        thread.execute(noted);
      }
    }

    @Override
    public long handle() {
      return 0;
    }

    @Override
    public void waitFor(Event event) {
      CompletableFuture<Void> state = ((Point) event).state;
      add(state::join);
    }

    @Override
    public void close() {
      super.close();
      if (!atOnce) {
        thread.shutdown();
      }
    }
  }

  private final class Point extends Closing implements Event {
    private volatile CompletableFuture<Void> state = CompletableFuture.completedFuture(null);

    @Override
    public void record(Stream stream) {
      requireOpen();
      CompletableFuture<Void> now = new CompletableFuture<>();
      state = now;
      ((Queue) stream).add(() -> now.complete(null));
    }

    @Override
    public void await() {
      requireOpen();
      state.join();
    }
  }
}
