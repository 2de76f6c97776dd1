package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

class OnnxFilesTest {
  static final List<String> MODELS = Fixtures.GPT2;

  @TempDir Path folder;

  @ParameterizedTest
  @FieldSource("MODELS")
  void aWrittenGraphReadsBackAsItself(String model) {
    Graph g = Fixtures.graph(model);
    g.write(folder.resolve("embedded.onnx"));
    assertSameGraph(g, Graph.read(folder.resolve("embedded.onnx")));
    assertEquals("embedded", Graph.read(folder.resolve("embedded.onnx")).name());
    assertFalse(Files.exists(folder.resolve("embedded.onnx.data")));

    OnnxWriter.write(g, folder.resolve("external.onnx"), 0);
    assertSameGraph(g, Graph.read(folder.resolve("external.onnx")));
    assertTrue(Files.exists(folder.resolve("external.onnx.data")));
  }

  private static void assertSameGraph(Graph e, Graph a) {
    assertEquals(e.opsets(), a.opsets());
    assertEquals(e.inputs(), a.inputs());
    assertEquals(e.outputs(), a.outputs());
    assertEquals(e.types(), a.types());
    assertEquals(List.copyOf(e.constants().keySet()), List.copyOf(a.constants().keySet()));
    e.constants().forEach((name, tensor) -> assertSameTensor(tensor, a.constant(name), name));
    assertEquals(e.nodes().size(), a.nodes().size());
    for (int i = 0; i < e.nodes().size(); i++) {
      Node en = e.nodes().get(i);
      Node an = a.nodes().get(i);
      assertEquals(
          List.of(en.name(), en.domain(), en.op()), List.of(an.name(), an.domain(), an.op()));
      assertEquals(en.inputs(), an.inputs());
      assertEquals(en.outputs(), an.outputs());
      assertEquals(en.attributes().keySet(), an.attributes().keySet());
      en.attributes()
          .forEach(
              (key, value) -> {
                if (value instanceof Tensor t) {
                  assertSameTensor(t, an.tensor(key), key);
                } else {
                  assertEquals(value, an.attributes().get(key));
                }
              });
    }
  }

  private static void assertSameTensor(Tensor e, Tensor a, String name) {
    assertEquals(e.dtype(), a.dtype(), name);
    assertArrayEquals(e.shape(), a.shape(), name);
    assertEquals(-1, e.data().mismatch(a.data()), name);
  }

  @Test
  void everyKindOfAttributeAndTypeSurvives() {
    Graph.Builder body = Graph.builder("body").opset("", 17);
    body.op("inner", "Neg", Map.of(), "x");
    Graph branch = body.output("inner").buildBody();
    assertEquals(List.of("x"), branch.captures());

    Graph.Builder b = Graph.builder("g").opset("", 17).opset("com.microsoft", 1);
    b.input(
        "x", new TensorType(DType.F32, List.of(TensorType.Dim.symbol("n"), TensorType.Dim.of(2))));
    b.input("c", TensorType.of(DType.BOOL));
    b.constant("empty", Tensor.ofFloats(new float[0], 0, 3));
    b.op("chosen", "If", Map.of("then_branch", branch, "else_branch", branch), "c");
    b.node(
        new Node(
            "odd",
            "com.microsoft",
            "Odd",
            List.of("chosen", "", "empty"),
            List.of("", "y"),
            Map.of(
                "i", 7L,
                "f", 0.5f,
                "s", "text",
                "is", List.of(1L, -2L),
                "fs", List.of(1f, 2f),
                "ss", List.of("a", "b"),
                "t", Tensor.ofLongs(new long[] {3, 4}, 2))));
    Graph g = b.output("y").build();
    g.write(folder.resolve("g.onnx"));
    Graph read = Graph.read(folder.resolve("g.onnx"));
    assertEquals(g.types(), read.types());
    Node odd = read.producer("y");
    assertEquals(List.of("chosen", "", "empty"), odd.inputs());
    assertEquals(List.of("", "y"), odd.outputs());
    assertEquals(7, odd.integer("i", 0));
    assertEquals(0.5, odd.real("f", 0));
    assertEquals("text", odd.text("s", ""));
    assertArrayEquals(new long[] {1, -2}, odd.integers("is"));
    assertEquals(List.of(1f, 2f), odd.attributes().get("fs"));
    assertEquals(List.of("a", "b"), odd.attributes().get("ss"));
    assertArrayEquals(new long[] {3, 4}, odd.tensor("t").toLongs());
    assertEquals(
        List.of("x"), ((Graph) read.producer("chosen").attributes().get("then_branch")).captures());
    assertEquals(List.of(read.producer("chosen")), read.users("x"));
  }

