package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * A reader of what {@code torch.save} writes, as far as the published runs need it: numbers, texts,
 * lists, dictionaries and tensors of float32 and float64. Nothing of the file is executed: any
 * global beyond the five that stand for these is refused by name.
 */
final class PthFile {
  private static final String ORDERED = "collections OrderedDict";
  private static final String REBUILD = "torch._utils _rebuild_tensor_v2";
  private static final Map<String, DType> STORAGES =
      Map.of(
          "torch FloatStorage", DType.F32,
          "torch DoubleStorage", DType.F64,
          "torch LongStorage", DType.I64);

  private static final long LARGEST = 256L << 20;

  /** Of a message with words of the file. */
  private static final int LONGEST = 300;

  private final Path file;
  private final ZipFile zip;
  private final String root;
  private final ByteBuffer in;
  private final Deque<Object> stack = new ArrayDeque<>();
  private final Map<Integer, Object> memo = new HashMap<>();
  private final Map<String, Tensor> storages = new HashMap<>();
  private long budget;

  /** Where a list, tuple or dictionary begins. */
  private enum Marker {
    MARK
  }

  /** ArrayDeque takes no null. */
  private enum Nothing {
    NONE
  }

  private record Global(String name) {}

  private PthFile(Path file, ZipFile zip, ZipEntry pickle, long budget) throws IOException {
    this.file = file;
    this.zip = zip;
    this.budget = budget;
    this.root = pickle.getName().substring(0, pickle.getName().length() - "data.pkl".length());
    this.in = ByteBuffer.wrap(bytes(pickle)).order(ByteOrder.LITTLE_ENDIAN);
  }

  /**
   * What the file holds: a {@code Map}, {@code List}, {@code Tensor}, {@code String}, {@code Long},
   * {@code Double}, {@code Boolean} or null.
   *
   * @throws InputException if it cannot be read, or holds what is not of these
   */
  static Object read(Path file) {
    try (ZipFile zip = new ZipFile(file.toFile())) {
      ZipEntry pickle =
          zip.stream()
              .filter(e -> e.getName().equals("data.pkl") || e.getName().endsWith("/data.pkl"))
              .findFirst()
              .map(e -> (ZipEntry) e)
              .orElseThrow(() -> bad(file, "it has no data.pkl"));
      return new PthFile(file, zip, pickle, 4 * Files.size(file) + 1024).value();
    } catch (IOException e) {
      throw bad(file, String.valueOf(e.getMessage()));
    } catch (BufferUnderflowException e) {
      throw bad(file, "its data.pkl is cut off");
    } catch (ClassCastException
        | IllegalArgumentException
        | ArithmeticException
        | IndexOutOfBoundsException
        | NoSuchElementException e) {
      throw bad(file, "its data.pkl is damaged");
    }
  }

  private byte[] bytes(ZipEntry entry) throws IOException {
    if (entry.getMethod() != ZipEntry.STORED || entry.getSize() > Math.min(LARGEST, budget)) {
      throw bad(file, entry.getName() + " is compressed or too large, which PyTorch never writes");
    }
    try (InputStream stream = zip.getInputStream(entry)) {
      byte[] bytes = stream.readNBytes((int) entry.getSize());
      budget -= bytes.length;
      return bytes;
    }
  }

  private Object value() throws IOException {
    while (true) {
      int op = in.get() & 0xff;
      switch (op) {
        case 0x80 -> in.get();
        case '.' -> {
          Object value = pop();
          return value == Nothing.NONE ? null : value;
        }
        case '(' -> stack.push(Marker.MARK);
        case '}' -> stack.push(new LinkedHashMap<>());
        case ']' -> stack.push(new ArrayList<>());
        case ')' -> stack.push(List.of());
        case 'N' -> stack.push(Nothing.NONE);
        case 0x88 -> stack.push(Boolean.TRUE);
        case 0x89 -> stack.push(Boolean.FALSE);
        case 'K' -> stack.push((long) (in.get() & 0xff));
        case 'M' -> stack.push((long) (in.getShort() & 0xffff));
        case 'J' -> stack.push((long) in.getInt());
        case 0x8a -> stack.push(wide(in.get() & 0xff));
        case 'G' -> stack.push(Double.longBitsToDouble(Long.reverseBytes(in.getLong())));
        case 'X' -> stack.push(text(in.getInt()));
        case 'c' -> stack.push(new Global(allowed(line() + " " + line())));
        case 'q' -> memo.put(in.get() & 0xff, stack.getFirst());
        case 'r' -> memo.put(in.getInt(), stack.getFirst());
        case 'h' -> stack.push(known(in.get() & 0xff));
        case 'j' -> stack.push(known(in.getInt()));
        case 0x85, 0x86, 0x87 -> stack.push(last(op - 0x84));
        case 't' -> stack.push(marked());
        case 'Q' -> stack.push(storage((List<?>) pop()));
        case 'R' -> {
          List<?> arguments = (List<?>) pop();
          stack.push(made((Global) pop(), arguments));
        }
        // The state of an OrderedDict is metadata of torch.
        case 'b' -> pop();
        case 's' -> put(last(2));
        case 'u' -> put(marked());
        case 'a' -> {
          Object element = pop();
          list().add(element);
        }
        case 'e' -> {
          List<Object> elements = marked();
          list().addAll(elements);
        }
        default -> throw bad(file, "its data.pkl has the opcode " + op + ", which is not read");
      }
    }
  }

