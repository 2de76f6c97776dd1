package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** A node together with what is known of its inputs: what a shape rule works on. */
record Operands(Node node, Function<String, TensorType> types, Function<String, Tensor> constants) {

  /** Type of input {@code i}, which must be known and static. */
  TensorType type(int i) {
    TensorType type = has(i) ? types.apply(node.input(i)) : null;
    if (type == null || !type.isStatic()) {
      throw wrong("needs the shape of its input " + i + " (" + node.input(i) + ")");
    }
    return type;
  }

  long[] shape(int i) {
    return type(i).shape();
  }

  DType dtype(int i) {
    return type(i).dtype();
  }

  int rank(int i) {
    return type(i).dims().size();
  }

  boolean has(int i) {
    return !node.input(i).isEmpty();
  }

  /** The integers of input {@code i}, which must be constant; null where it is absent. */
  long[] longs(int i) {
    if (!has(i)) {
      return null;
    }
    Tensor value = constants.apply(node.input(i));
    if (value == null) {
      throw wrong(
          "has an output shape that depends on the value of its input "
              + i
              + " ("
              + node.input(i)
              + "), which is not constant");
    }
    return value.toLongs();
  }

  /** Integers that are an attribute in old operator sets and an input in new ones, or null. */
  long[] longs(String attribute, int i) {
    return node.has(attribute) ? node.integers(attribute) : longs(i);
  }

  /** An axis in [0, rank). */
  int axis(long axis, int rank) {
    if (axis < -rank || axis >= rank) {
      throw wrong("has the axis " + axis + ", outside of a rank of " + rank);
    }
    return (int) (axis < 0 ? axis + rank : axis);
  }

  /** An axis attribute in [0, rank). */
  int axis(String attribute, long otherwise, int rank) {
    return axis(node.integer(attribute, otherwise), rank);
  }

  List<TensorType> one(DType dtype, long... shape) {
    if (Arrays.stream(shape).anyMatch(d -> d < 0)) {
      throw wrong("would give the impossible shape " + Arrays.toString(shape));
    }
    return List.of(TensorType.of(dtype, shape));
  }

  /** The shape to which the shapes given are broadcast. */
  long[] broadcast(long[]... shapes) {
    int rank = Arrays.stream(shapes).mapToInt(s -> s.length).max().orElse(0);
    long[] out = new long[rank];
    Arrays.fill(out, 1);
    for (long[] shape : shapes) {
      for (int i = 0; i < shape.length; i++) {
        int at = rank - shape.length + i;
        if (out[at] == 1) {
          out[at] = shape[i];
        } else if (shape[i] != 1 && shape[i] != out[at]) {
          throw wrong("cannot broadcast the shapes " + Arrays.deepToString(shapes));
        }
      }
    }
    return out;
  }

  InputException wrong(String what) {
    return new InputException("node " + Graph.label(node) + " " + what);
  }
}