  /** As published sentence models have it: [batch, batch] where [batch, sequence] is meant. */
  @Test
  void aSymbolOfTheFirstDimensionStandsForNoOtherOfAnInput() {
    TensorType batches =
        new TensorType(DType.F32, List.of(Dim.symbol("batch"), Dim.symbol("batch")));
    Graph.Builder b = Graph.builder("g").opset("", 17).input("x", batches).input("mask", batches);
    b.op("y", "Mul", Map.of(), "x", "mask");
    b.output("y").build().write(folder.resolve("m.onnx"));
    Graph read = Graph.read(folder.resolve("m.onnx"));
    assertEquals(List.of(Dim.symbol("batch"), Dim.symbol("batch.1")), read.types().get("x").dims());
    assertEquals(read.types().get("x"), read.types().get("mask"));
    Graph fixed = read.specialise(Map.of("x", new long[] {2, 7}), new Ort());
    assertArrayEquals(new long[] {2, 7}, fixed.types().get("mask").shape());
  }

  @Test
  void constantNodesBecomeConstants() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.op("t", "Constant", Map.of("value", Tensor.ofFloats(new float[] {1, 2}, 2)));
    b.op("i", "Constant", Map.of("value_int", 5L));
    b.op("is", "Constant", Map.of("value_ints", List.of(5L, 6L)));
    b.op("f", "Constant", Map.of("value_float", 1.5f));
    b.op("fs", "Constant", Map.of("value_floats", List.of(1.5f, 2.5f)));
    for (String v : List.of("t", "i", "is", "f", "fs")) {
      b.output(v);
    }
    b.build().write(folder.resolve("g.onnx"));
    Graph read = Graph.read(folder.resolve("g.onnx"));
    assertTrue(read.nodes().isEmpty());
    assertEquals("F32[2]", read.constant("t").toString());
    assertEquals("I64[]", read.constant("i").toString());
    assertArrayEquals(new long[] {5}, read.constant("i").toLongs());
    assertArrayEquals(new long[] {5, 6}, read.constant("is").toLongs());
    assertEquals("F32[]", read.constant("f").toString());
    assertArrayEquals(new double[] {1.5, 2.5}, read.constant("fs").toDoubles());
  }

  @Test
  void externalAndEmbeddedWeightsComputeTheSame() {
    Graph external = Fixtures.graph("gpt2-sdpa.external");
    Graph embedded = Fixtures.graph("gpt2-sdpa.dynamo");
    var inputs = Fixtures.inputs(external, Fixtures.shapes(external), 1);
    Fixtures.assertSame(
        new Ort().evaluate(embedded, inputs), new Ort().evaluate(external, inputs), 0);
  }

  @Test
  void mappedWeightsAreNotCopied() throws IOException {
    Graph g = Fixtures.graph("gpt2-sdpa.dynamo");
    OnnxWriter.write(g, folder.resolve("m.onnx"), 0);
    Graph read = Graph.read(folder.resolve("m.onnx"));
    long mapped = read.constants().values().stream().filter(t -> t.data().isMapped()).count();
    long large =
        read.constants().values().stream().filter(t -> t.data().byteSize() >= 1024).count();
    assertTrue(large > 0 && mapped >= large, mapped + " of " + large + " are mapped");
    read.constants()
        .values()
        .forEach(t -> assertEquals(0, t.data().address() % t.dtype().bytes(), t.toString()));
  }

  @Test
  void largeConstantsLeaveTheMessageAndAreShared() {
    Graph g = Fixtures.graph("gpt2-sdpa.dynamo");
    Map<String, Tensor> external = new HashMap<>();
    byte[] message = g.toProto(external);
    long bytes = external.values().stream().mapToLong(t -> t.data().byteSize()).sum();
    assertTrue(bytes > 60_000 && message.length < 40_000, bytes + " " + message.length);
    external.forEach(
        (name, t) -> {
          assertTrue(t.data().byteSize() >= 1024);
          assertEquals(g.constant(name), t);
        });
  }

  @Test
  void oldFilesListConstantsAmongTheInputs() throws IOException {
    var x = ai.onnx.proto.OnnxMl.ValueInfoProto.newBuilder().setName("w");
    var w =
        ai.onnx.proto.OnnxMl.TensorProto.newBuilder()
            .setName("w")
            .setDataType(1)
            .addDims(2)
            .addFloatData(1)
            .addFloatData(2);
    var graph =
        ai.onnx.proto.OnnxMl.GraphProto.newBuilder().setName("g").addInput(x).addInitializer(w);
    graph.addOutput(x);
    BadFilesTest.save(folder.resolve("old.onnx"), graph);
    Graph g = Graph.read(folder.resolve("old.onnx"));
    assertTrue(g.inputs().isEmpty());
    assertArrayEquals(new double[] {1, 2}, g.constant("w").toDoubles());
    assertEquals(ValueLayout.JAVA_FLOAT.byteSize() * 2, g.constant("w").data().byteSize());
  }
}
