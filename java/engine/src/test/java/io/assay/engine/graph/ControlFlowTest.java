package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Control flow and sequences are written out; the runtime, which has them, is the oracle. */
class ControlFlowTest {
  private static final Set<String> TAKEN_OUT =
      Set.of("If", "Loop", "Scan", "SplitToSequence", "SequenceAt", "SequenceInsert");

  private final Ort ort = new Ort();

  private static Graph.Builder body(String name) {
    return Graph.builder(name).opset("", 18);
  }

  private static Tensor one(long value) {
    return Tensor.ofLongs(new long[] {value});
  }

  private static Tensor list(long... values) {
    return Tensor.ofLongs(values, values.length);
  }

  private void check(Graph.Builder b, String y, long... shape) {
    Graph.Builder outer = b;
    Differences differences = new Differences(ort, 3);
    differences.draw(outer, "x", shape);
    Graph g = outer.output(y).build();
    for (Node node : g.specialise(Map.of("x", shape), ort).nodes()) {
      assertTrue(!TAKEN_OUT.contains(node.op()), node.toString());
    }
    differences.check(g);
  }

  /** The branch is chosen by the shape of the input, and reads an outer value. */
  @Test
  void aBranchThatTheShapesChoose() {
    for (long rows : new long[] {2, 5}) {
      Graph.Builder b = body("branch");
      b.constant("three", one(3));
      b.constant("i", one(0));
      b.op("shape", "Shape", Map.of(), "x");
      b.op("rows", "Gather", Map.of(), "shape", "i");
      b.op("many", "Greater", Map.of(), "rows", "three");
      Graph yes = body("yes").node(node("Mul", "r", "x", "x")).output("r").buildBody();
      Graph no = body("no").node(node("Sin", "r", "x")).output("r").buildBody();
      b.op("y", "If", Map.of("then_branch", yes, "else_branch", no), "many");
      check(b, "y", rows, 3);
    }
  }

  private static Node node(String op, String output, String... inputs) {
    return new Node(output, "", op, List.of(inputs), List.of(output), Map.of());
  }

  /** As many rounds as the input has columns; the state, a stack of states, and the round. */
  @Test
  void aLoopWhoseRoundsTheShapesFix() {
    Graph.Builder in = body("round");
    in.input("i", TensorType.of(DType.I64)).input("on", TensorType.of(DType.BOOL));
    in.input("state", TensorType.of(DType.F32, 2));
    in.constant("axes", list(0));
    in.op("float", "Cast", Map.of("to", 1L), "i");
    in.op("column", "Gather", Map.of("axis", 1L), "x", "i");
    in.op("sum", "Add", Map.of(), "state", "column");
    in.op("moved", "Sin", Map.of(), "sum");
    in.op("scaled", "Mul", Map.of(), "moved", "float");
    in.op("go", "Identity", Map.of(), "on");
    Graph round = in.output("go").output("moved").output("scaled").buildBody();

    Graph.Builder b = body("loop");
    b.constant("at", one(1));
    b.constant("start", Tensor.ofFloats(new float[] {0.1f, 0.2f}, 2));
    b.op("shape", "Shape", Map.of(), "x");
    b.op("columns", "Gather", Map.of(), "shape", "at");
    b.node(
        new Node(
            "loop",
            "",
            "Loop",
            List.of("columns", "", "start"),
            List.of("last", "all"),
            Map.of("body", round)));
    b.output("all");
    check(b, "last", 2, 4);
  }

  /** The body computes whether to go on, from its round. */
  @Test
  void aLoopThatEndsItself() {
    Graph.Builder in = body("round");
    in.input("i", TensorType.of(DType.I64)).input("on", TensorType.of(DType.BOOL));
    in.input("state", TensorType.of(DType.F32, 2, 3));
    in.constant("limit", one(2));
    in.op("go", "Less", Map.of(), "i", "limit");
    in.op("moved", "Mul", Map.of(), "state", "x");
    Graph round = in.output("go").output("moved").buildBody();
    Graph.Builder b = body("loop");
    b.constant("yes", Tensor.scalar(DType.BOOL, 1));
    b.op("start", "Sin", Map.of(), "x");
    b.op("y", "Loop", Map.of("body", round), "", "yes", "start");
    check(b, "y", 2, 3);
  }

