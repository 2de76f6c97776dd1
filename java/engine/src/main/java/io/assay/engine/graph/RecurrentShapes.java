package io.assay.engine.graph;

import java.util.List;

/** Shape rules of recurrent layers. */
final class RecurrentShapes {
  private RecurrentShapes() {}

  static void register(LayoutShapes.Table table) {
    table.rule(RecurrentShapes::layer, "LSTM", "GRU", "RNN");
  }

  /** All states [sequence, direction, batch, hidden], then the last [direction, batch, hidden]. */
  private static List<TensorType> layer(Operands o) {
    boolean batchFirst = o.node().integer("layout", 0) != 0;
    long[] x = o.shape(0);
    long directions = o.shape(1)[0];
    long hidden = o.shape(2)[2];
    long batch = x[batchFirst ? 0 : 1];
    long length = x[batchFirst ? 1 : 0];
    TensorType all =
        batchFirst
            ? TensorType.of(o.dtype(0), batch, length, directions, hidden)
            : TensorType.of(o.dtype(0), length, directions, batch, hidden);
    TensorType last =
        batchFirst
            ? TensorType.of(o.dtype(0), batch, directions, hidden)
            : TensorType.of(o.dtype(0), directions, batch, hidden);
    return List.of(all, last, last);
  }
}
