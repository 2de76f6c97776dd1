package io.assay.engine.graph;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.AttributeProto.AttributeType;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto.Dimension;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;

/** Writes graphs as ONNX models. */
final class OnnxWriter {
  /** The version of the file format; operator sets are the graph's own. */
  private static final long IR_VERSION = 10;

  /** Constants of this many bytes or more leave the model message. */
  static final long EXTERNAL_BYTES = 1024;

  /** More constant bytes than this do not fit a message, whose limit is 2 GiB. */
  static final long EMBEDDED_BYTES = 1L << 30;

  private static final long ALIGNMENT = 4096;
  private static final long CHUNK = 1L << 30;

  /** How one constant is stored: sets the data of a message that has name, type and shape. */
  private interface Store extends BiFunction<TensorProto.Builder, Tensor, TensorProto> {}

  private final Store store;

  private OnnxWriter(Store store) {
    this.store = store;
  }

  /** A model message whose large constants are external and handed out by name. */
  static byte[] toProto(Graph graph, Map<String, Tensor> externalOut) {
    Store store =
        (proto, tensor) -> {
          if (tensor.data().byteSize() < EXTERNAL_BYTES) {
            return embed(proto, tensor);
          }
          externalOut.put(proto.getName(), tensor);
          return external(proto, "memory", 0, tensor.data().byteSize());
        };
    return new OnnxWriter(store).model(graph).toByteArray();
  }