  /** Along the second axis, backwards, with the steps put out from the last to the first. */
  @Test
  void aScan() {
    Graph.Builder in = body("step");
    in.input("state", TensorType.of(DType.F32, 2));
    in.input("part", TensorType.of(DType.F32, 2));
    in.op("sum", "Add", Map.of(), "state", "part");
    in.op("next", "Tanh", Map.of(), "sum");
    in.op("out", "Mul", Map.of(), "next", "part");
    Graph step = in.output("next").output("out").buildBody();
    Graph.Builder b = body("scan");
    b.constant("start", Tensor.ofFloats(new float[] {0.1f, 0.2f}, 2));
    b.node(
        new Node(
            "scan",
            "",
            "Scan",
            List.of("start", "x"),
            List.of("last", "all"),
            Map.of(
                "body", step,
                "num_scan_inputs", 1L,
                "scan_input_axes", List.of(1L),
                "scan_input_directions", List.of(1L),
                "scan_output_axes", List.of(1L),
                "scan_output_directions", List.of(1L))));
    b.output("all");
    check(b, "last", 2, 4);
  }

  @Test
  void sequences() {
    Graph.Builder b = body("sequences");
    b.constant("two", one(2));
    b.constant("last", one(-1));
    b.constant("zero", one(0));
    b.op("pieces", "SplitToSequence", Map.of("axis", 1L), "x", "two");
    b.op("rows", "SplitToSequence", Map.of("axis", 0L, "keepdims", 0L), "x");
    b.op("piece", "SequenceAt", Map.of(), "pieces", "last");
    b.op("row", "SequenceAt", Map.of(), "rows", "zero");
    b.op("sine", "Sin", Map.of(), "row");
    b.op("more", "SequenceInsert", Map.of(), "rows", "sine", "zero");
    b.op("fewer", "SequenceErase", Map.of(), "more", "last");
    b.op("stack", "ConcatFromSequence", Map.of("axis", 0L, "new_axis", 1L), "fewer");
    b.op("square", "Mul", Map.of(), "piece", "piece");
    b.output("square");
    check(b, "stack", 3, 5);
  }

  @Test
  void whatTheShapesLeaveOpenIsRefusedOnlyOnTheWay() {
    Graph.Builder b = body("open");
    b.input("x", new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(3))));
    b.constant("zero", Tensor.scalar(DType.F32, 0));
    b.op("sum", "ReduceSum", Map.of("keepdims", 0L), "x");
    b.op("positive", "Greater", Map.of(), "sum", "zero");
    Graph yes = body("yes").node(node("Neg", "r", "x")).output("r").buildBody();
    Graph no = body("no").node(node("Sin", "r", "x")).output("r").buildBody();
    b.node(
        new Node(
            "chosen",
            "",
            "If",
            List.of("positive"),
            List.of("c"),
            Map.of("then_branch", yes, "else_branch", no)));
    b.op("y", "Exp", Map.of(), "c");
    b.op("z", "Exp", Map.of(), "x");
    Graph g = b.output("y").output("z").build().specialise(Map.of("x", new long[] {2, 3}), ort);
    InputException e =
        assertThrows(
            InputException.class, () -> g.differentiate(Map.of("y", "seed"), List.of("x")));
    assertTrue(
        e.getMessage().contains("of node chosen (If) its condition positive depends on values"),
        e.getMessage());
    assertEquals(
        Map.of("x", "x.grad"), g.differentiate(Map.of("z", "seed"), List.of("x")).gradients());
  }
}
