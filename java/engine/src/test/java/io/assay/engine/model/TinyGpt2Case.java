package io.assay.engine.model;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** Tests against the numbers stored for {@link TinyGpt2}: the numbers, and an engine to run on. */
abstract class TinyGpt2Case {
  static Engine engine;
  static Map<String, Tensor> reference;

  @BeforeAll
  static void open() {
    engine = Engine.open(EngineOptions.defaults().withThreads(1));
    reference = TinyGpt2.reference();
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  static Tensor ids() {
    return reference.get("input_ids");
  }

  static Map<String, Tensor> run(Graph graph, Map<String, Tensor> inputs) {
    try (Session session = engine.compile(graph)) {
      return session.run(inputs);
    }
  }
}
