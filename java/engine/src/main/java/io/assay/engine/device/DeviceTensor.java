package io.assay.engine.device;

import java.lang.foreign.MemorySegment;

/**
 * Memory of a device and its owner: what it holds goes with {@link #close}, or with its {@link
 * Gpu}. For one thread at a time.
 */
public final class DeviceTensor implements AutoCloseable {
  private final Gpu gpu;
  private final long bytes;
  private Block block;

  DeviceTensor(Gpu gpu, Block block, long bytes) {
    this.gpu = gpu;
    this.block = block;
    this.bytes = bytes;
  }

  Block block() {
    if (block == null) {
      throw new IllegalStateException("this tensor of the device is closed");
    }
    return block;
  }

  public long bytes() {
    return bytes;
  }

  /** Its address on the device, which the host cannot read. */
  public MemorySegment address() {
    return MemorySegment.ofAddress(block().memory.address());
  }

  /**
   * Queues a copy to the device, beside kernels that do not use this tensor. The host's memory may
   * be changed when this returns.
   *
   * @param from as many bytes as this has, or fewer: the first ones
   */
  public void upload(MemorySegment from) {
    requireRoom(from);
    gpu.up().upload(from, block());
  }

  /**
   * Copies from the device when the kernels are over that use this tensor; others go on.
   *
   * @param to as many bytes as this has, or fewer: the first ones
   */
  public void download(MemorySegment to) {
    requireRoom(to);
    gpu.down().download(block(), to);
  }

  private void requireRoom(MemorySegment host) {
    if (host.byteSize() > bytes) {
      throw new IllegalArgumentException(
          "the host's memory has " + host.byteSize() + " bytes, this tensor " + bytes);
    }
  }

  /** Gives the memory back; kernels and copies under way go on. A second call does nothing. */
  @Override
  public void close() {
    if (block != null) {
      gpu.give(block);
      block = null;
    }
  }
}
