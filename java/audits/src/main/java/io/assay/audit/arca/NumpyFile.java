package io.assay.audit.arca;

import io.assay.engine.InputException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An array as numpy stores it: in a {@code .npy} file, or pickled as the published tables are.
 *
 * <p>A pickle is a program. This reader runs no program: it knows the few instructions that write
 * down one array of numbers, and three names; everything else is refused.
 *
 * @param type {@code f4}, {@code f8} or {@code i8}, little endian
 * @param shape one or two sizes; the last varies fastest
 * @param data the numbers
 */
record NumpyFile(String type, int[] shape, ByteBuffer data) {
  private static final int MOST_SAID = 300;
  private static final Pattern TYPE = Pattern.compile("'descr'\\s*:\\s*'([^']*)'");
  private static final Pattern ORDER = Pattern.compile("'fortran_order'\\s*:\\s*(True|False)");
  private static final Pattern SHAPE =
      Pattern.compile("'shape'\\s*:\\s*\\(\\s*(\\d{1,9})\\s*,?\\s*(\\d{1,9})?\\s*,?\\s*\\)");

  /** Whether a file starts as a {@code .npy} file does. */
  static boolean isNpy(byte[] bytes) {
    return bytes.length > 5
        && bytes[0] == (byte) 0x93
        && new String(bytes, 1, 5, StandardCharsets.ISO_8859_1).equals("NUMPY");
  }

  /** Whether a file starts as a pickle of protocol 2 or later does. */
  static boolean isPickle(byte[] bytes) {
    return bytes.length > 1 && bytes[0] == (byte) 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
  }

  /**
   * Reads a {@code .npy} file.
   *
   * @param name of the file, for messages
   */
  static NumpyFile npy(String name, byte[] bytes) {
    ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    if (bytes.length < 12) {
      throw refused(name, "ends inside its header");
    }
    long length = bytes[6] == 1 ? in.getShort(8) & 0xffff : in.getInt(8) & 0xffffffffL;
    int start = bytes[6] == 1 ? 10 : 12;
    if (length > bytes.length - start) {
      throw refused(name, "ends inside its header");
    }
    String header = new String(bytes, start, (int) length, StandardCharsets.ISO_8859_1);
    Matcher type = TYPE.matcher(header);
    Matcher order = ORDER.matcher(header);
    Matcher shape = SHAPE.matcher(header);
    if (!type.find() || !order.find() || !shape.find()) {
      throw refused(name, "has the header " + header.strip());
    }
    if (!type.group(1).startsWith("<")) {
      throw refused(name, "holds the type " + type.group(1));
    }
    int rows = Integer.parseInt(shape.group(1));
    int[] sizes =
        shape.group(2) == null
            ? new int[] {rows}
            : new int[] {rows, Integer.parseInt(shape.group(2))};
    if (order.group(1).equals("True") && sizes.length > 1) {
      throw refused(name, "is stored column by column (fortran_order)");
    }
    int from = start + (int) length;
    return array(name, type.group(1).substring(1), sizes, in, from, bytes.length - from);
  }

  /** The array of {@code bytes} bytes at {@code from}, if that is what type and shape need. */
  private static NumpyFile array(
      String name, String type, int[] shape, ByteBuffer in, int from, int bytes) {
    int width =
        switch (type) {
          case "f4" -> 4;
          case "f8", "i8" -> 8;
          default -> throw refused(name, "holds the type " + type);
        };
    long count = Arrays.stream(shape).asLongStream().reduce(1, (a, b) -> a * b);
    if (count * width != bytes) {
      throw refused(
          name, "says " + Arrays.toString(shape) + " values and holds " + bytes + " bytes of them");
    }
    return new NumpyFile(type, shape, in.slice(from, bytes).order(ByteOrder.LITTLE_ENDIAN));
  }

  /** Numbers of one row. */
  int columns() {
    return shape.length == 1 ? 1 : shape[1];
  }

  /** The first size. */
  int rows() {
    return shape[0];
  }

