package io.assay.fuzz;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.FunctionProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import com.code_intelligence.jazzer.junit.DictionaryEntries;
import com.code_intelligence.jazzer.junit.FuzzTest;
import com.code_intelligence.jazzer.mutation.annotation.NotNull;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.Model;
import io.assay.engine.tensor.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.MethodSource;

/** ONNX files, as bytes and as messages; a data file of 64 bytes lies beside them. */
class OnnxFuzzTest {
  private static final Path FOLDER = Parsers.folder();
  private static final Path FILE = FOLDER.resolve("model.onnx");

  static Stream<byte[]> files() {
    return models().map(ModelProto::toByteArray);
  }

  /** Models that the reader takes: constants of every kind, functions, branches, external data. */
  static Stream<ModelProto> models() {
    TypeProto type =
        TypeProto.newBuilder()
            .setTensorType(
                TypeProto.Tensor.newBuilder()
                    .setElemType(1)
                    .setShape(
                        TensorShapeProto.newBuilder()
                            .addDim(TensorShapeProto.Dimension.newBuilder().setDimParam("n"))
                            .addDim(TensorShapeProto.Dimension.newBuilder().setDimValue(4))))
            .build();
    GraphProto graph =
        GraphProto.newBuilder()
            .setName("g")
            .addInput(ValueInfoProto.newBuilder().setName("x").setType(type))
            .addOutput(ValueInfoProto.newBuilder().setName("y").setType(type))
            .addInitializer(external())
            .addInitializer(
                TensorProto.newBuilder()
                    .setName("s")
                    .setDataType(7)
                    .addDims(2)
                    .addInt64Data(-1)
                    .addInt64Data(4))
            .addNode(node("MatMul", "a", "x", "w"))
            .addNode(node("Reshape", "b", "a", "s"))
            .addNode(
                node("ReduceMean", "c", "b")
                    .addAttribute(attribute("axes").addInts(-1))
                    .addAttribute(attribute("keepdims").setI(1)))
            .addNode(node("Sub", "d", "b", "c"))
            .addNode(node("F", "y", "d").setDomain("f").addAttribute(attribute("at").setI(1)))
            .build();
    return Stream.of(
        ModelProto.newBuilder()
            .setIrVersion(8)
            .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(17))
            .addOpsetImport(OperatorSetIdProto.newBuilder().setDomain("f").setVersion(1))
            .setGraph(graph)
            .addFunctions(
                FunctionProto.newBuilder()
                    .setName("F")
                    .setDomain("f")
                    .addInput("a")
                    .addOutput("b")
                    .addAttribute("at")
                    .addNode(
                        node("Softmax", "t", "a")
                            .addAttribute(
                                AttributeProto.newBuilder()
                                    .setName("axis")
                                    .setRefAttrName("at")
                                    .setType(AttributeProto.AttributeType.INT)))
                    .addNode(
                        node("Constant", "one")
                            .addAttribute(
                                AttributeProto.newBuilder()
                                    .setName("value_float")
                                    .setType(AttributeProto.AttributeType.FLOAT)
                                    .setF(1)))
                    .addNode(node("Add", "b", "t", "one")))
            .build());
  }

  private static NodeProto.Builder node(String op, String output, String... inputs) {
    return NodeProto.newBuilder()
        .setName("n_" + output)
        .setOpType(op)
        .addAllInput(Arrays.asList(inputs))
        .addOutput(output);
  }

  private static AttributeProto.Builder attribute(String name) {
    return AttributeProto.newBuilder().setName(name).setType(AttributeProto.AttributeType.INT);
  }

  private static TensorProto external() {
    return TensorProto.newBuilder()
        .setName("w")
        .setDataType(1)
        .addDims(4)
        .addDims(4)
        .setDataLocation(TensorProto.DataLocation.EXTERNAL)
        .addExternalData(StringStringEntryProto.newBuilder().setKey("location").setValue("w.data"))
        .build();
  }

  @MethodSource("files")
  @FuzzTest
  void bytes(byte[] bytes) throws IOException {
    check(bytes);
  }

  @FuzzTest
  void messages(@NotNull ModelProto model) throws IOException {
    check(model.toByteArray());
  }

  static Stream<byte[]> hookMaps() {
    return Stream.of(
        """
        {"names": {"input_ids": "x", "logits": "y"},
         "hooks": {"hook_embed": "a",
                   "blocks.0.attn.hook_q": {"value": "b", "heads": 2, "transpose": [0, 2, 1]}}}
        """
            .getBytes(StandardCharsets.UTF_8));
  }

  @MethodSource("hookMaps")
  @DictionaryEntries({"blocks.*.attn.hook_z", "a*", "names", "hooks", "transpose", "heads"})
  @FuzzTest
  void hookMap(byte[] bytes) throws IOException {
    Path file = FOLDER.resolve("mapped.onnx");
    Files.write(FOLDER.resolve("w.data"), new byte[64]);
    Files.write(file, models().findFirst().orElseThrow().toByteArray());
    Parsers.check(FOLDER.resolve("mapped.hooks.json"), bytes, () -> Model.load(file).close());
  }

  private static void check(byte[] bytes) throws IOException {
    Path data = FOLDER.resolve("w.data");
    if (!Files.exists(data)) {
      Files.write(data, new byte[64]);
    }
    Parsers.check(FILE, bytes, OnnxFuzzTest::read);
  }

  private static void read() {
    for (DType dtype : new DType[] {DType.F32, DType.F64}) {
      try (Model model = Model.load(FILE, dtype)) {
        Graph graph = model.graph();
        graph.inputs().forEach(graph::type);
        graph.outputs().forEach(graph::type);
      }
    }
  }
}
