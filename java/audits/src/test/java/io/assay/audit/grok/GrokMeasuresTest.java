package io.assay.audit.grok;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.engine.Engine;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The measures of the fixtures' networks (their README is beside them), found there by explicit
 * dense float64 projections.
 */
class GrokMeasuresTest {
  private static final Path FIXTURES = Path.of("src/test/resources/grokking");

  /** Rounding of float64 over p^3 terms. */
  private static final double ROUNDING = 1e-9;

  /** Final weights are stored in float32, 6e-8 off; losses follow with the size of the logits. */
  private static final double STORED = 1e-4;

  private static Engine engine;

  @BeforeAll
  static void open() {
    engine = Engine.open();
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  private record Fixture(JsonNode json, boolean[] train, List<Integer> keys) {
    static Fixture of(String name) throws Exception {
      JsonNode json =
          new ObjectMapper().readTree(FIXTURES.resolve(name + "/reference.json").toFile());
      Map<String, Tensor> split =
          Safetensors.read(FIXTURES.resolve(name + "/split.safetensors")).tensors();
      long[] shuffled = split.get("shuffled_pairs").toLongs();
      boolean[] train = new boolean[shuffled.length];
      for (int i = 0; i < split.get("train_count").getLong(0); i++) {
        train[(int) shuffled[i]] = true;
      }
      List<Integer> keys = new ArrayList<>();
      json.path("frequencies_measured").forEach(k -> keys.add(k.asInt()));
      return new Fixture(json, train, keys);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"p59", "p113"})
  void initialWeights(String name) throws Exception {
    Fixture fixture = Fixture.of(name);
    Map<String, Tensor> weights =
        Safetensors.read(FIXTURES.resolve(name + "/init.safetensors")).tensors();
    check(fixture, weights, "measures_init", ROUNDING);
  }

  @ParameterizedTest
  @ValueSource(strings = "p59")
  void finalWeights(String name) throws Exception {
    Fixture fixture = Fixture.of(name);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    Safetensors.read(FIXTURES.resolve(name + "/reference.safetensors"))
        .tensors()
        .forEach(
            (tensor, values) ->
                Optional.of(tensor)
                    .filter(t -> t.startsWith("final."))
                    .ifPresent(t -> weights.put(t.substring("final.".length()), values)));
    check(fixture, weights, "measures_final_float64", STORED);
  }

  private static void check(
      Fixture fixture, Map<String, Tensor> weights, String measures, double relative) {
    Network network = Network.of(weights);
    JsonNode expected = fixture.json().path(measures);
    try (AllPairs pairs = new AllPairs(engine, network)) {
      Logits logits = Logits.of(network.p(), pairs.run(network).get(AllPairs.LOGITS));
      LogitMeasures m =
          LogitMeasures.of(engine.kernels(), logits, fixture.train(), fixture.keys(), false);
      WeightMeasures w = WeightMeasures.of(network);
      Map<String, Double> got = new LinkedHashMap<>();
      got.put("loss_all", m.all().loss());
      got.put("restricted_all", m.restricted().loss());
      got.put("restricted_train", m.restrictedTrain().loss());
      got.put("excluded_train", m.excludedTrain());
      got.put("sum_sq", w.sumSquares());
      got.put("gini_W_E", w.giniEmbedding());
      got.put("gini_W_L", w.giniNeuronLogits());
      got.put("fve_logits", m.explained());
      got.forEach(
          (key, value) -> {
            double e = expected.path(key).asDouble();
            assertEquals(e, value, relative * Math.abs(e), key);
          });
      for (int k = 1; k <= m.a().length; k++) {
        String key = Integer.toString(k);
        if (expected.path("excluded_train_single").has(key)) {
          double e = expected.path("excluded_train_single").path(key).asDouble();
          assertEquals(e, m.excludedByFrequency()[k - 1], relative * e, "excluded " + k);
        }
        // Against the size of the logits, which are about 1.
        if (expected.path("a_k").has(key)) {
          double e = expected.path("a_k").path(key).asDouble();
          assertEquals(e, m.a()[k - 1], relative * Math.max(1e-3, Math.abs(e)), "a " + k);
        }
      }
    }
  }
}
