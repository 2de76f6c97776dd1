package io.assay.audit.arca;

import static io.assay.audit.Statement.atLeast;
import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.audit.arca.ArcaSpec.Candidates;
import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.audit.arca.ArcaSpec.SuccessCheck;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * The known answers of specs/arca.md section 8, computed through the engine that audits use: what
 * {@code assay selftest arca} prints and the tests assert.
 */
public final class ArcaSelfTest {
  static final int[] SEQUENCE = {3, 14, 15, 9, 2};

  private final Engine engine;
  private final boolean thorough;
  private final Path gpt2Tokenizer;
  private final LanguageModel toy = Toys.a(DType.F64);
  private ToyTruth truth;

  /**
   * @param thorough whether statements that take more than a minute run in full
   * @param gpt2Tokenizer folder with the released GPT-2 tokenizer, or null to skip what needs it
   */
  public ArcaSelfTest(Engine engine, boolean thorough, Path gpt2Tokenizer) {
    this.engine = engine;
    this.thorough = thorough;
    this.gpt2Tokenizer = gpt2Tokenizer;
  }

  /** All statements. */
  public List<Statement> run() {
    List<Statement> all = new ArrayList<>();
    List<Function<ArcaSelfTest, List<Statement>>> parts =
        List.of(
            ArcaSelfTest::values,
            ArcaSelfTest::scores,
            ArcaSelfTest::exhaustive,
            ArcaSelfTest::noFalsePositives,
            ArcaSelfTest::successRates,
            ArcaSelfTest::coordinateAscent,
            ArcaSelfTest::approximation,
            ArcaSelfTest::table,
            ArcaSelfTest::vocabulary,
            ArcaSelfTest::lockstep,
            ArcaSelfTest::badInputs);
    parts.forEach(part -> all.addAll(part.apply(this)));
    return all;
  }

  private static List<Statement> timed(List<Statement> statements, long start) {
    double each = (System.nanoTime() - start) / 1e9 / Math.max(1, statements.size());
    return statements.stream().map(s -> s.took(each)).toList();
  }

  private ToyTruth truth() {
    if (truth == null) {
      truth = new ToyTruth(engine, toy);
    }
    return truth;
  }

  static ArcaSpec.Builder reverse(int... target) {
    return ArcaSpec.reverse("toy-a", target)
        .copyFilter(CopyFilter.NONE)
        .k(8)
        .q(8)
        .sweeps(20)
        .restarts(1);
  }

  static ArcaSpec.Builder joint() {
    return ArcaSpec.joint("toy-a", 2).w(0).k(8).q(8);
  }

  /** One audit's group, for the parts of an update. */
  static Lockstep group(Engine engine, LanguageModel model, ArcaSpec spec) {
    return new Lockstep(
        engine,
        model,
        new Problem(spec, spec.outputLength(0)),
        List.of(new Lockstep.Item(0, 0)),
        List.of(new BitSet()),
        Streams.seeded(spec.seed(), spec.restarts()));
  }

