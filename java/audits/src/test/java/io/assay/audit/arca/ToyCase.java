package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** TOY-A in float64 on an engine of the test's own, read four tokens at a time. */
abstract class ToyCase {
  static Engine engine;
  static LanguageModel toy;
  static Reader reader;

  @BeforeAll
  static void open() {
    engine = Engine.open();
    toy = Toys.a(DType.F64);
    reader = new Reader(engine, toy, 4);
  }

  @AfterAll
  static void close() {
    reader.close();
    engine.close();
  }
}
