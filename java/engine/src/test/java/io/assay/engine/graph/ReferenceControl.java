package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** If, Loop and Scan, as ONNX defines them: bodies that see the values around them. */
final class ReferenceControl {
  private ReferenceControl() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("If", ReferenceControl::branch);
    table.put("Loop", ReferenceControl::loop);
    table.put("Scan", ReferenceControl::scan);
  }

  private static List<Array64> body(Reference.Call c, String attribute, List<Array64> inputs) {
    Graph body = (Graph) c.node().attributes().get(attribute);
    Map<String, Array64> values = new HashMap<>(c.around());
    for (int i = 0; i < inputs.size(); i++) {
      values.put(body.inputs().get(i), inputs.get(i));
    }
    Reference.run(body.nodes(), values);
    return body.outputs().stream().map(values::get).toList();
  }

  private static List<Array64> branch(Reference.Call c) {
    return body(c, c.in(0).data()[0] != 0 ? "then_branch" : "else_branch", List.of());
  }

  private static List<Array64> loop(Reference.Call c) {
    double limit = c.has(0) ? c.in(0).data()[0] : Double.POSITIVE_INFINITY;
    boolean goesOn = !c.has(1) || c.in(1).data()[0] != 0;
    List<Array64> states = c.inputs().subList(2, c.inputs().size());
    List<List<Array64>> rounds = new ArrayList<>();
    for (int i = 0; i < limit && goesOn; i++) {
      List<Array64> inputs = new ArrayList<>();
      inputs.add(new Array64(DType.I64, new int[0], new double[] {i}));
      inputs.add(new Array64(DType.BOOL, new int[0], new double[] {1}));
      inputs.addAll(states);
      List<Array64> results = body(c, "body", inputs);
      goesOn = results.getFirst().data()[0] != 0;
      states = results.subList(1, 1 + states.size());
      rounds.add(results.subList(1 + states.size(), results.size()));
    }
    List<Array64> outputs = new ArrayList<>(states);
    for (int i = 0; i < rounds.getFirst().size(); i++) {
      int at = i;
      outputs.add(stacked(rounds.stream().map(r -> r.get(at)).toList(), 0));
    }
    return outputs;
  }

  private static List<Array64> scan(Reference.Call c) {
    int scanned = (int) c.node().integer("num_scan_inputs", 0);
    int carried = c.inputs().size() - scanned;
    List<Array64> states = c.inputs().subList(0, carried);
    int length = c.in(carried).shape()[axis(c, "scan_input_axes", 0, c.in(carried).rank())];
    List<List<Array64>> steps = new ArrayList<>();
    for (int t = 0; t < length; t++) {
      List<Array64> inputs = new ArrayList<>(states);
      for (int i = 0; i < scanned; i++) {
        Array64 x = c.in(carried + i);
        boolean forward = number(c, "scan_input_directions", i) == 0;
        inputs.add(slice(x, axis(c, "scan_input_axes", i, x.rank()), forward ? t : length - 1 - t));
      }
      List<Array64> results = body(c, "body", inputs);
      states = results.subList(0, carried);
      steps.add(results.subList(carried, results.size()));
    }
    List<Array64> outputs = new ArrayList<>(states);
    for (int i = 0; i < steps.getFirst().size(); i++) {
      int at = i;
      List<Array64> parts = new ArrayList<>(steps.stream().map(r -> r.get(at)).toList());
      List<Array64> turned = number(c, "scan_output_directions", i) == 0 ? parts : parts.reversed();
      outputs.add(stacked(turned, axis(c, "scan_output_axes", i, parts.getFirst().rank() + 1)));
    }
    return outputs;
  }

  private static long number(Reference.Call c, String attribute, int i) {
    long[] numbers = c.node().integers(attribute);
    return numbers == null ? 0 : numbers[i];
  }

  private static int axis(Reference.Call c, String attribute, int i, int rank) {
    long axis = number(c, attribute, i);
    return (int) (axis < 0 ? axis + rank : axis);
  }

  /** The part of {@code x} at a place of an axis, which goes. */
  private static Array64 slice(Array64 x, int axis, int place) {
    return Array64.build(
        x.dtype(), without(x.shape(), axis), at -> x.get(inserted(at, axis, place)));
  }

  /** All parts side by side along a new axis. */
  private static Array64 stacked(List<Array64> parts, int axis) {
    Array64 first = parts.getFirst();
    return Array64.build(
        first.dtype(),
        inserted(first.shape(), axis, parts.size()),
        at -> parts.get(at[axis]).get(without(at, axis)));
  }

  private static int[] without(int[] list, int axis) {
    int[] out = new int[list.length - 1];
    for (int i = 0; i < out.length; i++) {
      out[i] = list[i < axis ? i : i + 1];
    }
    return out;
  }

  private static int[] inserted(int[] list, int axis, int value) {
    int[] out = new int[list.length + 1];
    for (int i = 0; i < out.length; i++) {
      out[i] = i == axis ? value : list[i < axis ? i : i - 1];
    }
    return out;
  }
}
