package io.assay.engine.device;

import java.lang.foreign.MemorySegment;

/**
 * What is asked of CUDA's driver. {@link CudaDriver} asks the one that is installed; tests have one
 * without a device.
 *
 * <p>Every method throws {@link DeviceException} where the driver refuses. Work of one stream is
 * done in the order in which it was queued. What a context gave is closed before the context.
 */
public interface Driver {
  /** How many devices this process may use. */
  int devices();

  /**
   * A device's context; several of one device share its memory and nothing else.
   *
   * @param device from 0, below {@link #devices}
   */
  Context open(int device);

  /** A context of one device, for any thread. */
  interface Context extends AutoCloseable {
    /** Memory of the device, its content unspecified. */
    Memory allocate(long bytes);

    /** Memory of the host that the device copies from and to by itself. */
    Pinned pin(long bytes);

    Stream stream();

    Event event();

    /** Queues a copy of the first bytes of {@code from} to {@code to}, from its byte offset on. */
    void upload(Pinned from, Memory to, long offset, long bytes, Stream stream);

    /**
     * Queues a copy of bytes of {@code from}, from its byte offset on, to the start of {@code to}.
     */
    void download(Memory from, long offset, Pinned to, long bytes, Stream stream);

    @Override
    void close();
  }

  /** Memory of a device. */
  interface Memory extends AutoCloseable {
    long address();

    @Override
    void close();
  }

  /** Pinned memory of the host. */
  interface Pinned extends AutoCloseable {
    MemorySegment data();

    @Override
    void close();
  }

  /** A queue of work. */
  interface Stream extends AutoCloseable {
    /** The {@code CUstream}. */
    long handle();

    /** What is queued from now on begins after the event; at once if it was never recorded. */
    void waitFor(Event event);

    @Override
    void close();
  }

  /** A point in a stream. */
  interface Event extends AutoCloseable {
    /** The event is now what is queued on the stream so far. */
    void record(Stream stream);

    /** Waits until that is done; not at all if it was never recorded. */
    void await();

    @Override
    void close();
  }
}