  /**
   * Writes {@code file}, and FILE.data beside it if the constants exceed {@code embedded} bytes.
   */
  static void write(Graph graph, Path file, long embedded) {
    long total = graph.constants().values().stream().mapToLong(t -> t.data().byteSize()).sum();
    try {
      if (total <= embedded) {
        save(new OnnxWriter(OnnxWriter::embed).model(graph), file);
        return;
      }
      Path data = file.resolveSibling(file.getFileName() + ".data");
      Path part = data.resolveSibling(data.getFileName() + ".part");
      ModelProto model;
      try (FileChannel channel =
          FileChannel.open(
              part,
              StandardOpenOption.CREATE,
              StandardOpenOption.TRUNCATE_EXISTING,
              StandardOpenOption.WRITE)) {
        model =
            new OnnxWriter((p, t) -> append(p, t, channel, data.getFileName().toString()))
                .model(graph);
      }
      Files.move(part, data, StandardCopyOption.REPLACE_EXISTING);
      save(model, file);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file, e);
    }
  }

  private static void save(ModelProto model, Path file) throws IOException {
    Path part = file.resolveSibling(file.getFileName() + ".part");
    try (OutputStream out = Files.newOutputStream(part)) {
      model.writeTo(out);
    }
    Files.move(part, file, StandardCopyOption.REPLACE_EXISTING);
  }

  private static TensorProto embed(TensorProto.Builder proto, Tensor tensor) {
    return proto.setRawData(bytes(tensor)).build();
  }

  private static ByteString bytes(Tensor tensor) {
    return UnsafeByteOperations.unsafeWrap(tensor.data().asByteBuffer());
  }

  private static TensorProto append(
      TensorProto.Builder proto, Tensor tensor, FileChannel channel, String location) {
    long size = tensor.data().byteSize();
    if (size < EXTERNAL_BYTES) {
      return embed(proto, tensor);
    }
    try {
      long offset = (channel.position() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
      channel.position(offset);
      for (long done = 0; done < size; done += CHUNK) {
        ByteBuffer chunk = tensor.data().asSlice(done, Math.min(CHUNK, size - done)).asByteBuffer();
        while (chunk.hasRemaining()) {
          channel.write(chunk);
        }
      }
      return external(proto, location, offset, size);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + location, e);
    }
  }

  private static TensorProto external(
      TensorProto.Builder proto, String location, long offset, long length) {
    proto.setDataLocation(TensorProto.DataLocation.EXTERNAL);
    entry(proto, "location", location);
    entry(proto, "offset", Long.toString(offset));
    entry(proto, "length", Long.toString(length));
    return proto.build();
  }

  private static void entry(TensorProto.Builder proto, String key, String value) {
    proto.addExternalData(StringStringEntryProto.newBuilder().setKey(key).setValue(value));
  }

  private ModelProto model(Graph graph) {
    ModelProto.Builder model =
        ModelProto.newBuilder().setIrVersion(IR_VERSION).setProducerName("assay");
    graph
        .opsets()
        .forEach(
            (domain, version) ->
                model.addOpsetImport(
                    OperatorSetIdProto.newBuilder().setDomain(domain).setVersion(version)));
    return model.setGraph(graph(graph, store)).build();
  }

  private GraphProto graph(Graph graph, Store constants) {
    GraphProto.Builder proto = GraphProto.newBuilder().setName(graph.name());
    graph.inputs().forEach(v -> proto.addInput(info(v, graph.type(v))));
    graph.outputs().forEach(v -> proto.addOutput(info(v, graph.type(v))));
    for (Node node : graph.nodes()) {
      proto.addNode(node(node));
      for (String value : node.outputs()) {
        if (graph.type(value) != null && !graph.outputs().contains(value)) {
          proto.addValueInfo(info(value, graph.type(value)));
        }
      }
    }
    graph.constants().forEach((v, t) -> proto.addInitializer(constants.apply(header(v, t), t)));
    return proto.build();
  }

  private static TensorProto.Builder header(String name, Tensor tensor) {
    TensorProto.Builder proto =
        TensorProto.newBuilder().setName(name).setDataType(OnnxTypes.code(tensor.dtype()));
    for (long dim : tensor.shape()) {
      proto.addDims(dim);
    }
    return proto;
  }

  private static ValueInfoProto info(String value, TensorType type) {
    ValueInfoProto.Builder info = ValueInfoProto.newBuilder().setName(value);
    if (type != null) {
      TypeProto.Tensor.Builder tensor =
          TypeProto.Tensor.newBuilder().setElemType(OnnxTypes.code(type.dtype()));
      if (type.dims() != null) {
        TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
        for (Dim dim : type.dims()) {
          shape.addDim(
              dim.isKnown()
                  ? Dimension.newBuilder().setDimValue(dim.size())
                  : Dimension.newBuilder().setDimParam(dim.symbol()));
        }
        tensor.setShape(shape);
      }
      info.setType(TypeProto.newBuilder().setTensorType(tensor));
    }
    return info.build();
  }

  private NodeProto node(Node node) {
    NodeProto.Builder proto =
        NodeProto.newBuilder()
            .setName(node.name())
            .setDomain(node.domain())
            .setOpType(node.op())
            .addAllInput(node.inputs())
            .addAllOutput(node.outputs());
    node.attributes().entrySet().stream()
        .sorted(Map.Entry.comparingByKey())
        .forEach(a -> proto.addAttribute(attribute(a.getKey(), a.getValue())));
    return proto.build();
  }

  private AttributeProto attribute(String name, Object value) {
    AttributeProto.Builder a = AttributeProto.newBuilder().setName(name);
    switch (value) {
      case Long v -> a.setType(AttributeType.INT).setI(v);
      case Float v -> a.setType(AttributeType.FLOAT).setF(v);
      case String v -> a.setType(AttributeType.STRING).setS(ByteString.copyFromUtf8(v));
      case Tensor v -> a.setType(AttributeType.TENSOR).setT(embed(header("", v), v));
      // External data inside a body is refused by some runtimes, so bodies embed theirs.
      case Graph v -> a.setType(AttributeType.GRAPH).setG(graph(v, OnnxWriter::embed));
      case List<?> list -> list(a, list);
      default ->
          throw new IllegalArgumentException(
              "attribute " + name + " has a value of " + value.getClass());
    }
    return a.build();
  }

  private static void list(AttributeProto.Builder a, List<?> list) {
    Object first = list.isEmpty() ? 0L : list.getFirst();
    switch (first) {
      case Float _ -> {
        a.setType(AttributeType.FLOATS);
        list.forEach(v -> a.addFloats((Float) v));
      }
      case String _ -> {
        a.setType(AttributeType.STRINGS);
        list.forEach(v -> a.addStrings(ByteString.copyFromUtf8((String) v)));
      }
      default -> {
        a.setType(AttributeType.INTS);
        list.forEach(v -> a.addInts((Long) v));
      }
    }
  }
}
