package io.assay.engine.graph;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;

/** Runs graphs with ONNX Runtime, without any class of the session package. */
final class Ort implements Evaluator {
  private static final OrtEnvironment ENVIRONMENT = OrtEnvironment.getEnvironment();

  /** How many graphs have been evaluated. */
  int runs;

  @Override
  public Map<String, Tensor> evaluate(Graph graph, Map<String, Tensor> inputs) {
    runs++;
    Map<String, Tensor> external = new HashMap<>();
    byte[] model = graph.toProto(external);
    Map<String, OnnxTensor> weights = new HashMap<>();
    Map<String, OnnxTensor> feeds = new HashMap<>();
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1);
      options.setSessionLogLevel(ai.onnxruntime.OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
      external.forEach((name, tensor) -> weights.put(name, wrap(tensor)));
      options.addExternalInitializers(Map.copyOf(weights));
      inputs.forEach((name, tensor) -> feeds.put(name, wrap(tensor)));
      try (OrtSession session = ENVIRONMENT.createSession(model, options);
          OrtSession.Result result = session.run(feeds)) {
        Map<String, Tensor> outputs = new HashMap<>();
        for (var entry : result) {
          outputs.put(entry.getKey(), copy((OnnxTensor) entry.getValue()));
        }
        return outputs;
      }
    } catch (OrtException e) {
      throw new IllegalStateException(graph + ": " + e.getMessage(), e);
    } finally {
      weights.values().forEach(OnnxTensor::close);
      feeds.values().forEach(OnnxTensor::close);
    }
  }

  private static OnnxTensor wrap(Tensor tensor) {
    try {
      ByteBuffer buffer = tensor.data().asByteBuffer().order(ByteOrder.nativeOrder());
      if (buffer.isReadOnly()) {
        buffer = writable(tensor);
      }
      return OnnxTensor.createTensor(ENVIRONMENT, buffer, tensor.shape(), type(tensor.dtype()));
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }

  private static ByteBuffer writable(Tensor tensor) {
    return Arena.ofAuto()
        .allocate(tensor.data().byteSize(), 64)
        .copyFrom(tensor.data())
        .asByteBuffer()
        .order(ByteOrder.nativeOrder());
  }

  private static OnnxJavaType type(DType dtype) {
    return switch (dtype) {
      case F32 -> OnnxJavaType.FLOAT;
      case F64 -> OnnxJavaType.DOUBLE;
      case I64 -> OnnxJavaType.INT64;
      case I32 -> OnnxJavaType.INT32;
      case BOOL -> OnnxJavaType.BOOL;
      default -> throw new IllegalArgumentException(dtype.toString());
    };
  }

  private static Tensor copy(OnnxTensor value) {
    DType dtype =
        switch (value.getInfo().type) {
          case FLOAT -> DType.F32;
          case DOUBLE -> DType.F64;
          case INT64 -> DType.I64;
          case INT32 -> DType.I32;
          case BOOL -> DType.BOOL;
          default -> throw new IllegalArgumentException(value.getInfo().toString());
        };
    Tensor out = Tensor.allocate(Arena.ofAuto(), dtype, value.getInfo().getShape());
    if (out.elements() > 0) {
      out.data().copyFrom(MemorySegment.ofBuffer(value.getByteBuffer()));
    }
    return out;
  }
}
