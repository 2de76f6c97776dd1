package io.assay.engine.graph;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto.Dimension;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnsafeByteOperations;
import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Reads ONNX files. The file is not trusted: whatever is wrong with it ends as one {@link
 * InputException} that names it, and memory is taken only for data that the file really holds.
 */
final class OnnxReader {
  private final OnnxData data;
  private final OnnxFunctions functions;

  private OnnxReader(Path file, ModelProto model) {
    this.data = new OnnxData(file);
    this.functions = new OnnxFunctions(model.getFunctionsList(), this);
  }

  /** See {@link Graph#read(Path, Collection)}. */
  static Graph read(Path file, Collection<Path> dataOut) {
    if (!Files.isRegularFile(file)) {
      throw new InputException(file + " is not a file; give the path of an ONNX model");
    }
    try {
      return read(file, parse(file), dataOut);
    } catch (InputException e) {
      throw new InputException(file + ": " + e.getMessage(), e);
    }
  }

  private static ModelProto parse(Path file) {
    try {
      MemorySegment bytes = OnnxData.map(file);
      if (bytes.byteSize() > Integer.MAX_VALUE) {
        throw new InputException(
            "an ONNX file has at most 2 GiB; save the weights as external data");
      }
      // Wrapped bytes count as immutable, so the parser may hand out slices of the mapped file.
      CodedInputStream in = UnsafeByteOperations.unsafeWrap(bytes.asByteBuffer()).newCodedInput();
      in.enableAliasing(true);
      ModelProto model = ModelProto.parseFrom(in);
      if (!model.hasGraph() || model.getOpsetImportCount() == 0) {
        throw new InputException("this is not an ONNX model: it has no graph or no operator set");
      }
      return model;
    } catch (InvalidProtocolBufferException e) {
      throw new InputException("this is not an ONNX model, or it is damaged or cut short", e);
    } catch (IOException e) {
      throw new InputException("the file cannot be read", e);
    }
  }

  private static Graph read(Path file, ModelProto model, Collection<Path> dataOut) {
    OnnxReader reader = new OnnxReader(file, model);
    // By the file: an exporter calls every graph alike, which tells a reader of messages nothing.
    Graph.Builder b = Graph.builder(file.getFileName().toString().replaceFirst("\\.onnx$", ""));
    for (OperatorSetIdProto opset : model.getOpsetImportList()) {
      b.opset(domain(opset.getDomain()), opset.getVersion());
    }
    reader.fill(b, model.getGraph());
    dataOut.addAll(reader.data.files);
    return Opsets.raise(b.build());
  }

  private void fill(Graph.Builder b, GraphProto graph) {
    if (graph.getSparseInitializerCount() > 0) {
      throw new InputException(
          "sparse constants are not supported; save the model with dense ones");
    }
    Set<String> constants = new HashSet<>();
    for (TensorProto proto : graph.getInitializerList()) {
      b.constant(proto.getName(), data.tensor(proto, "constant " + proto.getName()));
      constants.add(proto.getName());
    }
    for (ValueInfoProto info : graph.getInputList()) {
      // Files before IR version 4 list constants among the inputs, as defaults.
      if (!constants.contains(info.getName())) {
        b.input(info.getName(), inputType(info));
      }
    }
    for (NodeProto proto : graph.getNodeList()) {
      functions.expand(node(proto), b);
    }
    for (ValueInfoProto info : graph.getValueInfoList()) {
      note(b, info, constants);
    }
    for (ValueInfoProto info : graph.getOutputList()) {
      note(b, info, constants);
      b.output(info.getName());
    }
  }

  private static void note(Graph.Builder b, ValueInfoProto info, Set<String> constants) {
    TensorType type = type(info);
    if (type != null && b.has(info.getName()) && !constants.contains(info.getName())) {
      b.type(info.getName(), type);
    }
  }

  private static TensorType inputType(ValueInfoProto info) {
    String what = "input " + info.getName();
    if (!info.getType().hasTensorType()) {
      throw new InputException(what + " is not a tensor; export the model with tensor inputs");
    }
    OnnxTypes.require(info.getType().getTensorType().getElemType(), what);
    for (Dimension dim : info.getType().getTensorType().getShape().getDimList()) {
      if (dim.getDimValue() < 0) {
        throw new InputException(what + " has the negative dimension " + dim.getDimValue());
      }
    }
    return ofItsOwn(type(info));
  }

