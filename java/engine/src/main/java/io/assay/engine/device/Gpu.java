package io.assay.engine.device;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * One engine's part of a CUDA device: memory, a stream for kernels, and one for copies in each
 * direction, which run beside it. Several may be open on one device or on several. For any thread.
 *
 * <p>Closing waits for what is queued and gives all memory back, also that of tensors which were
 * not closed.
 */
public final class Gpu implements AutoCloseable {
  private final int device;
  private final Driver.Context context;
  private final Driver.Stream kernels;
  private final Driver.Event done;
  private final Lane up;
  private final Lane down;
  private final Pool pool;
  private boolean closed;

  /**
   * Opens a device.
   *
   * @param device its number, from 0
   * @throws DeviceException if there is no such device, or it refuses
   */
  public Gpu(Driver driver, int device) {
    int devices = driver.devices();
    if (device >= devices) {
      throw new DeviceException(
          "there is no device cuda:" + device + "; the driver shows " + devices);
    }
    this.device = device;
    context = driver.open(device);
    try {
      kernels = context.stream();
      done = context.event();
      up = new Lane(context);
      down = new Lane(context);
      pool = new Pool(context);
    } catch (DeviceException e) {
      context.close(); // with which goes what there is
      throw e;
    }
  }

  /** The device's number. */
  public int device() {
    return device;
  }

  /** Bytes of the device that are taken, in use or kept for the next tensor. */
  public long bytes() {
    return pool.held();
  }

  /** A tensor on the device, its elements unspecified. */
  public DeviceTensor allocate(DType dtype, long... shape) {
    long bytes = Math.multiplyExact(Tensor.elements(shape), (long) dtype.bytes());
    synchronized (this) {
      requireOpen();
      return new DeviceTensor(this, pool.take(bytes), bytes);
    }
  }

  /** A copy on the device of memory of the host, which may be changed when this returns. */
  public DeviceTensor upload(MemorySegment host) {
    DeviceTensor made = allocate(DType.U8, host.byteSize());
    made.upload(host);
    return made;
  }

  /** Work that is queued on a stream and does not wait for it. */
  public interface Work {
    /**
     * Queues it.
     *
     * @param stream of the kernels
     */
    void on(Driver.Stream stream);
  }

  /**
   * Queues a kernel. It begins when the copies to its tensors are over, and copies from them wait
   * for it.
   *
   * @param tensors all that it reads or writes
   */
  public synchronized void run(Work work, DeviceTensor... tensors) {
    requireOpen();
    for (DeviceTensor tensor : tensors) {
      kernels.waitFor(tensor.block().filled);
      kernels.waitFor(tensor.block().used);
    }
    try {
      work.on(kernels);
    } finally {
      for (DeviceTensor tensor : tensors) {
        tensor.block().used.record(kernels);
      }
    }
  }

  Lane up() {
    return up;
  }

  Lane down() {
    return down;
  }

  void give(Block block) {
    pool.give(block);
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("this part of the device cuda:" + device + " is closed");
    }
  }

  /** A second call does nothing. */
  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      up.close();
      done.record(kernels);
      done.await();
      down.close();
      pool.close();
      done.close();
      kernels.close();
      context.close();
    }
  }
}
