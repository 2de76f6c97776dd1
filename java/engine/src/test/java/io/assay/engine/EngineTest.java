package io.assay.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.Model;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Device;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EngineTest {
  private static final EngineOptions ONE_THREAD = EngineOptions.defaults().withThreads(1);

  /** y = x + c, elementwise. */
  private static Graph shift(double c) {
    Graph.Builder b = Graph.builder("shift").opset("", 17);
    b.input("x", TensorType.of(DType.F64, 2));
    b.constant("c", Tensor.scalar(DType.F64, c));
    b.op("y", "Add", Map.of(), "x", "c");
    return b.type("y", TensorType.of(DType.F64, 2)).output("y").build();
  }

  private static double[] run(Session session, double a, double b) {
    return session.run(Map.of("x", Tensor.ofDoubles(new double[] {a, b}, 2))).get("y").toDoubles();
  }

  @Test
  void defaultsAreTheProcessorAndItsCores() {
    try (Engine engine = Engine.open()) {
      assertEquals(Device.CPU, engine.device());
      assertEquals(Runtime.getRuntime().availableProcessors(), engine.threads());
    }
  }

  @Test
  void noThreadsIsRefused() {
    String message =
        assertThrows(InputException.class, () -> ONE_THREAD.withThreads(0)).getMessage();
    assertTrue(message.contains("at least 1, not 0"), message);
  }

  @Test
  void twoEnginesAtOnce() {
    try (Engine one = Engine.open(ONE_THREAD)) {
      Session first = one.compile(shift(1));
      Session second;
      try (Engine two = Engine.open(ONE_THREAD.withThreads(2))) {
        second = two.compile(shift(10), true);
        assertArrayEquals(new double[] {11, 12}, run(second, 1, 2));
        assertArrayEquals(new double[] {2, 3}, run(first, 1, 2));
      }
      assertTrue(second.isClosed());
      assertFalse(first.isClosed());
      assertArrayEquals(new double[] {2, 3}, run(first, 1, 2));
    }
  }

  @Test
  void closeReachesTheSessionsAndMayBeRepeated() {
    Engine engine = Engine.open(ONE_THREAD);
    Session session = engine.compile(shift(1));
    engine.close();
    engine.close();
    assertTrue(session.isClosed());
    assertThrows(IllegalStateException.class, () -> run(session, 1, 2));
    String message =
        assertThrows(IllegalStateException.class, () -> engine.compile(shift(1))).getMessage();
    assertTrue(message.contains("engine is closed"), message);
  }

  @Test
  void concurrentCallers() throws Exception {
    try (Engine engine = Engine.open(ONE_THREAD);
        Arena arena = Arena.ofShared();
        ExecutorService callers = Executors.newFixedThreadPool(4)) {
      Session shared = engine.compile(shift(100));
      List<Callable<Void>> work = new ArrayList<>();
      for (int caller = 0; caller < 4; caller++) {
        int id = caller;
        work.add(
            () -> {
              Tensor x = Tensor.allocate(arena, DType.F64, 2);
              Tensor y = Tensor.allocate(arena, DType.F64, 2);
              try (Session own = engine.compile(shift(id));
                  Binding binding = shared.bind(Map.of("x", x), Map.of("y", y))) {
                for (int i = 0; i < 200; i++) {
                  x.set(0, id);
                  x.set(1, i);
                  binding.run();
                  assertArrayEquals(new double[] {100 + id, 100 + i}, y.toDoubles());
                  assertArrayEquals(new double[] {id, i + id}, run(own, 0, i));
                }
              }
              return null;
            });
      }
      for (Future<Void> done : callers.invokeAll(work)) {
        done.get();
      }
    }
  }

  @Test
  void closeWaitsForRunsUnderWay() throws Exception {
    try (ExecutorService callers = Executors.newFixedThreadPool(2)) {
      Engine engine = Engine.open(ONE_THREAD);
      Session session = engine.compile(shift(1));
      Callable<Integer> untilClosed =
          () -> {
            for (int runs = 0; ; runs++) {
              try {
                assertArrayEquals(new double[] {runs + 1, 1}, run(session, runs, 0));
              } catch (IllegalStateException closed) {
                return runs;
              }
            }
          };
      Future<Integer> first = callers.submit(untilClosed);
      Future<Integer> second = callers.submit(untilClosed);
      Thread.sleep(50);
      engine.close();
      assertTrue(first.get() + second.get() > 0);
    }
  }

  @Test
  void modelsAreLoadedOnceAndClosedWithTheEngine(@TempDir Path folder) throws Exception {
    Path file = folder.resolve("shift.onnx");
    shift(3).write(file);
    Engine engine = Engine.open(ONE_THREAD);
    Model model = engine.model(file.toString());
    assertEquals("shift", model.name());
    assertSame(model, engine.model(folder.resolve("./shift.onnx").toString()));
    assertArrayEquals(new double[] {4, 5}, run(engine.compile(model.graph()), 1, 2));
    String refused =
        assertThrows(InputException.class, () -> engine.languageModel(file.toString()))
            .getMessage();
    assertTrue(refused.contains("shift"), refused);
    assertThrows(InputException.class, () -> engine.model(folder.resolve("none").toString()));
    assertThrows(InputException.class, () -> engine.model("\0"));
    engine.close();
    assertThrows(IllegalStateException.class, () -> engine.model(file.toString()));
  }

  @Test
  void kernelsAreOpenedOnce() {
    Engine engine = Engine.open(ONE_THREAD);
    assertSame(engine.kernels(), engine.kernels());
    engine.close();
    assertThrows(IllegalStateException.class, engine::kernels);
  }

  @Test
  void evaluatorRunsOnce() {
    try (Engine engine = Engine.open(ONE_THREAD)) {
      Tensor x = Tensor.ofDoubles(new double[] {1, 2}, 2);
      Map<String, Tensor> values = engine.evaluator().evaluate(shift(5), Map.of("x", x));
      assertArrayEquals(new double[] {6, 7}, values.get("y").toDoubles());
    }
  }
}
