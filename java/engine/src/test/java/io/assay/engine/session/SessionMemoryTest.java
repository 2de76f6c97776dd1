package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.ChildJava;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * What ten sessions of one model cost. The model has ten 1024 x 1024 F32 matrices: 42 MB.
 *
 * <p>Measured (x86-64, GNU C library, growth of the resident size in copies of the weights): 0.1
 * without pre-packing, also where the weights are read through Transpose nodes; 10.1 with it.
 */
class SessionMemoryTest {
  private static final int SESSIONS = 10;
  private static final int MATRICES = 10;
  private static final int WIDTH = 1024;
  private static final double MODEL = 4.0 * MATRICES * WIDTH * WIDTH;

  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Tensor[] WEIGHTS = new Tensor[MATRICES];

  static {
    for (int i = 0; i < MATRICES; i++) {
      WEIGHTS[i] = Tensor.allocate(Arena.ofAuto(), DType.F32, WIDTH, WIDTH);
      for (long j = 0; j < WIDTH; j++) {
        WEIGHTS[i].set(j * WIDTH + j, 1 + i);
      }
    }
  }

  /** A chain of products; {@code transposed} reads the weights through Transpose nodes. */
  private static Graph model(int rows, boolean transposed) {
    Graph.Builder b = Graph.builder("chain").opset("", 17);
    b.input("x", TensorType.of(DType.F32, rows, WIDTH));
    String value = "x";
    for (int i = 0; i < MATRICES; i++) {
      String weight = b.constant("w" + i, WEIGHTS[i]);
      if (transposed) {
        weight = b.op("t" + i, "Transpose", Map.of("perm", List.of(1L, 0L)), weight);
      }
      value = b.op("y" + i, "MatMul", Map.of(), value, weight);
    }
    b.type(value, TensorType.of(DType.F32, rows, WIDTH));
    return b.output(value).build();
  }

  /** Prints by how many copies of its weights a fresh process grows; see {@link #copies}. */
  public static void main(String[] args) throws IOException {
    boolean prepack = Boolean.parseBoolean(args[0]);
    boolean transposed = Boolean.parseBoolean(args[1]);
    List<Session> sessions = new ArrayList<>();
    runOne(0, prepack, transposed).close();
    double before = resident();
    for (int i = 0; i < SESSIONS; i++) {
      sessions.add(runOne(i, prepack, transposed));
    }
    System.out.println((resident() - before) / MODEL);
    sessions.forEach(Session::close);
  }

  /** A session of its own derived graph, as in an audit, that has run. */
  private static Session runOne(int i, boolean prepack, boolean transposed) {
    Graph graph = model(i + 1, transposed);
    Session s = Session.compile(graph, SessionOptions.cpu(1).withPrepack(prepack));
    Tensor x = Tensor.allocate(Arena.ofAuto(), DType.F32, i + 1, WIDTH);
    x.set(5, 1);
    Tensor y = s.run(Map.of("x", x)).get("y" + (MATRICES - 1));
    if (y.get(5) != 3628800) {
      throw new AssertionError("the product of 1 to 10 is not " + y.get(5));
    }
    return s;
  }

  private static double resident() throws IOException {
    return Files.readAllLines(STATUS).stream()
        .filter(line -> line.startsWith("VmRSS:"))
        .mapToDouble(line -> 1024 * Double.parseDouble(line.replaceAll("\\D", "")))
        .findFirst()
        .orElseThrow();
  }

  /** Copies of the model's weights that ten sessions cost, measured in a process of its own. */
  private static double copies(boolean prepack, boolean transposed) throws Exception {
    assumeTrue(Files.exists(STATUS), "the resident size is read from /proc/self/status");
    List<String> command =
        ChildJava.command(
            SessionMemoryTest.class,
            // A compiler thread may hold tens of megabytes at the moment of measuring.
            "-Xint",
            "-XX:+UseSerialGC",
            "-XX:+AlwaysPreTouch",
            "-Xms64m",
            "-Xmx64m");
    command.add(Boolean.toString(prepack));
    command.add(Boolean.toString(transposed));
    Process child =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String out = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, child.waitFor());
    return Double.parseDouble(out.strip());
  }

  /** A copy is made in every process; what a busy machine has not given back yet is not. */
  private static void assertNotCopied(boolean transposed) throws Exception {
    double copies = copies(false, transposed);
    for (int again = 0; again < 2 && copies >= 0.5; again++) {
      copies = copies(false, transposed);
    }
    assertTrue(copies < 0.5, "ten sessions cost " + copies + " copies of the model's weights");
  }

  @Test
  void sharedWeightsAreNotCopied() throws Exception {
    assertNotCopied(false);
  }

  @Test
  void sharedWeightsAreNotCopiedForATransposition() throws Exception {
    assertNotCopied(true);
  }

  @Test
  void prepackingCostsACopyForEachSession() throws Exception {
    double copies = copies(true, false);
    assertTrue(copies > 5 && copies < 15, "ten sessions cost " + copies + " copies");
  }
}