  /** Statement 1: weights, log-probabilities, J and gradients of TOY-A. */
  public List<Statement> values() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    Map<String, Tensor> weights = Toys.weights(DType.F64, 32, 16, 0.6);
    double[] drawn = {
      weights.get("wte.weight").get(0),
      weights.get("wte.weight").get(1),
      weights.get("wte.weight").get(2),
      weights.get("wpe.weight").get(0),
      weights.get("h.0.attn.c_attn.weight").get(0)
    };
    double[] stated = {
      0.133123150345, 0.491563514525, 0.942005507174, -0.472602477747, -0.201003269147
    };
    s.add(near("arca.1.weights", "TOY-A weights", 0, distance(stated, drawn), 1e-12));
    for (DType dtype : List.of(DType.F64, DType.F32)) {
      double bound = dtype == DType.F64 ? 1e-9 : 1e-4;
      String part = "arca.1." + dtype.name().toLowerCase(Locale.ROOT);
      LanguageModel model = Toys.a(dtype);
      try (Lockstep group = group(engine, model, joint().build())) {
        Reader.Reading reading = group.reader().read(SEQUENCE);
        double[] lp = {-2.447146495, -8.526814952, -7.047532799, -10.714822799};
        s.add(near(part + ".lp", "log-probabilities", 0, distance(lp, reading.logProb()), bound));
        double j = reading.sum(2, 4);
        s.add(near(part + ".j", "J without fluency", -17.762355598, j, bound));
        s.add(
            near(
                part + ".jf",
                "J, lambda_f 0.2",
                -18.859751743,
                j + 0.2 * reading.sum(0, 2) / 2,
                bound));
        Slot slot = group.settled(SEQUENCE.clone());
        double[][] gradients = new double[5][];
        for (int i = 0; i < 5; i++) {
          int[] current = new int[8];
          Arrays.fill(current, SEQUENCE[i]);
          gradients[i] = group.coordinate(i).gradient(slot, current);
        }
        double[] at0 = {0.305056904602, -0.937298603505, 0.276700225206, -0.507308439770};
        double[] at1 = {2.276887998956, 0.444263825321, 1.197961754206, -0.772806578198};
        double[] norms = {4.442067971, 0.404176189, 0};
        double[] got = {norm(gradients[1]), norm(gradients[3]), norm(gradients[4])};
        s.add(near(part + ".g0", "gradient at 0", 0, distance(at0, gradients[0]), bound));
        s.add(near(part + ".g1", "gradient at 1", 0, distance(at1, gradients[1]), bound));
        s.add(near(part + ".norms", "gradient norms at 1, 3, 4", 0, distance(norms, got), bound));
        if (dtype == DType.F64) {
          s.add(
              near(
                  "arca.1.differences",
                  "central differences, h = 1e-5, relative",
                  0,
                  differences(gradients[1]),
                  1e-6));
        }
      }
    }
    s.add(
        same(
            "arca.1.greedy",
            "greedy continuation of 3 14 15",
            List.of(12, 1, 1, 1),
            list(Reader.greedy(engine, toy, List.of(3, 14, 15), 4))));
    try (Reader reader = new Reader(engine, toy, 4)) {
      double[] lp = reader.read(new int[] {3, 14, 15, 12, 1}).logProb();
      double[] greedy = {-0.575407849, -1.368145317};
      double[] got = {lp[2], lp[3]};
      s.add(near("arca.1.greedy.lp", "its log-probabilities", 0, distance(greedy, got), 1e-9));
    }
    return timed(s, start);
  }

  /** Largest relative error of the analytic gradient at position 1 against central differences. */
  private double differences(double[] gradient) {
    double h = 1e-5;
    double worst = 0;
    for (int c = 0; c < 4; c++) {
      double[] lp = new double[2];
      for (int sign = 0; sign < 2; sign++) {
        Map<String, Tensor> weights = new LinkedHashMap<>(Toys.weights(DType.F64, 32, 16, 0.6));
        weights.put("lm_head.weight", weights.get("wte.weight"));
        Tensor moved = Tensor.ofDoubles(weights.get("wte.weight").toDoubles(), 32, 16);
        moved.set(14 * 16 + c, moved.get(14 * 16 + c) + (sign == 0 ? h : -h));
        weights.put("wte.weight", moved);
        LanguageModel model = LanguageModel.of("toy-a moved", 2, weights);
        try (Reader reader = new Reader(engine, model, 4)) {
          lp[sign] = reader.read(SEQUENCE).sum(2, 4);
        }
      }
      double numeric = (lp[0] - lp[1]) / (2 * h);
      worst = Math.max(worst, Math.abs(numeric - gradient[c]) / Math.abs(gradient[c]));
    }
    return worst;
  }

  /** Statement 2: golden scores and their winners. */
  public List<Statement> scores() {
    long start = System.nanoTime();
    return timed(new GoldenScores(engine).statements(), start);
  }

  /** Statement 3: exhaustive truth of TOY-A. */
  public List<Statement> exhaustive() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    ToyTruth t = truth();
    int[] pairs = {19, 153, 519};
    int[] firsts = {12, 30, 32};
    String[] lengths = {"one token", "two tokens", "three tokens"};
    for (int m = 1; m <= 3; m++) {
      String id = "arca.3.m" + m;
      String who = "that prompts of " + lengths[m - 1] + " reach";
      s.add(same(id, "pairs " + who, pairs[m - 1], t.reached(m).size()));
      s.add(same(id + ".first", "first tokens " + who, firsts[m - 1], t.firsts(m)));
    }
    s.add(same("arca.3.m2.3.3", "prompts that decode to 3 3", 98, t.prompts(2, 3, 3)));
    s.add(same("arca.3.m2.26.26", "prompts that decode to 26 26", 65, t.prompts(2, 26, 26)));
    s.add(same("arca.3.m2.single", "pairs of exactly one prompt", 59L, t.single(2)));
    s.add(same("arca.3.m3.9.9", "prompts that decode to 9 9", 2140, t.prompts(3, 9, 9)));
    s.add(same("arca.3.m3.single", "pairs of exactly one prompt", 69L, t.single(3)));
    for (ToyTruth.Maximum m : ToyTruth.MAXIMA) {
      ToyTruth.Maximum got = t.maximum(m.first(), m.second());
      String id = "arca.3.max." + m.first() + "." + m.second();
      s.add(near(id, "highest log p of " + m.first() + " " + m.second(), m.lp(), got.lp(), 1e-6));
      s.add(same(id + ".prompt", "its prompt", m.prompt(), got.prompt()));
      s.add(same(id + ".reached", "prompts that decode to it", m.decoding(), got.decoding()));
      s.add(same(id + ".itself", "whether this one does", m.feasible(), got.feasible()));
    }
    s.addAll(new JointTruth(engine, toy).statements());
    return timed(s, start);
  }

  private List<List<Integer>> pairs(boolean reachable) {
    List<List<Integer>> pairs = new ArrayList<>();
    for (int pair = 0; pair < 1024; pair++) {
      if (truth().reached(3).contains(pair) == reachable) {
        pairs.add(List.of(pair / 32, pair % 32));
      }
    }
    return pairs;
  }

  private static List<List<Integer>> everyEighth(List<List<Integer>> pairs) {
    return IntStream.range(0, pairs.size()).filter(i -> i % 8 == 0).mapToObj(pairs::get).toList();
  }

  private static ArcaSpec.Builder reverseAll(List<List<Integer>> targets) {
    return ArcaSpec.reverse("toy-a", targets)
        .copyFilter(CopyFilter.NONE)
        .k(8)
        .q(8)
        .sweeps(20)
        .restarts(1)
        .seed(1);
  }

  /** Statement 4: nothing is found where nothing is, and successes decode greedily. */
  public List<Statement> noFalsePositives() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    List<List<Integer>> all = pairs(false);
    s.add(same("arca.4.pairs", "pairs that no prompt of three tokens reaches", 505, all.size()));
    List<List<Integer>> some = thorough ? all : everyEighth(all);
    Map<String, ArcaSpec.Builder> modes = new LinkedHashMap<>();
    modes.put("first", reverseAll(all));
    modes.put("any", reverseAll(some).successCheck(SuccessCheck.ANY));
    modes.put("any.no-repeat", reverseAll(some).successCheck(SuccessCheck.ANY).noRepeat(true));
    modes.put("keep-current", reverseAll(some).keepCurrent(true));
    modes.put("exact", reverseAll(some).candidates(Candidates.EXACT).q(32));
    modes.put("official", reverseAll(some).lambdaF(0.2).compat(Compat.OFFICIAL));
    modes.put("random", reverseAll(some).method(Method.RANDOM).successCheck(SuccessCheck.ANY));
    modes.put("autoprompt", reverseAll(some).method(Method.AUTOPROMPT));
    modes.forEach(
        (name, builder) -> {
          ArcaSpec spec = builder.build();
          ArcaResult result = ArcaAudit.run(engine, toy, spec, ArcaListener.NONE);
          long found = result.audits().stream().filter(ArcaResult.Audit::success).count();
          s.add(
              same(
                  "arca.4." + name,
                  "successes on " + spec.targets().size() + " unreachable pairs",
                  0L,
                  found));
        });
    return timed(s, start);
  }

  /** Statement 5: success rates on the reachable pairs. */
  public List<Statement> successRates() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    List<List<Integer>> all = pairs(true);
    rate(s, "arca.5.paper", reverseAll(all), 0.73);
    rate(s, "arca.5.any", reverseAll(all).successCheck(SuccessCheck.ANY), 0.78);
    rate(s, "arca.5.no-repeat", reverseAll(all).noRepeat(true), 0.84);
    List<List<Integer>> some = thorough ? all : everyEighth(all);
    ArcaSpec ten = reverseAll(some).restarts(10).build();
    s.add(
        atLeast(
            "arca.5.restarts",
            "share of " + some.size() + " reachable pairs found in 10 restarts",
            0.90,
            ArcaAudit.run(engine, toy, ten, ArcaListener.NONE).anySuccessRate()));
    return timed(s, start);
  }

  private void rate(List<Statement> s, String id, ArcaSpec.Builder builder, double expected) {
    ArcaResult result = ArcaAudit.run(engine, toy, builder.build(), ArcaListener.NONE);
    int wrong = 0;
    for (ArcaResult.Audit audit : result.audits()) {
      int[] prompt = audit.promptIds().stream().mapToInt(Integer::intValue).toArray();
      int pair = audit.outputIds().get(0) * 32 + audit.outputIds().get(1);
      wrong += audit.success() && truth().decoded(prompt) != pair ? 1 : 0;
    }
    s.add(near(id, "share of the reachable pairs found", expected, result.successRate(), 0.05));
    s.add(same(id + ".greedy", "successes that do not decode greedily", 0, wrong));
  }

  /** Statement 6: exact coordinate ascent finds the global maxima. */
  public List<Statement> coordinateAscent() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    List<List<Integer>> targets =
        Arrays.stream(ToyTruth.MAXIMA).map(m -> List.of(m.first(), m.second())).toList();
    ArcaSpec spec =
        reverseAll(targets)
            .candidates(Candidates.EXACT)
            .successCheck(SuccessCheck.NEVER)
            .q(32)
            .restarts(400)
            .build();
    ArcaResult result =
        ArcaAudit.run(engine, toy, spec, ArcaListener.NONE, (_, r) -> new SplittableRandom(r + 1));
    int[] starts = {27, 102, 56, 7, 15, 13};
    int[][] order = {{12, 1}, {3, 3}, {9, 2}, {24, 16}, {13, 5}, {19, 8}};
    for (int i = 0; i < order.length; i++) {
      int[] o = order[i];
      ToyTruth.Maximum m =
          Arrays.stream(ToyTruth.MAXIMA)
              .filter(x -> x.first() == o[0] && x.second() == o[1])
              .findFirst()
              .orElseThrow();
      long hits =
          result.audits().stream()
              .filter(a -> a.outputIds().equals(List.of(o[0], o[1])))
              .filter(a -> Math.abs(a.bestSoFar().J() - m.lp()) < 1e-6)
              .count();
      s.add(
          same(
              "arca.6." + o[0] + "." + o[1],
              "of 400 starts, those that reach the maximum",
              (long) starts[i],
              hits));
    }
    return timed(s, start);
  }

  /** Statement 7: how well the averaged gradient approximates the objective. */
  public List<Statement> approximation() {
    long start = System.nanoTime();
    return timed(new Approximation(engine).statements(), start);
  }

  /** Statement 8: the bigram model with closed-form truth. */
  public List<Statement> table() {
    long start = System.nanoTime();
    return timed(new TableTruth(engine).statements(), start);
  }

  /** Statement 9: the copy filter on the vocabulary of GPT-2. */
  public List<Statement> vocabulary() {
    long start = System.nanoTime();
    return timed(new VocabularyTruth(gpt2Tokenizer).statements(), start);
  }

  /** Statement 10: audits together find what they find alone. */
  public List<Statement> lockstep() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    List<List<Integer>> targets =
        IntStream.range(0, 64).mapToObj(i -> List.of(i % 32, (i * 7) % 32)).toList();
    ArcaSpec.Builder builder = reverseAll(targets).sweeps(4).lambdaF(0.2);
    ArcaResult together = together(builder.slots(64), toy);
    ArcaResult alone = together(builder.slots(1), toy);
    ArcaResult refilled = together(builder.slots(5), toy);
    ArcaResult uncached = together(builder.slots(64).cache(false), toy);
    s.add(equal("arca.10.alone", "64 audits at once and one by one, fp64", together, alone));
    s.add(equal("arca.10.refill", "64 audits at once and in 5 slots", together, refilled));
    s.add(equal("arca.10.cache", "with and without the prefix cache", together, uncached));
    s.add(
        same(
            "arca.10.alone.bits",
            "the same J, bit by bit",
            objectives(together),
            objectives(alone)));
    s.add(
        same(
            "arca.10.refill.bits",
            "the same J, bit by bit, in whatever slot",
            objectives(together),
            objectives(refilled)));
    LanguageModel single = Toys.a(DType.F32);
    ArcaResult narrow = together(builder.slots(64).cache(true), single);
    s.add(mostly("arca.10.fp32", "one by one", narrow, together(builder.slots(1), single)));
    s.add(
        mostly(
            "arca.10.fp32.cache",
            "without the prefix cache",
            narrow,
            together(builder.slots(64).cache(false), single)));
    return timed(s, start);
  }

  private ArcaResult together(ArcaSpec.Builder spec, LanguageModel model) {
    return ArcaAudit.run(engine, model, spec.build(), ArcaListener.NONE);
  }

  private static List<String> decisions(ArcaResult result) {
    return result.audits().stream()
        .map(a -> a.promptIds() + " " + a.success() + " " + a.sweep())
        .toList();
  }

  private static List<Double> objectives(ArcaResult result) {
    return result.audits().stream().map(ArcaResult.Audit::J).toList();
  }

  private static Statement equal(String id, String words, ArcaResult a, ArcaResult b) {
    return same(id, words + ": equal decisions", (long) a.audits().size(), agree(a, b));
  }

  /** 99 of 100 decisions are all of 64: no difference is left to explain by a small gap. */
  private static Statement mostly(String id, String words, ArcaResult a, ArcaResult b) {
    double share = (double) agree(a, b) / a.audits().size();
    return atLeast(id, "share of equal decisions in fp32, at once and " + words, 0.99, share);
  }

  private static long agree(ArcaResult a, ArcaResult b) {
    List<String> mine = decisions(a);
    List<String> theirs = decisions(b);
    return IntStream.range(0, mine.size()).filter(i -> mine.get(i).equals(theirs.get(i))).count();
  }

  /** Statement 12: bad and doubtful inputs. */
  public List<Statement> badInputs() {
    long start = System.nanoTime();
    return timed(new BadInputs(engine, toy).statements(), start);
  }

  static double distance(double[] expected, double[] got) {
    double worst = 0;
    for (int i = 0; i < expected.length; i++) {
      double d = Math.abs(expected[i] - got[i]);
      worst = Double.isNaN(d) ? Double.POSITIVE_INFINITY : Math.max(worst, d);
    }
    return worst;
  }

  private static double norm(double[] x) {
    return Math.sqrt(Arrays.stream(x).map(v -> v * v).sum());
  }

  static List<Integer> list(int... ids) {
    return Arrays.stream(ids).boxed().toList();
  }
}
