package io.assay.engine;

import io.assay.engine.session.Device;

/**
 * Settings of an {@link Engine}.
 *
 * @param device where graphs run
 * @param threads threads that one call uses, at least 1
 */
public record EngineOptions(Device device, int threads) {
  public EngineOptions {
    if (threads < 1) {
      throw new InputException("the number of threads must be at least 1, not " + threads);
    }
  }

  /** The processor, with a thread for each of its cores. */
  public static EngineOptions defaults() {
    return new EngineOptions(Device.CPU, Runtime.getRuntime().availableProcessors());
  }

  public EngineOptions withDevice(Device value) {
    return new EngineOptions(value, threads);
  }

  public EngineOptions withThreads(int value) {
    return new EngineOptions(device, value);
  }
}
