package io.assay.engine.graph;

import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import com.google.protobuf.ByteString;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * Tensors of one ONNX file. Data inside the file and in the files beside it is mapped, not copied,
 * unless it lies at an address that its element type does not allow. A mapping lives as long as a
 * tensor that shows it.
 */
final class OnnxData {
  private final Path model;
  private final Map<Path, MemorySegment> mapped = new HashMap<>();

  /** The data files beside the model, as it names them. */
  final Set<Path> files = new LinkedHashSet<>();

  OnnxData(Path model) {
    this.model = model;
  }

  /** The whole file as one read-only segment. */
  static MemorySegment map(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
    }
  }

  Tensor tensor(TensorProto proto, String what) {
    DType dtype = OnnxTypes.require(proto.getDataType(), what);
    if (proto.hasSegment()) {
      throw new InputException(what + " is stored in segments; save the model again without them");
    }
    long[] shape = proto.getDimsList().stream().mapToLong(Long::longValue).toArray();
    long elements;
    long bytes;
    try {
      elements = Tensor.elements(shape);
      bytes = Math.multiplyExact(elements, (long) dtype.bytes());
    } catch (ArithmeticException | IllegalArgumentException e) {
      throw new InputException(what + " has the impossible shape " + proto.getDimsList(), e);
    }
    if (proto.getDataLocation() == TensorProto.DataLocation.EXTERNAL) {
      return Tensor.of(dtype, aligned(external(proto, bytes, what), dtype), shape);
    }
    if (proto.hasRawData()) {
      ByteString raw = proto.getRawData();
      requireSize(raw.size(), bytes, "bytes", what);
      MemorySegment data = MemorySegment.ofBuffer(raw.asReadOnlyByteBuffer());
      return Tensor.of(dtype, aligned(data, dtype), shape);
    }
    return Tensor.of(dtype, listed(proto, dtype, elements, what), shape);
  }

  /** Data in one of the typed lists of the message. */
  private static MemorySegment listed(TensorProto p, DType dtype, long elements, String what) {
    int count =
        switch (dtype) {
          case F32 -> p.getFloatDataCount();
          case F64 -> p.getDoubleDataCount();
          case I64 -> p.getInt64DataCount();
          default -> p.getInt32DataCount();
        };
    requireSize(count, elements, "elements", what);
    MemorySegment data = Arena.ofAuto().allocate(elements * dtype.bytes(), 64);
    for (int i = 0; i < count; i++) {
      switch (dtype) {
        case F32 -> data.set(Tensor.FLOAT, 4L * i, p.getFloatData(i));
        case F64 -> data.set(Tensor.DOUBLE, 8L * i, p.getDoubleData(i));
        case I64 -> data.set(Tensor.LONG, 8L * i, p.getInt64Data(i));
        case I32 -> data.set(Tensor.INT, 4L * i, p.getInt32Data(i));
        case I16, F16, BF16 -> data.set(Tensor.SHORT, 2L * i, (short) p.getInt32Data(i));
        case I8, U8, BOOL -> data.set(ValueLayout.JAVA_BYTE, i, (byte) p.getInt32Data(i));
      }
    }
    return data;
  }

  private static void requireSize(long has, long needs, String unit, String what) {
    if (has != needs) {
      throw new InputException(
          what + " needs " + needs + " " + unit + " for its shape, the file holds " + has);
    }
  }

  private MemorySegment external(TensorProto proto, long bytes, String what) {
    Map<String, String> entries = new HashMap<>();
    for (StringStringEntryProto entry : proto.getExternalDataList()) {
      entries.put(entry.getKey(), entry.getValue());
    }
    String location = entries.getOrDefault("location", "");
    MemorySegment file = mapped.computeIfAbsent(resolve(location, what), p -> mapData(p, what));
    long offset = number(entries.get("offset"), 0, "offset", what);
    long length = number(entries.get("length"), bytes, "length", what);
    requireSize(length, bytes, "bytes", what);
    if (offset > file.byteSize() - length) {
      throw new InputException(
          what
              + " lies at bytes "
              + offset
              + " to "
              + offset
              + "+"
              + length
              + " of "
              + location
              + ", which has only "
              + file.byteSize()
              + " bytes");
    }
    return file.asSlice(offset, length);
  }

  /** The data file, which must lie in the folder of the model (links followed) or below it. */
  private Path resolve(String location, String what) {
    try {
      Path relative = Path.of(location);
      Path folder = model.toAbsolutePath().getParent().normalize();
      Path file = folder.resolve(relative).normalize();
      if (location.isEmpty() || relative.isAbsolute() || !file.startsWith(folder)) {
        throw new InputException(
            what
                + " names the data file '"
                + location
                + "', which is not inside the folder of the model");
      }
      if (!Files.isRegularFile(file)) {
        throw new InputException(
            what + " needs the data file " + location + " beside the model; it is missing");
      }
      Path real = file.toRealPath();
      if (!real.startsWith(folder.toRealPath())
          && !real.startsWith(model.toRealPath().getParent())) {
        throw new InputException(
            what + " names the data file " + location + ", a link that leaves the model's folder");
      }
      files.add(file);
      return real;
    } catch (InvalidPathException e) {
      throw new InputException(what + " names a data file with an impossible name", e);
    } catch (IOException e) {
      throw new InputException(what + ": the data file " + location + " cannot be read", e);
    }
  }

  private static MemorySegment mapData(Path file, String what) {
    try {
      return map(file);
    } catch (IOException e) {
      throw new InputException(what + ": the data file " + file + " cannot be read", e);
    }
  }

  private static long number(String text, long otherwise, String key, String what) {
    if (text == null) {
      return otherwise;
    }
    try {
      long value = Long.parseLong(text);
      if (value >= 0) {
        return value;
      }
    } catch (NumberFormatException e) {
      // Told below, as for a negative number.
    }
    throw new InputException(
        what + " has the " + key + " '" + text + "' in its data file; it must be a number >= 0");
  }

  /**
   * The same bytes, off heap and at an address that suits the type; copied only if they must be.
   */
  private static MemorySegment aligned(MemorySegment data, DType dtype) {
    if (data.isNative() && data.address() % dtype.bytes() == 0) {
      return data;
    }
    return Arena.ofAuto().allocate(data.byteSize(), 64).copyFrom(data);
  }
}
