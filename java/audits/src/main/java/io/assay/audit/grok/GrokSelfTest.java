package io.assay.audit.grok;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The known answers of specs/grokking.md section 8: what {@code assay selftest grok} prints and the
 * tests assert.
 */
public final class GrokSelfTest {
  private final Engine engine;
  private final boolean thorough;
  private final Path official;

  /**
   * @param thorough whether statements that take more than a minute run
   * @param official folder with the files of the published runs, or null to skip what needs them
   */
  public GrokSelfTest(Engine engine, boolean thorough, Path official) {
    this.engine = engine;
    this.thorough = thorough;
    this.official = official;
  }

  /** All statements. */
  public List<Statement> run() {
    List<Statement> all = new ArrayList<>();
    all.addAll(closedForms());
    all.addAll(handMade());
    all.addAll(parseval());
    all.addAll(ablations());
    all.addAll(restricted());
    all.addAll(collapse());
    all.addAll(grokking());
    all.addAll(published());
    all.addAll(phases());
    all.addAll(badInputs());
    return all;
  }

  private static List<Statement> timed(List<Statement> statements, long start) {
    double each = (System.nanoTime() - start) / 1e9 / Math.max(1, statements.size());
    return statements.stream().map(s -> s.took(each)).toList();
  }

  /** Statement 1: logits that have a closed form. */
  public List<Statement> closedForms() {
    long start = System.nanoTime();
    return timed(new LogitStatements(engine.kernels()).closedForms(), start);
  }

  /** Statement 2: the network made by hand. */
  public List<Statement> handMade() {
    long start = System.nanoTime();
    return timed(new ClockStatements(engine).statements(), start);
  }

  /** Statement 3: Parseval, the basis, the four marginals. */
  public List<Statement> parseval() {
    long start = System.nanoTime();
    return timed(new LogitStatements(engine.kernels()).parseval(), start);
  }

  /** Statement 4: all ablations at once. */
  public List<Statement> ablations() {
    long start = System.nanoTime();
    return timed(new LogitStatements(engine.kernels()).ablations(), start);
  }

  /** Statement 5: the restricted losses of the two sets. */
  public List<Statement> restricted() {
    long start = System.nanoTime();
    return timed(new LogitStatements(engine.kernels()).restricted(), start);
  }

  /** Statement 6: the collapsed network beside the plain one. */
  public List<Statement> collapse() {
    long start = System.nanoTime();
    return timed(new TrainStatements(engine).collapse(), start);
  }

  /** Statement 7: networks that grok, and that do not. */
  public List<Statement> grokking() {
    long start = System.nanoTime();
    return timed(new TrainStatements(engine).grokking(thorough), start);
  }

  /** Statement 8: the published runs. */
  public List<Statement> published() {
    long start = System.nanoTime();
    return timed(new OfficialStatements(engine, official).statements(), start);
  }

  /** Statement 9: the phases of the published run. */
  public List<Statement> phases() {
    long start = System.nanoTime();
    return timed(PhaseStatements.statements(), start);
  }

  /** Statement 10: odd and bad input. */
  public List<Statement> badInputs() {
    long start = System.nanoTime();
    return timed(new AnalysisInputs(engine.kernels()).statements(), start);
  }
}
