package io.assay.engine.session;

/**
 * How a graph is compiled.
 *
 * <p><b>Pre-packing</b> lets the runtime lay out the constant matrices of this session once, as its
 * product kernels read them: faster products, at the price of a copy of those matrices for each
 * session. Without it, all sessions of a model read the one copy of its weights. It is off unless
 * asked for; {@code SessionMemoryTest} says what either choice costs.
 *
 * @param device where the graph runs
 * @param threads threads of one operator, at least 1; operators run one after the other
 * @param prepack whether this session may keep its own packed copies of the weights
 */
public record SessionOptions(Device device, int threads, boolean prepack) {
  public SessionOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("a session needs at least 1 thread, not " + threads);
    }
  }

  /** On the processor, weights shared. */
  public static SessionOptions cpu(int threads) {
    return new SessionOptions(Device.CPU, threads, false);
  }

  public SessionOptions withPrepack(boolean value) {
    return new SessionOptions(device, threads, value);
  }
}
