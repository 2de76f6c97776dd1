package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.UnaryOperator;

/**
 * How a convolution or a pool slides over the spatial axes of its input: all sizes by axis.
 *
 * @param input size of what is slid over; of a transposed convolution, of its output
 * @param output number of places of the window
 * @param before padding before the first element
 * @param after padding after the last element, as stated; with {@code ceil_mode} a window may reach
 *     beyond it, without, the last windows may not reach it
 */
record Window(
    long[] kernel,
    long[] strides,
    long[] dilations,
    long[] before,
    long[] after,
    long[] input,
    long[] output) {

  /**
   * Of Conv and the pools; formulas of ONNX, Conv and MaxPool.
   *
   * @param input shape of the whole input
   */
  static Window sliding(Node node, long[] input, long[] kernel) {
    int n = kernel.length;
    if (input.length != n + 2) {
      throw wrong(
          node,
          "slides a window of " + n + " axes over an input of shape " + Arrays.toString(input));
    }
    Window w = stated(node, kernel);
    String auto = node.text("auto_pad", "NOTSET");
    boolean up = node.integer("ceil_mode", 0) != 0;
    for (int i = 0; i < n; i++) {
      long size = input[2 + i];
      long stride = w.strides[i];
      w.input[i] = size;
      if (auto.startsWith("SAME")) {
        w.output[i] = Math.ceilDiv(size, stride);
        long padding = Math.max(0, (w.output[i] - 1) * stride + w.span(i) - size);
        w.before[i] = auto.equals("SAME_UPPER") ? padding / 2 : padding - padding / 2;
        w.after[i] = padding - w.before[i];
        continue;
      }
      if (auto.equals("VALID")) {
        w.before[i] = 0;
        w.after[i] = 0;
      }
      long room = size - w.span(i) + w.before[i] + w.after[i];
      if (room < 0) {
        throw wrong(
            node, "has a window that is larger than its input of shape " + Arrays.toString(input));
      }
      long steps = up ? Math.ceilDiv(room, stride) : room / stride;
      // A window that would start in the padding behind the input is left out.
      if (up && steps * stride >= size + w.before[i]) {
        steps--;
      }
      w.output[i] = steps + 1;
    }
    return w;
  }

  /**
   * Of ConvTranspose, which slides over its own output; formulas of ONNX, ConvTranspose.
   *
   * @param input shape of the whole input
   */
  static Window transposed(Node node, long[] input, long[] kernel) {
    int n = kernel.length;
    if (input.length != n + 2) {
      throw wrong(
          node,
          "slides a window of " + n + " axes over an input of shape " + Arrays.toString(input));
    }
    Window w = stated(node, kernel);
    long[] added = filled(node, "output_padding", n, 0);
    long[] wanted = node.integers("output_shape");
    String auto = node.text("auto_pad", "NOTSET");
    for (int i = 0; i < n; i++) {
      w.output[i] = input[2 + i];
      long full = (w.output[i] - 1) * w.strides[i] + added[i] + w.span(i);
      if (wanted != null || auto.startsWith("SAME")) {
        w.input[i] = wanted == null ? w.output[i] * w.strides[i] : wanted[wanted.length - n + i];
        long padding = Math.max(0, full - w.input[i]);
        w.before[i] = auto.equals("SAME_UPPER") ? padding / 2 : padding - padding / 2;
        w.after[i] = padding - w.before[i];
      } else {
        if (auto.equals("VALID")) {
          w.before[i] = 0;
          w.after[i] = 0;
        }
        w.input[i] = full - w.before[i] - w.after[i];
      }
    }
    return w;
  }

  /**
   * A pool that leaves out a window which would start behind the input, as one that rounds down and
   * has all the others: the runtime leaves it out as well, but plans its memory with it. Padding
   * that counts is written before it where others reach beyond. Other nodes stay as they are.
   *
   * @param input shape of the whole input
   * @param fresh makes names of new values
   * @param constant takes new constants
   * @throws InputException if no padding says the same: a window reaches a whole window beyond
   */
  static List<Node> withoutLeftOut(
      Node node, long[] input, UnaryOperator<String> fresh, BiConsumer<String, Tensor> constant) {
    long[] kernel = node.integers("kernel_shape");
    boolean same = node.text("auto_pad", "NOTSET").startsWith("SAME");
    if (node.integer("ceil_mode", 0) == 0 || kernel == null || same) {
      return List.of(node);
    }
    Window w = sliding(node, input, kernel);
    int n = w.axes();
    boolean leftOut = false;
    boolean beyond = false;
    boolean fits = true;
    for (int i = 0; i < n; i++) {
      long room = w.input[i] + w.before[i] + w.after[i] - w.span(i);
      leftOut |= Math.ceilDiv(room, w.strides[i]) >= w.output[i];
      beyond |= w.reached(i) > w.after[i];
      fits &= w.reached(i) < kernel[i];
    }
    if (!leftOut) {
      return List.of(node);
    }
    if (!fits) {
      throw wrong(
          node,
          "rounds up over an input of shape "
              + Arrays.toString(input)
              + ", so that a window would start behind it, which the runtime cannot do; export it"
              + " without ceil_mode");
    }
    boolean written = beyond && node.integer("count_include_pad", 0) != 0;
    long[] pads = new long[2 * n];
    long[] zeros = new long[2 * (n + 2)];
    for (int i = 0; i < n; i++) {
      zeros[2 + i] = w.before[i];
      zeros[n + 4 + i] = Math.clamp(w.reached(i), 0, w.after[i]);
      pads[i] = written ? 0 : w.before[i];
      pads[n + i] = Math.max(0, w.reached(i) - (written ? w.after[i] : 0));
    }
    Map<String, Object> attributes = new HashMap<>(node.attributes());
    attributes.put("ceil_mode", 0L);
    attributes.put("auto_pad", "NOTSET");
    attributes.put("pads", list(pads));
    if (!written) {
      return List.of(
          new Node(
              node.name(), node.domain(), node.op(), node.inputs(), node.outputs(), attributes));
    }
    attributes.put("count_include_pad", 0L);
    String padded = fresh.apply(node.input(0) + ".padded");
    String amounts = fresh.apply(node.input(0) + ".pads");
    constant.accept(amounts, Tensor.ofLongs(zeros, zeros.length));
    return List.of(
        new Node(padded, "", "Pad", List.of(node.input(0), amounts), List.of(padded), Map.of()),
        new Node(
            node.name(), node.domain(), node.op(), List.of(padded), node.outputs(), attributes));
  }

  private static Window stated(Node node, long[] kernel) {
    int n = kernel.length;
    long[] pads = filled(node, "pads", 2 * n, 0);
    return new Window(
        kernel.clone(),
        filled(node, "strides", n, 1),
        filled(node, "dilations", n, 1),
        Arrays.copyOf(pads, n),
        Arrays.copyOfRange(pads, n, 2 * n),
        new long[n],
        new long[n]);
  }

  private static long[] filled(Node node, String attribute, int n, long otherwise) {
    long[] given = node.integers(attribute);
    if (given == null) {
      long[] out = new long[n];
      Arrays.fill(out, otherwise);
      return out;
    }
    if (given.length != n) {
      throw wrong(node, "has " + given.length + " " + attribute + ", not " + n);
    }
    return given;
  }

  private static InputException wrong(Node node, String what) {
    return new InputException("node " + Graph.label(node) + " " + what);
  }

  /** Elements from the first to the last that the window touches. */
  long span(int axis) {
    return (kernel[axis] - 1) * dilations[axis] + 1;
  }

  /** Padding after the input that the last window really reaches; negative where it falls short. */
  long reached(int axis) {
    return (output[axis] - 1) * strides[axis] + span(axis) - before[axis] - input[axis];
  }

  int axes() {
    return kernel.length;
  }

  /** An attribute that holds these numbers. */
  static List<Long> list(long... values) {
    return Arrays.stream(values).boxed().toList();
  }
}
