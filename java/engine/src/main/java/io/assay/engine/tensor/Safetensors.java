package io.assay.engine.tensor;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import io.assay.engine.InputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The safetensors file format: an eight-byte length, a JSON header of that length that gives name,
 * type, shape and byte range of each tensor, and the bytes.
 *
 * <p>A file is mapped, not read: its tensors are views of the mapping, which lives as long as any
 * of them is reachable. As the format demands, the byte ranges must cover the data without overlap
 * and without holes.
 *
 * @param tensors the tensors by name, in the order of the header
 * @param metadata the free text entries of {@code __metadata__}
 * @see <a href="https://huggingface.co/docs/safetensors">the format</a>
 */
public record Safetensors(Map<String, Tensor> tensors, Map<String, String> metadata) {
  /** Longest header in bytes, a limit of the format. */
  public static final long MAX_HEADER = 100_000_000;

  private static final String METADATA = "__metadata__";
  private static final int MAX_RANK = 16;
  private static final long CHUNK = 1 << 26;
  private static final JsonFactory JSON =
      JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  public Safetensors {
    tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
  }

  /**
   * An entry of the header: {@code begin} and {@code end} count bytes from the end of the header.
   */
  private record Entry(String name, DType dtype, long[] shape, long begin, long end) {}

  /**
   * Maps a file.
   *
   * @throws InputException if the file cannot be read or is not a valid safetensors file
   */
  public static Safetensors read(Path file) {
    MemorySegment all = map(file);
    if (all.byteSize() < Long.BYTES) {
      throw bad(file, "it has " + all.byteSize() + " bytes, too few for a header length");
    }
    long length = all.get(Tensor.LONG, 0);
    if (length < 0 || length > MAX_HEADER || length > all.byteSize() - Long.BYTES) {
      throw bad(
          file,
          "it claims a header of "
              + Long.toUnsignedString(length)
              + " bytes, but has "
              + all.byteSize()
              + " bytes in all and the limit is "
              + MAX_HEADER);
    }
    Map<String, String> metadata = new LinkedHashMap<>();
    List<Entry> entries;
    try (JsonParser p = JSON.createParser(new Bytes(all.asSlice(Long.BYTES, length)))) {
      entries = header(file, p, metadata);
    } catch (JacksonException e) {
      throw bad(file, "its header is not JSON (" + e.getOriginalMessage() + ")");
    } catch (IOException e) {
      throw bad(file, "its header cannot be read (" + e.getMessage() + ")");
    }
    MemorySegment data = all.asSlice(Long.BYTES + length);
    requireCovered(file, entries, data.byteSize());
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    for (Entry e : entries) {
      tensors.put(e.name, Tensor.of(e.dtype, data.asSlice(e.begin, e.end - e.begin), e.shape));
    }
    return new Safetensors(tensors, metadata);
  }

