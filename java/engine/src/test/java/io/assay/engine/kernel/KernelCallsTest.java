package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.ChildJava;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** How kernels are loaded and called: the library, its functions, scratch memory and threads. */
class KernelCallsTest {
  private static final int WIDTH = 5;

  static Stream<KernelContract.Implementation> implementations() {
    return KernelContract.implementations();
  }

  /** Rows of one head with integer weights, whose arg max is known: hidden = token * e0. */
  private static int[] argMaxOf(Kernels kernels, int rows, int vocabulary) {
    try (Arena arena = Arena.ofShared()) {
      Tensor head = Tensor.allocate(arena, DType.F32, vocabulary, WIDTH);
      Tensor hidden = Tensor.allocate(arena, DType.F32, rows, WIDTH);
      for (int v = 0; v < vocabulary; v++) {
        head.set((long) v * WIDTH, -v * v);
        head.set((long) v * WIDTH + 1, 2 * v);
      }
      // The logit -v^2 + 2 v t is largest at v = t.
      for (int r = 0; r < rows; r++) {
        hidden.set((long) r * WIDTH, 1);
        hidden.set((long) r * WIDTH + 1, r % vocabulary);
      }
      MemorySegment targets = arena.allocate(4L * rows);
      MemorySegment argMax = arena.allocate(4L * rows);
      HeadRows args = new HeadRows(Matrix.of(hidden), Matrix.of(head), null, targets);
      kernels.headRows(
          args,
          arena.allocate(4L * rows),
          arena.allocate(4L * rows),
          argMax,
          arena.allocate(4L * rows));
      return argMax.toArray(ValueLayout.JAVA_INT);
    }
  }

  private static int[] expected(int rows, int vocabulary) {
    int[] expected = new int[rows];
    for (int r = 0; r < rows; r++) {
      expected[r] = r % vocabulary;
    }
    return expected;
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void concurrentCallersWithGrowingWorkspaces(KernelContract.Implementation implementation)
      throws Exception {
    try (Kernels kernels = implementation.open().apply(2);
        ExecutorService callers = Executors.newFixedThreadPool(4)) {
      List<Callable<Void>> work = new ArrayList<>();
      for (int caller = 0; caller < 4; caller++) {
        int seed = caller;
        work.add(
            () -> {
              Random random = new Random(seed);
              for (int i = 0; i < 40; i++) {
                int rows = random.nextInt(1 + 8 * i);
                int vocabulary = 1 + random.nextInt(60);
                assertArrayEquals(expected(rows, vocabulary), argMaxOf(kernels, rows, vocabulary));
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
  void portableKernelsUseNoMoreThreadsThanAskedFor() throws Exception {
    Kernels kernels = new PortableKernels(3);
    assertArrayEquals(expected(500, 50), argMaxOf(kernels, 500, 50));
    List<Thread> helpers =
        Thread.getAllStackTraces().keySet().stream()
            .filter(t -> t.getName().startsWith("assay-portable-"))
            .toList();
    assertEquals(2, helpers.size(), helpers.toString());
    kernels.close();
    kernels.close();
    for (Thread helper : helpers) {
      helper.join(10_000);
      assertTrue(!helper.isAlive(), helper.toString());
    }
  }

  /** A fresh process: opens the kernels that the properties ask for. */
  public static void main(String[] args) {
    try (Kernels kernels = Kernels.open(1)) {
      System.out.print(kernels.implementation());
    } catch (InputException e) {
      System.out.print("refused: " + e.getMessage());
    }
  }

  private static String opened(Path library) throws Exception {
    Process child =
        new ProcessBuilder(
                ChildJava.command(
                    KernelCallsTest.class,
                    "-XX:+UseSerialGC",
                    "-XX:-PrintWarnings",
                    "-D" + NativeLibrary.PROPERTY + "=" + library))
            .redirectErrorStream(true)
            .start();
    String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, child.waitFor(), text);
    return text;
  }

  @Test
  void libraryThatLacksFunctionsIsRefusedWithAllTheirNames() throws Exception {
    // Some library that is certainly not ours.
    Path other = Path.of(System.getProperty("java.home"), "lib", System.mapLibraryName("verify"));
    assumeTrue(Files.exists(other), "there is no " + other);
    String header = Files.readString(Path.of("../../native/include/assay.h"));
    String names =
        Pattern.compile("^ASSAY_API [^(]*?assay_(\\w+)\\(", Pattern.MULTILINE)
            .matcher(header)
            .results()
            .map(match -> match.group(1))
            .sorted()
            .reduce((a, b) -> a + ", " + b)
            .orElseThrow();
    assertEquals(
        "refused: the property assay.native.library names "
            + other
            + ", but the native library lacks assay_{"
            + names
            + "}",
        opened(other));
  }

  @Test
  void namedLibraryThatCannotBeLoadedIsRefused(@TempDir Path folder) throws Exception {
    Path file = Files.writeString(folder.resolve("libassay.so"), "no library");
    String text = opened(file);
    assertTrue(text.startsWith("refused: the property assay.native.library names " + file), text);
    assertTrue(text.contains("cannot be loaded"), text);
    Path none = folder.resolve("none.so");
    assertTrue(opened(none).contains(none + ", but the native library cannot be loaded"), text);
  }
}
