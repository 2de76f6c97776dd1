package io.assay.engine.session;

import io.assay.engine.InputException;

/**
 * Where graphs run: the processor, or one CUDA device.
 *
 * @param kind processor or CUDA
 * @param index number of the CUDA device, from 0; 0 for the processor
 */
public record Device(Kind kind, int index) {
  /** Kind of a device. */
  public enum Kind {
    CPU,
    CUDA
  }

  /** The processor. */
  public static final Device CPU = new Device(Kind.CPU, 0);

  public Device {
    if (index < 0 || (kind == Kind.CPU && index != 0)) {
      throw new IllegalArgumentException("there is no device " + kind + " number " + index);
    }
  }

  /**
   * Reads {@code cpu}, {@code cuda} (device 0) or {@code cuda:N}.
   *
   * @throws InputException if the text is anything else
   */
  public static Device parse(String text) {
    if (text.equals("cpu")) {
      return CPU;
    }
    if (text.equals("cuda")) {
      return new Device(Kind.CUDA, 0);
    }
    if (text.matches("cuda:\\d{1,4}")) {
      return new Device(Kind.CUDA, Integer.parseInt(text.substring("cuda:".length())));
    }
    throw new InputException(
        "the device '" + text + "' is not known; give cpu, cuda or cuda:N with N from 0");
  }

  /** The text that {@link #parse} reads: {@code cpu}, {@code cuda:0}. */
  @Override
  public String toString() {
    return kind == Kind.CPU ? "cpu" : "cuda:" + index;
  }
}
