package io.assay.audit.arca;

import io.assay.engine.kernel.HeadRows;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;

/**
 * The output head at a fixed number of rows: hidden states and targets in, log-probabilities, arg
 * max and margin out, and the gradient of a weighted sum of the log-probabilities.
 */
final class HeadProgram {
  final int rows;
  final Tensor hidden;
  final Tensor logProb;
  final Tensor lse;
  final Tensor argMax;
  final Tensor margin;
  final Tensor weight;
  final Tensor gradient;
  private final Tensor targets;
  private final Kernels kernels;
  private final HeadRows arguments;
  private final long operations;

  HeadProgram(Kernels kernels, LanguageModel model, int rows, Arena arena) {
    this.rows = rows;
    this.kernels = kernels;
    DType dtype = model.dtype();
    hidden = Tensor.allocate(arena, dtype, rows, model.width());
    gradient = Tensor.allocate(arena, dtype, rows, model.width());
    logProb = Tensor.allocate(arena, dtype, rows);
    lse = Tensor.allocate(arena, dtype, rows);
    margin = Tensor.allocate(arena, dtype, rows);
    weight = Tensor.allocate(arena, dtype, rows);
    argMax = Tensor.allocate(arena, DType.I32, rows);
    targets = Tensor.allocate(arena, DType.I32, rows);
    kernels.keep(model.head());
    arguments = new HeadRows(Matrix.of(hidden), model.head(), model.headBias(), targets.data());
    operations = 2L * rows * model.width() * model.head().rows();
  }

  void target(int row, int id) {
    targets.set(row, id);
  }

  void run() {
    kernels.headRows(arguments, logProb.data(), lse.data(), argMax.data(), margin.data());
  }

  /** To be called after {@link #run}, with the weights set. */
  void runBackward() {
    kernels.headBackward(arguments, lse.data(), weight.data(), Matrix.of(gradient));
  }

  /** Multiplications and additions of {@link #run}; {@link #runBackward} takes twice as many. */
  long operations() {
    return operations;
  }
}
