package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.audit.arca.ArcaSpec.Order;
import io.assay.audit.arca.ArcaSpec.SuccessCheck;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Statement 10 of specs/arca.md section 8: what an audit finds depends on neither the audits beside
 * it, nor its slot, nor the cache, nor the number of threads; for every kind of search.
 */
class ArcaStatement10Test {
  private static final int AUDITS = 64;
  private static final Map<String, List<String>> TOGETHER = new HashMap<>();
  private static Engine engine;
  private static LanguageModel toy;
  private static LanguageModel single;

  enum Search {
    /** After a prefix, with fluency, every candidate tested and no sequence evaluated twice. */
    FLUENT,
    RANDOM_ORDER,
    JOINT,
    GCG
  }

  @BeforeAll
  static void open() {
    engine = Engine.open();
    toy = Toys.a(DType.F64);
    single = Toys.a(DType.F32);
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  private static List<Integer> target(int i) {
    return List.of(i % 32, i * 7 % 32);
  }

  private static ArcaSpec.Builder spec(Search search, List<List<Integer>> targets) {
    ArcaSpec.Builder reverse =
        ArcaSpec.reverse("toy-a", targets)
            .copyFilter(CopyFilter.NONE)
            .promptLength(2)
            .k(4)
            .q(6)
            .sweeps(3)
            .restarts(1)
            .seed(7);
    return switch (search) {
      case FLUENT ->
          reverse.prefix(List.of(5, 9)).lambdaF(0.2).noRepeat(true).successCheck(SuccessCheck.ANY);
      case RANDOM_ORDER -> reverse.order(Order.RANDOM_PERM);
      case JOINT ->
          ArcaSpec.joint("toy-a", 1)
              .promptLength(2)
              .k(4)
              .q(6)
              .sweeps(2)
              .restarts(AUDITS)
              .seed(7)
              .lambdaF(0.1)
              .unigrams(table(0.999, 0.05), table(0.001, 0.9));
      case GCG -> reverse.method(Method.GCG).q(16).lambdaF(0.1);
    };
  }

  private static ArcaSpec.Builder spec(Search search) {
    return spec(search, IntStream.range(0, AUDITS).mapToObj(ArcaStatement10Test::target).toList());
  }

  private static UnigramTable table(double most, double few) {
    double[] u = new double[32];
    IntStream.range(0, 32).forEach(v -> u[v] = Math.log(v >= 16 && v <= 18 ? few : most));
    return UnigramTable.of("table", u);
  }

  /** What was decided: everything but the numbers that rounding may touch. */
  private static List<String> decisions(ArcaSpec.Builder spec, LanguageModel model) {
    return audits(engine, model, spec).stream()
        .map(
            a ->
                a.promptIds()
                    + " "
                    + a.outputIds()
                    + " "
                    + a.success()
                    + " "
                    + a.sweep()
                    + " "
                    + a.coordinateUpdates()
                    + " "
                    + a.stopReason()
                    + " "
                    + a.bestSoFar().promptIds())
        .toList();
  }

  private static List<ArcaResult.Audit> audits(
      Engine engine, LanguageModel model, ArcaSpec.Builder spec) {
    return ArcaAudit.run(engine, model, spec.build(), ArcaListener.NONE).audits();
  }

  /** All numbers to their last bit; time is left out. */
  private static List<String> bits(List<ArcaResult.Audit> audits) {
    Function<ArcaResult.Audit, String> all =
        a ->
            String.join(
                " ",
                a.promptIds().toString(),
                a.outputIds().toString(),
                a.sweep() + "/" + a.coordinateUpdates(),
                Double.toHexString(a.J()),
                Double.toHexString(a.LP()),
                Double.toHexString(a.FL()),
                Double.toHexString(a.greedyMargin()),
                Double.toHexString(a.bestSoFar().J()),
                a.bestSoFar().promptIds().toString(),
                a.forwardSequences() + "/" + a.backwardSequences(),
                a.stopReason().name());
    return audits.stream().map(all).toList();
  }

  private static long agreeing(List<String> a, List<String> b) {
    return IntStream.range(0, AUDITS).filter(i -> a.get(i).equals(b.get(i))).count();
  }

  /** All 64 at once; kept, since most tests compare with it. */
  private static List<String> together(Search search, LanguageModel model) {
    return TOGETHER.computeIfAbsent(
        search + " " + model.dtype(), _ -> decisions(spec(search).slots(AUDITS), model));
  }

  @ParameterizedTest
  @EnumSource
  void arcaStatement10TogetherAsOneByOneInFloat64(Search search) {
    List<String> together = together(search, toy);
    assertEquals(AUDITS, together.size());
    assertTrue(together.stream().distinct().count() > AUDITS / 2, "searches differ");
    assertEquals(together, decisions(spec(search).slots(1), toy));
  }

  /** A step in float32 may fall either way where two J are within rounding of each other. */
  @ParameterizedTest
  @EnumSource
  void arcaStatement10TogetherAsOneByOneInFloat32(Search search) {
    long same = agreeing(together(search, single), decisions(spec(search).slots(1), single));
    assertTrue(same >= 0.99 * AUDITS, same + " of " + AUDITS);
  }

  @ParameterizedTest
  @EnumSource
  void arcaStatement10WithAndWithoutTheCache(Search search) {
    ArcaSpec.Builder uncached = spec(search).slots(AUDITS).cache(false);
    assertEquals(together(search, toy), decisions(uncached, toy));
    long same = agreeing(together(search, single), decisions(uncached, single));
    assertTrue(same >= 0.99 * AUDITS, same + " of " + AUDITS);
  }

  /** The same audits from last to first, so that each is in another slot, beside others. */
  @ParameterizedTest
  @EnumSource(names = "JOINT", mode = EnumSource.Mode.EXCLUDE)
  void arcaStatement10SameBitsInEverySlot(Search search) {
    Streams streams = Streams.seeded(7, 1);
    List<List<Integer>> targets =
        IntStream.range(0, AUDITS).mapToObj(i -> target(AUDITS - 1 - i)).toList();
    List<String> forth = bits(audits(engine, single, spec(search).slots(24)));
    ArcaResult back =
        ArcaAudit.run(
            engine,
            single,
            spec(search, targets).slots(24).build(),
            ArcaListener.NONE,
            (target, restart) -> streams.of(AUDITS - 1 - target, restart));
    assertEquals(forth, bits(back.audits()).reversed());
  }

  @ParameterizedTest
  @EnumSource
  void arcaStatement10SameBitsOnOneThreadAndOnTwo(Search search) {
    EngineOptions options = EngineOptions.defaults();
    try (Engine one = Engine.open(options.withThreads(1));
        Engine two = Engine.open(options.withThreads(2))) {
      assertEquals(
          bits(audits(one, single, spec(search).slots(24))),
          bits(audits(two, single, spec(search).slots(24))));
    }
  }
}
