package io.assay.engine.train;

import io.assay.engine.tensor.Tensor;
import java.util.Map;

/** A function that training makes small, over weights in memory that stays where it is. */
public interface Loss extends AutoCloseable {
  /** Makes the function of weights, given where they are and where their gradients are to go. */
  interface Maker {
    /**
     * @param weights by name; they change between calls
     * @param gradients out: by the same names, of the same shapes
     */
    Loss over(Map<String, Tensor> weights, Map<String, Tensor> gradients);
  }

  /** What one step learns from, in tokens or examples; for rates. */
  long items();

  /**
   * The loss of a step's batch, and its gradients.
   *
   * @param step updates done before it
   */
  double gradients(long step);

  /** Releases what computes it; a second call does nothing. */
  @Override
  void close();
}