  private static MemorySegment map(Path file) {
    // To open a named pipe would wait for its writer.
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new InputException("the path " + file + " is not a file");
    }
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return channel
          .map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto())
          .asReadOnly();
    } catch (NoSuchFileException e) {
      throw new InputException("there is no file " + file);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read: " + e.getMessage(), e);
    }
  }

  private static List<Entry> header(Path file, JsonParser p, Map<String, String> metadata)
      throws IOException {
    if (p.nextToken() != JsonToken.START_OBJECT) {
      throw bad(file, "its header is not a JSON object");
    }
    List<Entry> entries = new ArrayList<>();
    while (p.nextToken() != JsonToken.END_OBJECT) {
      String name = p.currentName();
      if (p.nextToken() != JsonToken.START_OBJECT) {
        throw bad(file, "the header entry " + name + " is not a JSON object");
      }
      if (name.equals(METADATA)) {
        while (p.nextToken() != JsonToken.END_OBJECT) {
          String key = p.currentName();
          if (p.nextToken() != JsonToken.VALUE_STRING) {
            throw bad(file, "the metadata entry " + key + " is not a text");
          }
          metadata.put(key, p.getText());
        }
      } else {
        entries.add(entry(file, name, p));
      }
    }
    if (p.nextToken() != null) {
      throw bad(file, "something follows the JSON object of its header");
    }
    return entries;
  }

  private static Entry entry(Path file, String name, JsonParser p) throws IOException {
    DType dtype = null;
    long[] shape = null;
    long[] offsets = null;
    while (p.nextToken() != JsonToken.END_OBJECT) {
      String key = p.currentName();
      p.nextToken();
      switch (key) {
        case "dtype" -> dtype = dtype(file, name, p.getText());
        case "shape" -> shape = integers(file, name, key, p);
        case "data_offsets" -> offsets = integers(file, name, key, p);
        default -> throw bad(file, "the tensor " + name + " has the unknown field " + key);
      }
    }
    if (dtype == null || shape == null || offsets == null || offsets.length != 2) {
      throw bad(file, "the tensor " + name + " lacks one of dtype, shape and two data_offsets");
    }
    long bytes = bytes(file, name, dtype, shape);
    if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != bytes) {
      throw bad(
          file,
          "the tensor "
              + name
              + " of type "
              + dtype
              + " and shape "
              + Arrays.toString(shape)
              + " takes "
              + bytes
              + " bytes, but its offsets are "
              + Arrays.toString(offsets));
    }
    return new Entry(name, dtype, shape, offsets[0], offsets[1]);
  }

  private static DType dtype(Path file, String name, String text) {
    try {
      return DType.valueOf(text);
    } catch (IllegalArgumentException e) {
      throw bad(
          file,
          "the tensor "
              + name
              + " has the type "
              + text
              + "; the types read are "
              + Arrays.toString(DType.values()));
    }
  }

  private static long[] integers(Path file, String name, String key, JsonParser p)
      throws IOException {
    if (p.currentToken() != JsonToken.START_ARRAY) {
      throw bad(file, key + " of the tensor " + name + " is not a list");
    }
    long[] values = new long[MAX_RANK];
    int n = 0;
    while (p.nextToken() != JsonToken.END_ARRAY) {
      if (p.currentToken() != JsonToken.VALUE_NUMBER_INT
          || p.getNumberType() == JsonParser.NumberType.BIG_INTEGER
          || p.getLongValue() < 0) {
        throw bad(
            file,
            key
                + " of the tensor "
                + name
                + " holds "
                + p.getText()
                + ", not an integer from 0 to 2^63-1");
      }
      if (n == MAX_RANK) {
        throw bad(file, key + " of the tensor " + name + " has more than " + MAX_RANK + " entries");
      }
      values[n++] = p.getLongValue();
    }
    return Arrays.copyOf(values, n);
  }

  private static long bytes(Path file, String name, DType dtype, long[] shape) {
    try {
      long bytes = dtype.bytes();
      for (long d : shape) {
        bytes = Math.multiplyExact(bytes, d);
      }
      return bytes;
    } catch (ArithmeticException e) {
      throw bad(file, "the tensor " + name + " claims the size " + Arrays.toString(shape));
    }
  }

  /** The ranges, in order of their begin, must follow each other from 0 to {@code size}. */
  private static void requireCovered(Path file, List<Entry> entries, long size) {
    List<Entry> sorted = new ArrayList<>(entries);
    sorted.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    long at = 0;
    for (Entry e : sorted) {
      if (e.begin != at) {
        throw bad(
            file,
            "the tensor "
                + e.name
                + " begins at byte "
                + e.begin
                + ", but the one before it ends at "
                + at
                + (e.begin < at ? ": they overlap" : ": there is a hole"));
      }
      at = e.end;
    }
    if (at != size) {
      throw bad(
          file,
          "its tensors take "
              + at
              + " bytes, but it holds "
              + size
              + " after the header"
              + (size < at ? ": it is cut off" : ""));
    }
  }

  /**
   * Writes tensors, in the order of the map, with their data aligned to eight bytes.
   *
   * @throws InputException if the file cannot be written
   */
  public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) {
    // Wide elements first: every tensor is then aligned to its element, as the format asks.
    List<Map.Entry<String, Tensor>> sorted = new ArrayList<>(tensors.entrySet());
    sorted.sort(Comparator.comparingInt(e -> -e.getValue().dtype().bytes()));
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING,
            StandardOpenOption.WRITE)) {
      byte[] header = header(sorted, metadata);
      ByteBuffer length = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
      writeAll(channel, length.putLong(0, header.length));
      writeAll(channel, ByteBuffer.wrap(header));
      for (Map.Entry<String, Tensor> e : sorted) {
        MemorySegment data = e.getValue().data();
        for (long at = 0; at < data.byteSize(); at += CHUNK) {
          writeAll(channel, data.asSlice(at, Math.min(CHUNK, data.byteSize() - at)).asByteBuffer());
        }
      }
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be written: " + e.getMessage(), e);
    }
  }

  private static byte[] header(
      List<Map.Entry<String, Tensor>> tensors, Map<String, String> metadata) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (JsonGenerator g = JSON.createGenerator(out)) {
      g.writeStartObject();
      if (!metadata.isEmpty()) {
        g.writeObjectFieldStart(METADATA);
        for (Map.Entry<String, String> e : metadata.entrySet()) {
          g.writeStringField(e.getKey(), e.getValue());
        }
        g.writeEndObject();
      }
      long at = 0;
      for (Map.Entry<String, Tensor> e : tensors) {
        Tensor t = e.getValue();
        long end = at + t.data().byteSize();
        g.writeObjectFieldStart(e.getKey());
        g.writeStringField("dtype", t.dtype().name());
        g.writeFieldName("shape");
        g.writeArray(t.shape(), 0, t.rank());
        g.writeFieldName("data_offsets");
        g.writeArray(new long[] {at, end}, 0, 2);
        g.writeEndObject();
        at = end;
      }
      g.writeEndObject();
    }
    while (out.size() % Long.BYTES != 0) {
      out.write(' ');
    }
    return out.toByteArray();
  }

  private static void writeAll(FileChannel channel, ByteBuffer buffer) throws IOException {
    while (buffer.hasRemaining()) {
      channel.write(buffer);
    }
  }

  private static InputException bad(Path file, String why) {
    return new InputException(file + " is not a valid safetensors file: " + why);
  }

  /** A segment as a stream: the header is parsed where it is mapped. */
  private static final class Bytes extends InputStream {
    private final MemorySegment segment;
    private long at;

    Bytes(MemorySegment segment) {
      this.segment = segment;
    }

    @Override
    public int read() {
      return at == segment.byteSize() ? -1 : segment.get(ValueLayout.JAVA_BYTE, at++) & 0xff;
    }

    @Override
    public int read(byte[] into, int from, int length) {
      int n = (int) Math.min(length, segment.byteSize() - at);
      if (n == 0 && length > 0) {
        return -1;
      }
      MemorySegment.copy(segment, ValueLayout.JAVA_BYTE, at, into, from, n);
      at += n;
      return n;
    }
  }
}
