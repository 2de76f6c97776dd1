package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Element type and shape of a graph value.
 *
 * @param dims null where even the rank is unknown
 */
public record TensorType(DType dtype, List<Dim> dims) {
  /** One dimension: a size, or a symbol that stands for one ({@code size} is then -1). */
  public record Dim(long size, String symbol) {
    public static Dim of(long size) {
      return new Dim(size, null);
    }

    public static Dim symbol(String name) {
      return new Dim(-1, name);
    }

    public boolean isKnown() {
      return size >= 0;
    }
  }

  public TensorType {
    dims = dims == null ? null : List.copyOf(dims);
  }

  public static TensorType of(DType dtype, long... shape) {
    return new TensorType(dtype, Arrays.stream(shape).mapToObj(Dim::of).toList());
  }

  /** Whether every dimension is a number. */
  public boolean isStatic() {
    return dims != null && dims.stream().allMatch(Dim::isKnown);
  }

  /**
   * The sizes of a static shape.
   *
   * @throws IllegalStateException if a dimension is symbolic or the rank unknown
   */
  public long[] shape() {
    if (!isStatic()) {
      throw new IllegalStateException("the shape " + this + " is not fixed; specialise the graph");
    }
    return dims.stream().mapToLong(Dim::size).toArray();
  }

  @Override
  public String toString() {
    return dtype
        + (dims == null
            ? "[?]"
            : dims.stream()
                .map(d -> d.isKnown() ? Long.toString(d.size()) : String.valueOf(d.symbol()))
                .collect(Collectors.joining(",", "[", "]")));
  }
}
