package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Gradients, scores and objectives of a GPT-2 of 512 tokens against those that the transformers
 * library and an independent program gave ({@code arca.*} of the reference tensors), at the first
 * and last prompt and output positions of a sequence of prefix 2, prompt 3 and output 2.
 */
class ArcaFixtureTest {
  private static final Path FOLDER = Path.of("../engine/src/test/resources/gpt2-tiny");
  private static final double[] LAMBDA_F = {0, 0.3};
  private static final int[] POSITIONS = {2, 4, 5, 6};
  private static final int V = 512;
  private static final int AVERAGED = 6;
  private static final int MOST = 256;

  private final Map<String, Tensor> reference =
      Safetensors.read(FOLDER.resolve("reference.safetensors")).tensors();
  private final int[] sequence = ints(reference.get("arca_sequence"));

  /**
   * The tolerance in float32 is the one that the reference states, ten times the difference between
   * its own float32 and float64 runs; in float64 only the rounding of the stored values is left,
   * 6e-8 of at most 20.
   */
  private static double tolerance(DType dtype) {
    return dtype == DType.F32 ? 4e-5 : 2e-6;
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "F64"})
  void gradientsScoresAndObjectives(DType dtype) {
    try (Engine engine = Engine.open()) {
      LanguageModel model = engine.languageModel(FOLDER, dtype);
      for (int f = 0; f < LAMBDA_F.length; f++) {
        ArcaSpec spec = spec(LAMBDA_F[f], Compat.NONE);
        Problem problem = new Problem(spec, 2);
        try (Lockstep group = group(engine, model, spec)) {
          Slot slot = group.settled(sequence.clone());
          for (int c = 0; c < POSITIONS.length; c++) {
            int position = POSITIONS[c];
            Coordinate coordinate = group.coordinate(position - 2);
            String at = " at position " + position + ", lambda_f " + LAMBDA_F[f];
            double[] scores = coordinate.scores(slot, averaging(c));
            double[] gradient = coordinate.gradient(slot, averaging(c));
            double[] linear = products(model, gradient);
            double[] exact = minus(scores, linear);
            double[] j = objectives(coordinate, slot);
            double[] influenced = minus(j, exact);
            for (int t = 0; t < position - 1; t++) { // what lies before the position
              double before = problem.termWeight(t) * slot.logProb[t];
              influenced = Arrays.stream(influenced).map(x -> x - before).toArray();
            }
            check("arca.g_bar", f, c, gradient, dtype, at);
            check("arca.A", f, c, exact, dtype, at);
            check("arca.score", f, c, scores, dtype, at);
            check("arca.J", f, c, j, dtype, at);
            check("arca.F_exact", f, c, influenced, dtype, at);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "F64"})
  void scoresOfTheOfficialCode(DType dtype) {
    try (Engine engine = Engine.open()) {
      LanguageModel model = engine.languageModel(FOLDER, dtype);
      for (int f = 0; f < LAMBDA_F.length; f++) {
        try (Lockstep group = group(engine, model, spec(LAMBDA_F[f], Compat.OFFICIAL))) {
          Slot slot = group.settled(sequence.clone());
          for (int c = 0; c < POSITIONS.length; c++) {
            double[] scores = group.coordinate(POSITIONS[c] - 2).scores(slot, averaging(c));
            check("arca.score_official", f, c, scores, dtype, " at position " + POSITIONS[c]);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "F64"})
  void greedyTokensAndMargins(DType dtype) {
    int[] said = ints(reference.get("arca.greedy"));
    double[] margins = reference.get("arca.greedy_margin").toDoubles();
    try (Engine engine = Engine.open()) {
      LanguageModel model = engine.languageModel(FOLDER, dtype);
      List<Integer> prompt = Arrays.stream(sequence).limit(5).boxed().toList();
      assertArrayEquals(said, Reader.greedy(engine, model, prompt, said.length));
      int[] ids = IntStream.concat(Arrays.stream(sequence).limit(5), Arrays.stream(said)).toArray();
      try (Reader reader = new Reader(engine, model, ids.length - 1)) {
        double[] got = reader.read(ids).margin();
        assertArrayEquals(margins, Arrays.copyOfRange(got, 4, got.length), tolerance(dtype));
      }
    }
  }

  private ArcaSpec spec(double lambdaF, Compat compat) {
    return ArcaSpec.joint("gpt2-tiny", 2)
        .prefix(List.of(sequence[0], sequence[1]))
        .w(0)
        .k(AVERAGED)
        .q(MOST)
        .lambdaF(lambdaF)
        .compat(compat)
        .build();
  }

  private static Lockstep group(Engine engine, LanguageModel model, ArcaSpec spec) {
    return new Lockstep(
        engine,
        model,
        new Problem(spec, 2),
        List.of(new Lockstep.Item(0, 0)),
        List.of(new BitSet()),
        Streams.seeded(0, 1));
  }

  private int[] averaging(int coordinate) {
    return Arrays.copyOfRange(
        ints(reference.get("arca_averaging_tokens")),
        coordinate * AVERAGED,
        (coordinate + 1) * AVERAGED);
  }

  /** J with each token of the vocabulary at the position, as many at a time as the group takes. */
  private static double[] objectives(Coordinate coordinate, Slot slot) {
    double[] all = new double[V];
    for (int from = 0; from < V; from += MOST) {
      double[] some = coordinate.objectives(slot, IntStream.range(from, from + MOST).toArray());
      System.arraycopy(some, 0, all, from, MOST);
    }
    return all;
  }

  /** The products of all embeddings with a vector. */
  private static double[] products(LanguageModel model, double[] vector) {
    Tensor embedding = Tensor.of(model.dtype(), model.embedding().data(), V, vector.length);
    double[] products = new double[V];
    for (int v = 0; v < V; v++) {
      for (int c = 0; c < vector.length; c++) {
        products[v] += embedding.get((long) v * vector.length + c) * vector[c];
      }
    }
    return products;
  }

  private void check(String name, int f, int c, double[] got, DType dtype, String at) {
    Tensor tensor = reference.get(name);
    assertArrayEquals(new long[] {2, 4, got.length}, tensor.shape());
    int from = (f * POSITIONS.length + c) * got.length;
    double[] expected = Arrays.copyOfRange(tensor.toDoubles(), from, from + got.length);
    for (int v = 0; v < got.length; v++) {
      assertEquals(expected[v], got[v], tolerance(dtype), name + "[" + v + "]" + at);
    }
  }

  private static double[] minus(double[] a, double[] b) {
    return IntStream.range(0, a.length).mapToDouble(i -> a[i] - b[i]).toArray();
  }

  private static int[] ints(Tensor t) {
    return Arrays.stream(t.toLongs()).mapToInt(Math::toIntExact).toArray();
  }
}
