package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.FunctionProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import com.google.protobuf.ByteString;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every bad file ends as one sentence that names it. */
class BadFilesTest {
  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void choose() {
    file = folder.resolve("bad.onnx");
  }

  static void save(Path file, GraphProto.Builder graph) throws IOException {
    Files.write(file, model().setGraph(graph).build().toByteArray());
  }

  private static ModelProto.Builder model() {
    return ModelProto.newBuilder()
        .setIrVersion(8)
        .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(17));
  }

  static GraphProto.Builder graph() {
    return GraphProto.newBuilder()
        .setName("g")
        .addInput(value("x"))
        .addOutput(ValueInfoProto.newBuilder().setName("y"));
  }

  private static ValueInfoProto.Builder value(String name) {
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder().setTensorType(TypeProto.Tensor.newBuilder().setElemType(1)));
  }

  static NodeProto.Builder node(String op, String output, String... inputs) {
    return NodeProto.newBuilder()
        .setName("n_" + output)
        .setOpType(op)
        .addAllInput(Arrays.asList(inputs))
        .addOutput(output);
  }

  private static TensorProto.Builder tensor(long... dims) {
    TensorProto.Builder t = TensorProto.newBuilder().setName("w").setDataType(1);
    for (long d : dims) {
      t.addDims(d);
    }
    return t;
  }

  private static TensorProto.Builder external(long elements, String... entries) {
    return external(new long[] {elements}, entries);
  }

  static TensorProto.Builder external(long[] shape, String... entries) {
    TensorProto.Builder t = tensor(shape).setDataLocation(TensorProto.DataLocation.EXTERNAL);
    for (int i = 0; i < entries.length; i += 2) {
      t.addExternalData(
          StringStringEntryProto.newBuilder().setKey(entries[i]).setValue(entries[i + 1]));
    }
    return t;
  }

  private String refused() {
    String message = assertThrows(InputException.class, () -> Graph.read(file)).getMessage();
    assertTrue(message.contains("bad.onnx"), message);
    assertTrue(message.indexOf('\n') < 0 && message.length() < 400, message);
    return message;
  }

  private void refused(GraphProto.Builder graph, String... words) throws IOException {
    save(file, graph);
    String message = refused();
    for (String word : words) {
      assertTrue(message.contains(word), message);
    }
  }

  @Test
  void whatIsNotAnOnnxFile() throws IOException {
    assertTrue(refused().contains("not a file"));
    Files.createDirectory(file);
    assertTrue(refused().contains("not a file"));
    Files.delete(file);
    for (String text : new String[] {"", "hello, this is a text\n", "{\"a\": [1, 2]}", "\n\n\n"}) {
      Files.writeString(file, text);
      assertTrue(refused().contains("not an ONNX model"));
    }
    byte[] garbage = new byte[5000];
    new Random(1).nextBytes(garbage);
    Files.write(file, garbage);
    assertTrue(refused().contains("not an ONNX model"));
  }

  @Test
  void truncatedFilesAtEveryPlace() throws IOException {
    byte[] whole = Files.readAllBytes(Fixtures.path("gpt2-sdpa.external"));
    Files.copy(
        Fixtures.path("gpt2-sdpa.external").resolveSibling("gpt2-sdpa.external.onnx.data"),
        folder.resolve("gpt2-sdpa.external.onnx.data"));
    // The very end of the file holds the operator set, so that no prefix is a model.
    for (int size = 0; size < whole.length - 1; size += 37) {
      Files.write(file, Arrays.copyOf(whole, size));
      refused();
    }
  }

  @Test
  void damagedFilesNeverEndOtherwise() throws IOException {
    byte[] whole = Files.readAllBytes(Fixtures.path("gpt2-eager.dynamo"));
    Random random = new Random(2);
    int refusals = 0;
    for (int i = 0; i < 300; i++) {
      byte[] damaged = whole.clone();
      for (int j = 0; j < 5; j++) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
      }
      Files.write(file, damaged);
      try {
        Graph.read(file);
      } catch (InputException e) {
        refusals++;
        refused();
      }
    }
    assertTrue(refusals > 20, refusals + " refusals");
  }

  @Test
  void wrongStructure() throws IOException {
    refused(graph(), "y", "nothing produces");
    refused(graph().addNode(node("Neg", "y", "z")), "n_y (Neg)", "z");
    refused(graph().addNode(node("Neg", "y", "z")).addNode(node("Neg", "z", "y")), "cycle", "n_y");
    refused(graph().addNode(node("Neg", "x", "x")), "x twice");
    refused(graph().addNode(node("Neg", "y", "x")).addNode(node("Abs", "y", "x")), "y twice");
    refused(graph().addInput(value("x")).addNode(node("Neg", "y", "x")), "x twice");
    refused(
        graph().addInitializer(tensor(0)).addInitializer(tensor(0)).addNode(node("Neg", "y", "x")),
        "w twice");
    refused(graph().addInput(ValueInfoProto.newBuilder().setName("s")), "input s", "not a tensor");
    AttributeProto.Builder strange =
        AttributeProto.newBuilder().setName("a").setType(AttributeProto.AttributeType.TYPE_PROTO);
    refused(graph().addNode(node("Neg", "y", "x").addAttribute(strange)), "n_y", "TYPE_PROTO");
    refused(graph().addNode(node("Chain", "y", "x").setDomain("io.assay")), "n_y", "io.assay");
  }

  @Test
  void impossibleTensors() throws IOException {
    refused(graph().addInitializer(tensor(-3)), "constant w", "-3");
    refused(graph().addInitializer(tensor(1L << 40, 1L << 40)), "impossible shape");
    refused(graph().addInitializer(tensor(1L << 62)), "impossible shape");
    // Claims of 3 GB and of 4 EB in a tiny file cost nothing.
    refused(graph().addInitializer(tensor(750_000_000)), "750000000", "holds 0");
    refused(graph().addInitializer(tensor(1L << 60)), "holds 0");
    refused(
        graph().addInitializer(tensor(750_000_000).setRawData(ByteString.copyFrom(new byte[8]))),
        "3000000000 bytes",
        "holds 8");
    refused(graph().addInitializer(tensor(1).addFloatData(1).addFloatData(2)), "holds 2");
    refused(graph().addInitializer(tensor(1).setDataType(8)), "element type 8");
    refused(graph().addInitializer(tensor(1).setDataType(-1)), "element type -1");
  }

  @Test
  void badExternalData() throws IOException {
    Path inner = Files.createDirectory(folder.resolve("inner"));
    Files.write(folder.resolve("outside.data"), new byte[4096]);
    file = inner.resolve("bad.onnx");
    Files.write(inner.resolve("in.data"), new byte[64]);
    Files.createSymbolicLink(inner.resolve("link.data"), folder.resolve("outside.data"));
    String absolute = folder.resolve("outside.data").toAbsolutePath().toString();
    refused(graph().addInitializer(external(4)), "''", "not inside");
    refused(graph().addInitializer(external(4, "location", absolute)), "not inside");
    refused(graph().addInitializer(external(4, "location", "../outside.data")), "not inside");
    refused(graph().addInitializer(external(4, "location", "a/../../outside.data")), "not inside");
    refused(graph().addInitializer(external(4, "location", "\0")), "impossible name");
    refused(graph().addInitializer(external(4, "location", "link.data")), "link");
    refused(graph().addInitializer(external(4, "location", "none.data")), "none.data", "missing");
    refused(graph().addInitializer(external(4, "location", ".")), "missing");
    for (String offset : new String[] {"-4", "x", "99999999999999999999"}) {
      refused(
          graph().addInitializer(external(4, "location", "in.data", "offset", offset)),
          "offset '" + offset + "'");
    }
    refused(graph().addInitializer(external(4, "location", "in.data", "offset", "52")), "64 bytes");
    refused(
        graph()
            .addInitializer(
                external(4, "location", "in.data", "offset", Long.toString(Long.MAX_VALUE))),
        "64 bytes");
    refused(
        graph().addInitializer(external(4, "location", "in.data", "length", "12")),
        "needs 16 bytes",
        "holds 12");
    refused(graph().addInitializer(external(750_000_000, "location", "in.data")), "64 bytes");

    save(
        file,
        graph()
            .addInitializer(external(4, "location", "in.data", "offset", "48"))
            .addNode(node("Neg", "y", "x")));
    assertEquals(16, Graph.read(file).constant("w").data().byteSize());
  }

  private static AttributeProto.Builder attribute(String name, AttributeProto.AttributeType type) {
    return AttributeProto.newBuilder().setName(name).setType(type);
  }

  @Test
  void attributesOfTheWrongKind() throws IOException {
    AttributeProto.Builder integer = attribute("value", AttributeProto.AttributeType.INT).setI(1);
    refused(graph().addNode(node("Constant", "y").addAttribute(integer)), "value", "a tensor");
    AttributeProto.Builder whole =
        attribute("value_floats", AttributeProto.AttributeType.INTS).addInts(1);
    refused(graph().addNode(node("Constant", "y").addAttribute(whole)), "value_floats", "floats");
    AttributeProto.Builder half =
        attribute("value_ints", AttributeProto.AttributeType.FLOATS).addFloats(0.5f);
    refused(graph().addNode(node("Constant", "y").addAttribute(half)), "value_ints", "integers");
    AttributeProto.Builder text =
        attribute("value_int", AttributeProto.AttributeType.STRING)
            .setS(ByteString.copyFromUtf8("1"));
    refused(graph().addNode(node("Constant", "y").addAttribute(text)), "value_int", "an integer");
  }

  @Test
  void namesWithLineEndsAndOfAnyLength() throws IOException {
    refused(graph().addNode(node("Neg", "y", "z\n\u001b[31m\u2028z")), "z [31m z");
    save(file, graph().addNode(node("Neg", "y", "z".repeat(100_000))));
    String message = assertThrows(InputException.class, () -> Graph.read(file)).getMessage();
    assertTrue(message.length() < 800 && message.endsWith("nothing produces it"), message);
  }

  @Test
  void bombs() throws IOException {
    GraphProto.Builder nested = graph().addNode(node("Neg", "y", "x"));
    for (int i = 0; i < 60; i++) {
      NodeProto.Builder outer = node("If", "y", "x");
      outer.addAttribute(
          AttributeProto.newBuilder()
              .setName("then_branch")
              .setType(AttributeProto.AttributeType.GRAPH)
              .setG(nested));
      nested = graph().addNode(outer);
    }
    refused(nested, "not an ONNX model");

    ModelProto.Builder loops =
        model().setGraph(graph().addNode(node("F", "y", "x").setDomain("f")));
    loops.addFunctions(function("F", node("F", "b", "a").setDomain("f")));
    Files.write(file, loops.build().toByteArray());
    assertTrue(refused().contains("function F calls itself"));

    ModelProto.Builder bomb =
        model().setGraph(graph().addNode(node("F0", "y", "x").setDomain("f")));
    for (int i = 0; i < 30; i++) {
      FunctionProto.Builder f = function("F" + i, node("F" + (i + 1), "b", "a").setDomain("f"));
      for (int j = 0; j < 9; j++) {
        f.addNode(node("F" + (i + 1), "c" + j, "a").setDomain("f"));
      }
      bomb.addFunctions(f);
    }
    bomb.addFunctions(function("F30", node("Neg", "b", "a")));
    Files.write(file, bomb.build().toByteArray());
    refused();
  }

  private static FunctionProto.Builder function(String name, NodeProto.Builder body) {
    return FunctionProto.newBuilder()
        .setName(name)
        .setDomain("f")
        .addInput("a")
        .addOutput("b")
        .addNode(body);
  }

  @Test
  void functionsAreInlined() throws IOException {
    AttributeProto.Builder reference =
        AttributeProto.newBuilder()
            .setName("axis")
            .setRefAttrName("at")
            .setType(AttributeProto.AttributeType.INT);
    FunctionProto.Builder f =
        function("F", node("Softmax", "t", "a").addAttribute(reference)).addAttribute("at");
    f.addNode(node("Neg", "b", "t"));
    AttributeProto.Builder at =
        AttributeProto.newBuilder().setName("at").setType(AttributeProto.AttributeType.INT).setI(1);
    ModelProto.Builder m =
        model()
            .setGraph(
                graph()
                    .addNode(node("F", "m", "x").setDomain("f").addAttribute(at))
                    .addNode(node("F", "y", "m").setDomain("f")))
            .addFunctions(f);
    Files.write(file, m.build().toByteArray());
    Graph g = Graph.read(file);
    assertEquals(
        "[Softmax, Neg, Softmax, Neg]", g.nodes().stream().map(Node::op).toList().toString());
    assertEquals(1, g.nodes().get(0).integer("axis", -1));
    assertEquals(false, g.nodes().get(2).has("axis"));
    assertEquals("m", g.nodes().get(2).input(0));
  }
}
