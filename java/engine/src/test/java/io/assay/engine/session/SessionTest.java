package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SessionTest {
  private static final SessionOptions OPTIONS = SessionOptions.cpu(1);

  private static Graph graph(Consumer<Graph.Builder> body) {
    Graph.Builder b = Graph.builder("small").opset("", 17);
    body.accept(b);
    return b.build();
  }

  private static Graph binary(String op, DType dtype, DType result, long... shape) {
    return graph(
        b -> {
          b.input("x", TensorType.of(dtype, shape));
          b.input("y", TensorType.of(dtype, shape));
          b.op("z", op, Map.of(), "x", "y");
          b.type("z", TensorType.of(result, shape)).output("z");
        });
  }

  private static Graph identity(TensorType type) {
    return graph(
        b -> {
          b.input("x", type);
          b.op("y", "Identity", Map.of(), "x");
          b.type("y", type).output("y");
        });
  }

  private static Tensor bytes(DType dtype, long seed, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, shape);
    byte[] values = new byte[(int) t.data().byteSize()];
    new Random(seed).nextBytes(values);
    for (int i = 0; i < values.length && dtype == DType.BOOL; i++) {
      values[i] &= 1;
    }
    MemorySegment.copy(MemorySegment.ofArray(values), 0, t.data(), 0, values.length);
    return t;
  }

  @Test
  void float32() {
    try (Session s = Session.compile(binary("Mul", DType.F32, DType.F32, 2, 2), OPTIONS)) {
      Tensor x = Tensor.ofFloats(new float[] {1, 2, 3, 4}, 2, 2);
      Tensor y = Tensor.ofFloats(new float[] {0.5f, -1, 1e20f, 0}, 2, 2);
      Tensor z = s.run(Map.of("x", x, "y", y)).get("z");
      assertEquals("F32[2, 2]", z.toString());
      assertArrayEquals(new double[] {0.5, -2, 3e20f, 0}, z.toDoubles());
    }
  }

  @Test
  void float64KeepsAllItsDigits() {
    try (Session s = Session.compile(binary("Add", DType.F64, DType.F64, 2), OPTIONS)) {
      Tensor x = Tensor.ofDoubles(new double[] {1, 1e300}, 2);
      Tensor y = Tensor.ofDoubles(new double[] {0x1p-52, 1e284}, 2);
      double[] z = s.run(Map.of("x", x, "y", y)).get("z").toDoubles();
      assertArrayEquals(new double[] {1 + 0x1p-52, 1e300 + 1e284}, z);
    }
  }

  @Test
  void scaleOfAFloat64ProductKeepsItsDigits() {
    Graph g =
        graph(
            b -> {
              b.input("x", TensorType.of(DType.F64, 1, 1));
              b.input("y", TensorType.of(DType.F64, 1, 1));
              b.constant("scale", Tensor.scalar(DType.F64, 0.1));
              b.op("p", "MatMul", Map.of(), "x", "y");
              b.op("z", "Mul", Map.of(), "p", "scale");
              b.type("z", TensorType.of(DType.F64, 1, 1)).output("z");
            });
    try (Session s = Session.compile(g, OPTIONS)) {
      Tensor one = Tensor.ofDoubles(new double[] {1}, 1, 1);
      assertEquals(0.1, s.run(Map.of("x", one, "y", one)).get("z").get(0));
    }
  }

  /**
   * The runtime's optimiser would turn the constant instead of the input, which spares two nodes.
   */
  @Test
  void aSharedConstantBetweenTranspositionsStaysAsItIs() {
    float[] values = new float[24 * 32];
    for (int i = 0; i < values.length; i++) {
      values[i] = i;
    }
    Graph g =
        graph(
            b -> {
              b.input("x", TensorType.of(DType.F32, 1, 24, 32));
              b.constant("c", Tensor.ofFloats(values, 1, 32, 24));
              Map<String, Object> swap = Map.of("perm", List.of(0L, 2L, 1L));
              b.op("turned", "Transpose", swap, "x");
              b.op("sum", "Add", Map.of(), "turned", "c");
              b.op("y", "Transpose", swap, "sum");
              b.type("y", TensorType.of(DType.F32, 1, 24, 32)).output("y");
            });
    Tensor x = Tensor.allocate(Arena.ofAuto(), DType.F32, 1, 24, 32);
    try (Session s = Session.compile(g, OPTIONS)) {
      Tensor y = s.run(Map.of("x", x)).get("y");
      for (int i = 0; i < 24; i++) {
        for (int j = 0; j < 32; j++) {
          assertEquals(j * 24 + i, y.get(i * 32 + j));
        }
      }
    }
  }

  @Test
  void integersAndBooleans() {
    long big = Long.MAX_VALUE - 1;
    Tensor x = Tensor.ofLongs(new long[] {big, -5, 7}, 3);
    Tensor y = Tensor.ofLongs(new long[] {1, 5, 8}, 3);
    try (Session sum = Session.compile(binary("Add", DType.I64, DType.I64, 3), OPTIONS);
        Session less = Session.compile(binary("Less", DType.I64, DType.BOOL, 3), OPTIONS)) {
      long[] z = sum.run(Map.of("x", x, "y", y)).get("z").toLongs();
      assertArrayEquals(new long[] {Long.MAX_VALUE, 0, 15}, z);
      Tensor b = less.run(Map.of("x", x, "y", y)).get("z");
      assertEquals(DType.BOOL, b.dtype());
      assertArrayEquals(new long[] {0, 1, 1}, b.toLongs());
    }
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void everyTypeGoesThroughUnchanged(DType dtype) {
    List<Dim> free = List.of(Dim.symbol("n"), Dim.of(3));
    for (TensorType type :
        List.of(
            TensorType.of(dtype, 5, 3),
            TensorType.of(dtype),
            TensorType.of(dtype, 0, 3),
            new TensorType(dtype, free))) {
      long[] shape = type.isStatic() ? type.shape() : new long[] {4, 3};
      try (Session s = Session.compile(identity(type), OPTIONS)) {
        Tensor x = bytes(dtype, 1, shape);
        Tensor y = s.run(Map.of("x", x)).get("y");
        assertEquals(x.toString(), y.toString());
        assertEquals(-1, x.data().mismatch(y.data()), dtype + " " + type);
      }
    }
  }

  @Test
  void freeDimensionMayBeZero() {
    TensorType type = new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(2)));
    try (Session s = Session.compile(identity(type), OPTIONS)) {
      Tensor y = s.run(Map.of("x", Tensor.ofFloats(new float[0], 0, 2))).get("y");
      assertEquals("F32[0, 2]", y.toString());
    }
  }

  @Test
  void heapAndMisalignedMemoryIsCopied() {
    Tensor x = Tensor.ofFloats(new float[] {1, 2, 3}, 3);
    MemorySegment shifted = Arena.ofAuto().allocate(13, 64).asSlice(1);
    MemorySegment.copy(x.data(), 0, shifted, 0, 12);
    Tensor heap = Tensor.of(DType.F32, MemorySegment.ofArray(new float[] {1, 2, 3}), 3);
    Tensor misaligned = Tensor.of(DType.F32, shifted, 3);
    Graph sum = binary("Add", DType.F32, DType.F32, 3);
    try (Session s = Session.compile(sum, OPTIONS)) {
      Tensor z = s.run(Map.of("x", heap, "y", misaligned)).get("z");
      assertArrayEquals(new double[] {2, 4, 6}, z.toDoubles());
      Tensor out = Tensor.ofFloats(new float[3], 3);
      for (Tensor bad : List.of(heap, misaligned)) {
        Map<String, Tensor> in = Map.of("x", x, "y", bad);
        assertThrows(IllegalArgumentException.class, () -> s.bind(in, Map.of("z", out)));
      }
    }
  }

  @Test
  void weightsMayLieAnywhere() {
    float[] values = new float[512];
    for (int i = 0; i < values.length; i++) {
      values[i] = i * 0.25f;
    }
    Tensor plain = Tensor.ofFloats(values, 512);
    MemorySegment shifted = Arena.ofAuto().allocate(2049, 64).asSlice(1);
    MemorySegment.copy(plain.data(), 0, shifted, 0, 2048);
    for (Tensor w :
        List.of(
            plain,
            Tensor.of(DType.F32, MemorySegment.ofArray(values), 512),
            Tensor.of(DType.F32, shifted, 512),
            Tensor.of(DType.F32, plain.data().asReadOnly(), 512))) {
      Graph g =
          graph(
              b -> {
                b.input("x", TensorType.of(DType.F32, 512));
                b.constant("w", w);
                b.op("y", "Add", Map.of(), "x", "w");
                b.type("y", TensorType.of(DType.F32, 512)).output("y");
              });
      try (Session s = Session.compile(g, OPTIONS)) {
        Tensor y = s.run(Map.of("x", Tensor.ofFloats(new float[512], 512))).get("y");
        assertEquals(-1, plain.data().mismatch(y.data()));
      }
    }
  }

  @Test
  void outputMayBeAnInputOrAConstant() {
    Tensor small = Tensor.ofFloats(new float[] {8, 9}, 2);
    Tensor large = bytes(DType.I64, 2, 300);
    Graph g =
        graph(
            b -> {
              b.input("x", TensorType.of(DType.F32, 2));
              b.constant("small", small);
              b.constant("large", large);
              b.op("y", "Neg", Map.of(), "x");
              b.type("y", TensorType.of(DType.F32, 2));
              // Nodes that the runtime may take for the value they read.
              b.op("same", "Identity", Map.of(), "small");
              b.type("same", TensorType.of(DType.F32, 2));
              b.constant("shape", Tensor.ofLongs(new long[] {2, 1}, 2));
              b.op("column", "Reshape", Map.of(), "x", "shape");
              b.type("column", TensorType.of(DType.F32, 2, 1));
              b.output("x").output("small").output("large").output("y");
              b.output("same").output("column");
            });
    Tensor x = Tensor.ofFloats(new float[] {1, 2}, 2);
    try (Session s = Session.compile(g, OPTIONS)) {
      Map<String, Tensor> out = s.run(Map.of("x", x));
      assertEquals(g.outputs(), List.copyOf(out.keySet()));
      assertArrayEquals(new double[] {8, 9}, out.get("same").toDoubles());
      assertArrayEquals(new double[] {1, 2}, out.get("column").toDoubles());
      assertArrayEquals(new double[] {1, 2}, out.get("x").toDoubles());
      assertArrayEquals(new double[] {8, 9}, out.get("small").toDoubles());
      assertArrayEquals(large.toLongs(), out.get("large").toLongs());
      assertArrayEquals(new double[] {-1, -2}, out.get("y").toDoubles());
      Map<String, Tensor> bound = new HashMap<>();
      out.forEach((n, t) -> bound.put(n, Tensor.allocate(Arena.ofAuto(), t.dtype(), t.shape())));
      try (Binding binding = s.bind(Map.of("x", x), bound)) {
        x.set(0, 5);
        binding.run();
      }
      assertArrayEquals(new double[] {5, 2}, bound.get("x").toDoubles());
      assertArrayEquals(new double[] {8, 9}, bound.get("small").toDoubles());
      assertArrayEquals(large.toLongs(), bound.get("large").toLongs());
      assertArrayEquals(new double[] {-5, -2}, bound.get("y").toDoubles());
      assertArrayEquals(new double[] {8, 9}, bound.get("same").toDoubles());
      assertArrayEquals(new double[] {5, 2}, bound.get("column").toDoubles());
    }
  }

  @Test
  void graphMayHaveNoInputs() {
    Graph g =
        graph(
            b -> {
              b.constant("c", Tensor.ofLongs(new long[] {3, 4}, 2));
              b.op("y", "Neg", Map.of(), "c");
              b.output("y");
            });
    try (Session s = Session.compile(g, OPTIONS)) {
      assertArrayEquals(new long[] {-3, -4}, s.run(Map.of()).get("y").toLongs());
    }
  }

  @Test
  void bindingReadsAndWritesTheGivenMemory() {
    try (Arena arena = Arena.ofShared();
        Session s = Session.compile(binary("Add", DType.F64, DType.F64, 2), OPTIONS)) {
      Tensor x = Tensor.allocate(arena, DType.F64, 2);
      Tensor y = Tensor.allocate(arena, DType.F64, 2);
      // Canaries around the output, which must stay as they are.
      Tensor room = Tensor.allocate(arena, DType.F64, 4);
      room.set(0, 77);
      room.set(3, 78);
      Tensor z = Tensor.of(DType.F64, room.data().asSlice(8, 16), 2);
      try (Binding b = s.bind(Map.of("x", x, "y", y), Map.of("z", z))) {
        for (int i = 0; i < 3; i++) {
          x.set(0, i);
          y.set(1, 10 * i);
          b.run();
          assertArrayEquals(new double[] {77, i, 10 * i, 78}, room.toDoubles());
        }
        assertEquals(z, b.tensor("z"));
        assertEquals(x, b.tensor("x"));
      }
    }
  }

  @Test
  void bindingRefusesWhatItCannotUse() {
    Tensor x = Tensor.ofFloats(new float[2], 2);
    Tensor y = Tensor.ofFloats(new float[2], 2);
    Tensor z = Tensor.ofFloats(new float[2], 2);
    Tensor fixed = Tensor.of(DType.F32, z.data().asReadOnly(), 2);
    try (Session s = Session.compile(binary("Add", DType.F32, DType.F32, 2), OPTIONS)) {
      Map<String, Tensor> in = Map.of("x", x, "y", y);
      assertThrows(InputException.class, () -> s.bind(in, Map.of()));
      assertThrows(InputException.class, () -> s.bind(in, Map.of("w", z)));
      assertThrows(InputException.class, () -> s.bind(Map.of("x", x), Map.of("z", z)));
      assertThrows(IllegalArgumentException.class, () -> s.bind(in, Map.of("z", fixed)));
      var overlap =
          assertThrows(IllegalArgumentException.class, () -> s.bind(in, Map.of("z", x.reshape(2))));
      assertTrue(overlap.getMessage().contains("overlaps"), overlap.getMessage());
    }
  }

  @Test
  void wrongInputsAreNamed() {
    Tensor x = Tensor.ofFloats(new float[2], 2);
    try (Session s = Session.compile(binary("Add", DType.F32, DType.F32, 2), OPTIONS)) {
      refuses(s, Map.of("x", x), "input y");
      refuses(s, Map.of("x", x, "y", x, "q", x), "no input q");
      refuses(s, Map.of("x", x, "y", Tensor.ofDoubles(new double[2], 2)), "F32[2], not F64[2]");
      refuses(s, Map.of("x", x, "y", Tensor.ofFloats(new float[3], 3)), "F32[2], not F32[3]");
      refuses(s, Map.of("x", x, "y", x.reshape(2, 1)), "F32[2], not F32[2, 1]");
    }
  }

  private static void refuses(Session s, Map<String, Tensor> inputs, String text) {
    String message = assertThrows(InputException.class, () -> s.run(inputs)).getMessage();
    assertTrue(message.contains(text), message);
  }

  @Test
  void refusedGraphKeepsTheWordsOfTheRuntime() {
    Graph g = binary("NoSuchOperator", DType.F32, DType.F32, 2);
    String message =
        assertThrows(InputException.class, () -> Session.compile(g, OPTIONS)).getMessage();
    assertTrue(message.startsWith("the graph small cannot be compiled: "), message);
    assertTrue(message.contains("NoSuchOperator"), message);
    assertTrue(message.lines().count() == 1, message);
  }

  @Test
  void failedRunKeepsTheWordsOfTheRuntime() {
    Graph g =
        graph(
            b -> {
              b.input("x", TensorType.of(DType.F32, 3));
              b.input("i", TensorType.of(DType.I64, 1));
              b.op("y", "Gather", Map.of(), "x", "i");
              b.type("y", TensorType.of(DType.F32, 1)).output("y");
            });
    try (Session s = Session.compile(g, OPTIONS)) {
      Tensor x = Tensor.ofFloats(new float[] {4, 5, 6}, 3);
      Map<String, Tensor> bad = Map.of("x", x, "i", Tensor.ofLongs(new long[] {3}, 1));
      String message = assertThrows(SessionException.class, () -> s.run(bad)).getMessage();
      assertTrue(message.contains("Gather"), message);
      Map<String, Tensor> good = Map.of("x", x, "i", Tensor.ofLongs(new long[] {2}, 1));
      assertArrayEquals(new double[] {6}, s.run(good).get("y").toDoubles());
    }
  }

  @Test
  void memoryThatIsGoneIsRefused() {
    Tensor x = Tensor.ofFloats(new float[2], 2);
    Map<String, Tensor> in = Map.of("x", x, "y", x);
    try (Session s = Session.compile(binary("Add", DType.F32, DType.F32, 2), OPTIONS)) {
      Arena arena = Arena.ofShared();
      Binding b = s.bind(in, Map.of("z", Tensor.allocate(arena, DType.F32, 2)));
      b.run();
      arena.close();
      String message = assertThrows(IllegalStateException.class, b::run).getMessage();
      assertTrue(message.contains("memory bound to the graph small"), message);
      b.close();
    }
    Arena arena = Arena.ofShared();
    Tensor w = Tensor.allocate(arena, DType.F32, 512);
    Graph g =
        graph(
            b -> {
              b.input("x", TensorType.of(DType.F32, 512));
              b.constant("w", w);
              b.op("y", "Add", Map.of(), "x", "w");
              b.output("y");
            });
    try (Session s = Session.compile(g, OPTIONS)) {
      Map<String, Tensor> wide = Map.of("x", Tensor.ofFloats(new float[512], 512));
      s.run(wide);
      arena.close();
      String message = assertThrows(IllegalStateException.class, () -> s.run(wide)).getMessage();
      assertTrue(message.contains("weights of the graph small"), message);
    }
  }

  @Test
  void useAfterCloseIsNamed() {
    Tensor x = Tensor.ofFloats(new float[2], 2);
    Map<String, Tensor> in = Map.of("x", x, "y", x);
    Session s = Session.compile(binary("Add", DType.F32, DType.F32, 2), OPTIONS);
    Binding b = s.bind(in, Map.of("z", Tensor.ofFloats(new float[2], 2)));
    s.close();
    s.close();
    assertTrue(s.isClosed());
    for (var use : List.<org.junit.jupiter.api.function.Executable>of(() -> s.run(in), b::run)) {
      String message = assertThrows(IllegalStateException.class, use).getMessage();
      assertTrue(message.contains("graph small is closed"), message);
    }
    b.close();
    b.close();
    assertThrows(IllegalStateException.class, b::run);
  }
}