  /** The numbers of one column. */
  double[] column(int column) {
    double[] values = new double[rows()];
    for (int r = 0; r < values.length; r++) {
      int at = r * columns() + column;
      values[r] =
          switch (type) {
            case "f4" -> data.getFloat(4 * at);
            case "f8" -> data.getDouble(8 * at);
            default -> data.getLong(8 * at);
          };
    }
    return values;
  }

  /** Refuses a file; what it says of itself is not printed as it is. */
  private static InputException refused(String name, String why) {
    String printable = why.replaceAll("\\p{Cntrl}", "?");
    return new InputException(
        "the numpy file "
            + name
            + " "
            + printable.substring(0, Math.min(printable.length(), MOST_SAID))
            + "; save with numpy.save one array of one or two dimensions, of float32, float64 or"
            + " int64, little endian, row by row");
  }

  // ---- pickles ----

  /** A name that a pickle mentions. */
  private record Name(String module, String name) {}

  /** A number type under construction: its code and, once set, its byte order. */
  private record Type(String code, String order) {}

  /** Bytes of the file, not copied. */
  private record Bytes(int from, int length) {}

  /** The array that _reconstruct begins and its state completes. */
  private enum Unfinished {
    ARRAY
  }

  private enum Special {
    MARK,
    NONE
  }

  /**
   * Reads a pickled array, of protocol 2 to 5 as far as it stores its numbers as bytes.
   *
   * @param name of the file, for messages
   */
  static NumpyFile pickle(String name, byte[] bytes) {
    return new Pickle(name, bytes).read();
  }

  private static final class Pickle {
    private static final int MOST_OBJECTS = 4096;
    private final String name;
    private final ByteBuffer in;
    private final List<Object> stack = new ArrayList<>();
    private final Map<Integer, Object> memo = new HashMap<>();

