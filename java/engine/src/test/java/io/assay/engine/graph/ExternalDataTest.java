package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionOptions;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A model of 6 GB: its data file is sparse, all holes but for a few numbers on both sides of 2 and
 * of 4 GiB. Whatever read the holes would take their memory and seconds.
 */
class ExternalDataTest {
  private static final long GIB = 1L << 30;

  /** Rows of a table, of 256 floats each: two tables have more than 2 GiB. */
  private static final long ROWS = GIB / 1024 + 1;

  @TempDir private Path folder;
  private Path data;
  private Path file;

  @BeforeEach
  void choose() {
    file = folder.resolve("model.onnx");
    data = folder.resolve("model.data");
  }

  private void put(long offset, float... values) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    Set<StandardOpenOption> options =
        Set.of(StandardOpenOption.CREATE, StandardOpenOption.SPARSE, StandardOpenOption.WRITE);
    try (FileChannel channel = FileChannel.open(data, options)) {
      channel.write(bytes, offset);
    }
  }

  private void save(Object... namesShapesOffsets) throws IOException {
    var graph = BadFilesTest.graph();
    for (int i = 0; i < namesShapesOffsets.length; i += 3) {
      var t =
          BadFilesTest.external(
              (long[]) namesShapesOffsets[i + 1],
              "location",
              "model.data",
              "offset",
              namesShapesOffsets[i + 2].toString());
      graph.addInitializer(t.setName((String) namesShapesOffsets[i]));
    }
    graph.addNode(BadFilesTest.node("Gather", "a", "table", "x"));
    graph.addNode(BadFilesTest.node("Gather", "b", "far table", "x"));
    graph.addNode(BadFilesTest.node("Mul", "ab", "a", "b"));
    graph.addNode(BadFilesTest.node("Add", "y", "ab", "last"));
    graph.getInputBuilder(0).getTypeBuilder().getTensorTypeBuilder().setElemType(7);
    BadFilesTest.save(file, graph);
  }

  private static long[] shape(long... dims) {
    return dims;
  }

  @Test
  void aModelAboveFourGigabytesIsReadWhereItLies() throws IOException {
    long table = 4096;
    long farTable = 4 * GIB + 4096;
    long last = 6 * GIB - 1024;
    put(table + 1024 * (ROWS - 1), 2, 3);
    put(farTable + 1024 * (ROWS - 1), 5, 7);
    put(2 * GIB - 4, 11, 13);
    put(last, new float[256]);
    put(last + 4, 17);
    save(
        "table",
        shape(ROWS, 256),
        table,
        "far table",
        shape(ROWS, 256),
        farTable,
        "around 2 GiB",
        shape(2),
        2 * GIB - 4,
        "last",
        shape(256),
        last);
    assertEquals(6 * GIB, Files.size(data));

    Graph g = Graph.read(file);
    assertTrue(g.constants().values().stream().allMatch(t -> t.data().isMapped()));
    assertFalse(g.constant("table").data().isLoaded(), "the hole was read");
    assertArrayEquals(new double[] {11, 13}, g.constant("around 2 GiB").toDoubles());
    assertEquals(17, g.constant("last").get(1));
    assertEquals(7, g.constant("far table").get(256 * (ROWS - 1) + 1));

    // Rows of the tables, and the gradient to the last weight and to what was gathered.
    Map<String, Tensor> in = Map.of("x", Tensor.ofLongs(new long[] {ROWS - 1}, 1));
    Evaluator runtime =
        (graph, values) -> {
          try (Session session = Session.compile(graph, SessionOptions.cpu(1))) {
            return session.run(values);
          }
        };
    Graph fixed = g.specialise(Map.of("x", new long[] {1}), runtime);
    Gradient d = fixed.differentiate(Map.of("y", "seed"), List.of("a", "last"));
    float[] ones = new float[256];
    ones[0] = 1;
    ones[1] = 1;
    Map<String, Tensor> got =
        runtime.evaluate(
            d.graph(), Map.of("x", in.get("x"), "seed", Tensor.ofFloats(ones, 1, 256)));
    assertEquals(10, got.get("y").get(0));
    assertEquals(3 * 7 + 17, got.get("y").get(1));
    assertEquals(5, got.get(d.gradients().get("a")).get(0));
    assertEquals(1, got.get(d.gradients().get("last")).get(1));
  }

  @Test
  void whatLiesBehindTheEndOfALargeFileIsNamed() throws IOException {
    put(5 * GIB - 4, 1);
    save("table", shape(ROWS, 256), 4 * GIB);
    InputException e = assertThrows(InputException.class, () -> Graph.read(file));
    assertTrue(
        e.getMessage()
            .contains(
                "constant table lies at bytes 4294967296 to 4294967296+1073742848 of model.data,"
                    + " which has only 5368709120 bytes"),
        e.getMessage());
  }
}
