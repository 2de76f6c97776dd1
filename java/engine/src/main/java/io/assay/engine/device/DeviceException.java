package io.assay.engine.device;

/** What a device or its driver refused, in one line. */
public final class DeviceException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final boolean memory;

  DeviceException(String text, boolean memory) {
    super(text);
    this.memory = memory;
  }

  DeviceException(String text) {
    this(text, false);
  }

  /** Whether memory was asked for that the device does not have. */
  boolean outOfMemory() {
    return memory;
  }
}
