package io.assay.engine.session;

/**
 * How a graph is compiled.
 *
 * <p><b>Pre-packing</b> lets the runtime lay out the constant matrices once, as its product kernels
 * read them, at the price of a copy of those matrices for each session (ten sessions cost 10.1
 * copies of the weights with it, 0.1 without: {@code SessionMemoryTest}). Without it a product on
 * two cores took 2.2 times as long at 5 rows, 1.4 at 64 and 1.1 at 512. So it is off unless asked
 * for: an audit derives many graphs from one model, and asks for it where one graph runs often on
 * few rows.
 *
 * <p><b>Spinning.</b> A thread that waits for the next operator keeps its core, or gives it back.
 * Where others want the core, spinning costs them and the session itself: a training step (four
 * blocks of width 128, 1024 tokens) on two cores beside thirty busy processes took 236 ms of
 * processor time and 0.9 to 1.2 s with it, 135 ms and 0.5 to 0.7 s without, 113 ms on one thread.
 *
 * <p><b>Bits.</b> A row of a batch has the same bits in every slot, beside any neighbours, at every
 * batch size and thread count, with one exception: without pre-packing a float32 product of a
 * single row sums in another order than one of two rows or more ({@code RowBitsTest}).
 *
 * @param device where the graph runs
 * @param threads threads of one operator, at least 1; operators run one after the other
 * @param prepack whether this session may keep its own packed copies of the weights
 * @param spin whether threads spin while a run lasts; between runs none does
 */
public record SessionOptions(Device device, int threads, boolean prepack, boolean spin) {
  public SessionOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("a session needs at least 1 thread, not " + threads);
    }
  }

  /** On the processor, weights shared, spinning. */
  public static SessionOptions cpu(int threads) {
    return new SessionOptions(Device.CPU, threads, false, true);
  }

  public SessionOptions withPrepack(boolean value) {
    return new SessionOptions(device, threads, value, spin);
  }

  public SessionOptions withSpin(boolean value) {
    return new SessionOptions(device, threads, prepack, value);
  }
}