  private Object pop() {
    Object value = stack.pop();
    if (value == Marker.MARK) {
      throw bad(file, "its data.pkl is damaged");
    }
    return value;
  }

  private Object known(int key) {
    if (!memo.containsKey(key)) {
      throw bad(file, "its data.pkl is damaged");
    }
    return memo.get(key);
  }

  /** The topmost values, the deepest first. */
  private List<Object> last(int n) {
    List<Object> values = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      values.addFirst(pop());
    }
    return values;
  }

  private List<Object> marked() {
    List<Object> values = new ArrayList<>();
    for (Object value = stack.pop(); value != Marker.MARK; value = stack.pop()) {
      values.add(value);
    }
    return values.reversed();
  }

  @SuppressWarnings("unchecked")
  private List<Object> list() {
    return (List<Object>) stack.getFirst();
  }

  @SuppressWarnings("unchecked")
  private void put(List<Object> pairs) {
    Map<Object, Object> map = (Map<Object, Object>) stack.getFirst();
    for (int i = 0; i < pairs.size(); i += 2) {
      Object key = pairs.get(i);
      if (!(key instanceof String || key instanceof Number)) {
        throw bad(file, "it has a dictionary with keys that are no texts or numbers");
      }
      map.put(key, pairs.get(i + 1));
    }
  }

  private long wide(int bytes) {
    if (bytes > Long.BYTES) {
      throw bad(file, "its data.pkl holds a whole number of " + bytes + " bytes");
    }
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      long b = in.get();
      value |= (i == bytes - 1 ? b : b & 0xff) << 8 * i;
    }
    return value;
  }

  private String text(int length) {
    if (length < 0 || length > in.remaining()) {
      throw bad(file, "its data.pkl is cut off");
    }
    byte[] bytes = new byte[length];
    in.get(bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  private String line() {
    StringBuilder line = new StringBuilder();
    for (char c = (char) in.get(); c != '\n'; c = (char) in.get()) {
      line.append(c);
    }
    return line.toString();
  }

  private String allowed(String global) {
    if (!global.equals(ORDERED) && !global.equals(REBUILD) && !STORAGES.containsKey(global)) {
      throw bad(
          file,
          "it asks for the Python object "
              + global.replace(' ', '.')
              + ", and none but dictionaries and tensors are read; save the weights as"
              + " safetensors");
    }
    return global;
  }

  /** ("storage", class, key, place, elements). */
  private Tensor storage(List<?> id) throws IOException {
    String key = (String) id.get(2);
    if (!storages.containsKey(key)) {
      DType dtype = STORAGES.get(((Global) id.get(1)).name());
      ZipEntry entry = zip.getEntry(root + "data/" + key);
      if (dtype == null || entry == null) {
        throw bad(file, "its storage " + key + " is missing");
      }
      byte[] bytes = bytes(entry);
      Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, bytes.length / dtype.bytes());
      MemorySegment.copy(MemorySegment.ofArray(bytes), 0, t.data(), 0, t.data().byteSize());
      storages.put(key, t);
    }
    return storages.get(key);
  }

  private Object made(Global global, List<?> arguments) {
    if (global.name().equals(ORDERED)) {
      if (!arguments.isEmpty() && !((List<?>) arguments.getFirst()).isEmpty()) {
        throw bad(file, "it has a dictionary that is made of a list");
      }
      return new LinkedHashMap<>();
    }
    if (!global.name().equals(REBUILD)) {
      throw bad(file, "it calls " + global.name().replace(' ', '.'));
    }
    return tensor(
        (Tensor) arguments.get(0),
        (Long) arguments.get(1),
        longs((List<?>) arguments.get(2)),
        longs((List<?>) arguments.get(3)));
  }

  private static long[] longs(List<?> list) {
    return list.stream().mapToLong(x -> (Long) x).toArray();
  }

  private Tensor tensor(Tensor storage, long offset, long[] shape, long[] strides) {
    long elements = Tensor.elements(shape);
    if (strides.length != shape.length || elements > storage.elements()) {
      throw bad(file, "it has a tensor that is larger than its storage");
    }
    budget -= Math.multiplyExact(elements, (long) storage.dtype().bytes());
    if (budget < 0) {
      throw bad(file, "its tensors take more memory than four times the file");
    }
    Tensor out = Tensor.allocate(Arena.ofAuto(), storage.dtype(), shape);
    for (long i = 0; i < elements; i++) {
      long rest = i;
      long at = offset;
      for (int axis = shape.length - 1; axis >= 0; axis--) {
        at += rest % shape[axis] * strides[axis];
        rest /= shape[axis];
      }
      out.set(i, storage.get(at));
    }
    return out;
  }

  private static InputException bad(Path file, String why) {
    String line = why.replaceAll("\\p{Cntrl}", "?");
    return new InputException(
        "the file "
            + file
            + " cannot be read as a PyTorch file: "
            + (line.length() > LONGEST ? line.substring(0, LONGEST) + " ..." : line));
  }
}