  /**
   * An input's type whose later dimensions have not the first one's symbol: published sentence
   * models name both axes of [batch, sequence] {@code batch}, and the runtime asks no equality.
   */
  private static TensorType ofItsOwn(TensorType type) {
    if (type == null || type.dims() == null || type.dims().isEmpty()) {
      return type;
    }
    Dim first = type.dims().getFirst();
    List<Dim> dims = new ArrayList<>(type.dims());
    for (int i = 1; i < dims.size(); i++) {
      if (!first.isKnown() && dims.get(i).equals(first)) {
        dims.set(i, Dim.symbol(first.symbol() + "." + i));
      }
    }
    return new TensorType(type.dtype(), dims);
  }

  /** The type that a file states, or null where it states none that we have. */
  private static TensorType type(ValueInfoProto info) {
    TypeProto.Tensor tensor = info.getType().getTensorType();
    DType dtype = OnnxTypes.of(tensor.getElemType());
    if (!info.getType().hasTensorType() || dtype == null) {
      return null;
    }
    if (!tensor.hasShape()) {
      return new TensorType(dtype, null);
    }
    List<Dim> dims = new ArrayList<>();
    for (Dimension dim : tensor.getShape().getDimList()) {
      if (dim.hasDimValue() && dim.getDimValue() >= 0) {
        dims.add(Dim.of(dim.getDimValue()));
      } else if (dim.hasDimParam() && !dim.getDimParam().isEmpty()) {
        dims.add(Dim.symbol(dim.getDimParam()));
      } else {
        dims.add(Dim.symbol(info.getName() + "." + dims.size()));
      }
    }
    return new TensorType(dtype, dims);
  }

  /** A node as the file has it. */
  Node node(NodeProto proto) {
    return node(proto, Map.of());
  }

  /** A node of a function body; {@code bound} are the attributes that the call gives. */
  Node node(NodeProto proto, Map<String, Object> bound) {
    String what = "node " + (proto.getName().isEmpty() ? proto.getOpType() : proto.getName());
    Map<String, Object> attributes = new LinkedHashMap<>();
    for (AttributeProto a : proto.getAttributeList()) {
      if (a.getRefAttrName().isEmpty()) {
        attributes.put(a.getName(), attribute(a, what));
      } else if (bound.containsKey(a.getRefAttrName())) {
        attributes.put(a.getName(), bound.get(a.getRefAttrName()));
      }
    }
    if (proto.getDomain().equals(OwnOperators.DOMAIN)) {
      throw new InputException(
          what
              + " is an operator of the domain "
              + OwnOperators.DOMAIN
              + ", which Assay itself puts into graphs when it compiles them; export the model with"
              + " standard operators");
    }
    return new Node(
        proto.getName(),
        domain(proto.getDomain()),
        proto.getOpType(),
        proto.getInputList(),
        proto.getOutputList(),
        attributes);
  }

  Object attribute(AttributeProto a, String what) {
    return switch (a.getType()) {
      case INT -> a.getI();
      case FLOAT -> a.getF();
      case STRING -> a.getS().toStringUtf8();
      case INTS -> List.copyOf(a.getIntsList());
      case FLOATS -> List.copyOf(a.getFloatsList());
      case STRINGS -> a.getStringsList().stream().map(ByteString::toStringUtf8).toList();
      case TENSOR -> data.tensor(a.getT(), what + ", attribute " + a.getName() + ",");
      case GRAPH -> {
        Graph.Builder body = Graph.builder(a.getG().getName());
        fill(body, a.getG());
        yield body.buildBody();
      }
      default ->
          throw new InputException(
              what
                  + " has the attribute "
                  + a.getName()
                  + " of kind "
                  + a.getType()
                  + ", which is not supported");
    };
  }

  /** The value of a Constant node, or null if it is text. */
  static Tensor constantOf(Node node) {
    for (Map.Entry<String, Object> attribute : node.attributes().entrySet()) {
      switch (attribute.getKey()) {
        case "value" -> {
          return node.tensor("value");
        }
        case "value_int" -> {
          return Tensor.ofLongs(new long[] {node.integer("value_int", 0)});
        }
        case "value_ints" -> {
          long[] values = node.integers("value_ints");
          return Tensor.ofLongs(values, values.length);
        }
        case "value_float" -> {
          return Tensor.scalar(DType.F32, node.real("value_float", 0));
        }
        case "value_floats" -> {
          double[] values = node.reals("value_floats");
          Tensor t = Tensor.ofFloats(new float[values.length], values.length);
          for (int i = 0; i < values.length; i++) {
            t.set(i, values[i]);
          }
          return t;
        }
        default -> {}
      }
    }
    return null;
  }

  /** The default domain has two names. */
  static String domain(String domain) {
    return domain.equals("ai.onnx") ? "" : domain;
  }
}
