package io.assay.engine.device;

/**
 * Memory of a device, and what has to be over before it is used again. It goes from tensor to
 * tensor; nobody waits for it on the host.
 */
final class Block {
  final Driver.Memory memory;
  final long bytes;

  /** After the last copy to the device. */
  final Driver.Event filled;

  /** After the last kernel, or copy from the device, that had it. */
  final Driver.Event used;

  Block(Driver.Context context, long bytes) {
    memory = context.allocate(bytes);
    this.bytes = bytes;
    try {
      filled = context.event();
      used = context.event();
    } catch (DeviceException e) {
      memory.close();
      throw e;
    }
  }

  void close() {
    memory.close();
    filled.close();
    used.close();
  }
}