    Pickle(String name, byte[] bytes) {
      this.name = name;
      this.in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    NumpyFile read() {
      try {
        while (true) {
          int code = in.get() & 0xff;
          if (code == '.') {
            if (stack.size() == 1 && stack.getFirst() instanceof NumpyFile array) {
              return array;
            }
            throw refused(name, "does not hold one array");
          }
          step(code);
          if (stack.size() > MOST_OBJECTS || memo.size() > MOST_OBJECTS) {
            throw refused(name, "is a pickle of something larger than one array");
          }
        }
      } catch (BufferUnderflowException | IndexOutOfBoundsException | NoSuchElementException e) {
        throw new InputException(refused(name, "ends inside its pickle").getMessage(), e);
      } catch (ClassCastException e) {
        throw new InputException(
            refused(name, "is a pickle of something else than one array").getMessage(), e);
      }
    }

    private void step(int code) {
      switch (code) {
        case 0x80 -> in.get(); // protocol
        case 0x95 -> in.getLong(); // frame
        case '(' -> push(Special.MARK);
        case 'N' -> push(Special.NONE);
        case 0x88 -> push(true);
        case 0x89 -> push(false);
        case 'K' -> push(in.get() & 0xff);
        case 'M' -> push(in.getShort() & 0xffff);
        case 'J' -> push(in.getInt());
        case 0x8c -> push(text(in.get() & 0xff));
        case 'X' -> push(text(in.getInt()));
        case 'C' -> push(take(in.get() & 0xff));
        case 'B' -> push(take(in.getInt()));
        case 0x8e, 0x96 -> push(take(in.getLong()));
        case 'c' -> push(global(line(), line()));
        case 0x93 -> {
          String second = (String) pop();
          push(global((String) pop(), second));
        }
        case 0x94 -> memo.put(memo.size(), stack.getLast());
        case 'q' -> memo.put(in.get() & 0xff, stack.getLast());
        case 'r' -> memo.put(in.getInt(), stack.getLast());
        case 'h' -> push(recall(in.get() & 0xff));
        case 'j' -> push(recall(in.getInt()));
        case ')' -> push(List.of());
        case 0x85 -> push(last(1));
        case 0x86 -> push(last(2));
        case 0x87 -> push(last(3));
        case 't' -> {
          int mark = stack.lastIndexOf(Special.MARK);
          List<Object> items = last(stack.size() - mark - 1);
          pop();
          push(items);
        }
        case 'R' -> {
          List<?> arguments = (List<?>) pop();
          push(call((Name) pop(), arguments));
        }
        case 'b' -> {
          List<?> state = (List<?>) pop();
          push(build(pop(), state));
        }
        default ->
            throw refused(
                name, "is a pickle with the instruction " + code + ", which no plain array needs");
      }
    }

    private void push(Object item) {
      stack.add(item);
    }

    private Object pop() {
      return stack.removeLast();
    }

    private List<Object> last(int count) {
      List<Object> tail = stack.subList(stack.size() - count, stack.size());
      List<Object> items = List.copyOf(tail);
      tail.clear();
      return items;
    }

    private Object recall(int index) {
      Object item = memo.get(index);
      if (item == null) {
        throw refused(name, "is a pickle that refers to what it has not said");
      }
      return item;
    }

    private Bytes take(long length) {
      if (length < 0 || length > in.remaining()) {
        throw refused(name, "ends inside its pickle");
      }
      Bytes bytes = new Bytes(in.position(), (int) length);
      in.position(in.position() + (int) length);
      return bytes;
    }

    private String text(long length) {
      Bytes bytes = take(length);
      return new String(in.array(), bytes.from(), bytes.length(), StandardCharsets.UTF_8);
    }

    private String line() {
      int from = in.position();
      while (in.get() != '\n') {
        // up to the end of the line
      }
      return new String(in.array(), from, in.position() - 1 - from, StandardCharsets.UTF_8);
    }

    /** The only names that a plain array mentions. */
    private Name global(String module, String member) {
      String plain = module.replace("numpy._core", "numpy.core");
      boolean known =
          switch (member) {
            case "_reconstruct" -> plain.equals("numpy.core.multiarray");
            case "_frombuffer" -> plain.equals("numpy.core.numeric");
            case "ndarray", "dtype" -> plain.equals("numpy");
            default -> false;
          };
      if (!known) {
        throw refused(
            name, "is a pickle that asks for " + module + "." + member + ", which is not run");
      }
      return new Name(plain, member);
    }

    private Object call(Name function, List<?> arguments) {
      return switch (function.name()) {
        case "_reconstruct" -> Unfinished.ARRAY;
        case "dtype" -> new Type((String) arguments.get(0), null);
        case "_frombuffer" ->
            finish(
                (List<?>) arguments.get(2),
                (Type) arguments.get(1),
                !arguments.get(3).equals("C"),
                (Bytes) arguments.get(0));
        default -> throw refused(name, "is a pickle of something else than one array");
      };
    }

    private Object build(Object unfinished, List<?> state) {
      if (unfinished instanceof Type(String code, String order) && order == null) {
        Type finished = new Type(code, (String) state.get(1));
        memo.replaceAll((_, item) -> item.equals(unfinished) ? finished : item);
        return finished;
      }
      if (unfinished == Unfinished.ARRAY) {
        return finish(
            (List<?>) state.get(1),
            (Type) state.get(2),
            (Boolean) state.get(3),
            (Bytes) state.get(4));
      }
      throw refused(name, "is a pickle of something else than one array");
    }

    private NumpyFile finish(List<?> sizes, Type type, boolean fortran, Bytes bytes) {
      int[] shape = sizes.stream().mapToInt(size -> (Integer) size).toArray();
      if (shape.length < 1 || shape.length > 2 || Arrays.stream(shape).anyMatch(n -> n < 0)) {
        throw refused(name, "has the shape " + Arrays.toString(shape));
      }
      if (fortran && shape.length > 1) {
        throw refused(name, "is stored column by column");
      }
      if (!"<".equals(type.order())) {
        throw refused(name, "holds the type " + type.code() + " in the byte order " + type.order());
      }
      return array(name, type.code(), shape, in, bytes.from(), bytes.length());
    }
  }
}
