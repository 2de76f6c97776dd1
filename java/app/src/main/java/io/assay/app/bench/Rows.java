package io.assay.app.bench;

import io.assay.app.bench.Question.Clock;
import io.assay.engine.Engine;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.KernelsReport;
import io.assay.engine.kernel.PortableKernels;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/** Times questions, both ways in turn, and says what share of the roof they reach. */
public final class Rows implements AutoCloseable {
  /**
   * One line of the table.
   *
   * @param bench stable name
   * @param ratio {@code baselineSeconds / oursSeconds}
   * @param boundSeconds most that {@code oursSeconds} may be; NaN for no bound
   * @param shareOfRoof floor over time, of the roof as it was beside this row; NaN where there is
   *     none
   * @param runs timings of each way; medians count
   * @param peakBytes by how much memory Assay's way rose at its peak; NaN where that is not asked
   * @param boundBytes most that {@code peakBytes} may be; NaN for no bound
   */
  public record Row(
      String bench,
      String shape,
      String clock,
      int threads,
      double oursSeconds,
      String baseline,
      double baselineSeconds,
      double ratio,
      double boundSeconds,
      double shareOfRoof,
      double baselineShareOfRoof,
      int runs,
      double peakBytes,
      double boundBytes) {
    /** Whether the bound of the time holds, where there is one. */
    public boolean holds() {
      return Double.isNaN(boundSeconds) || oursSeconds <= boundSeconds;
    }

    /** Whether the bound of the memory holds, where there is one. */
    public boolean fits() {
      return Double.isNaN(boundBytes) || peakBytes <= boundBytes;
    }
  }

  /** A question that is set up when its turn comes, with the kernels of a tier. */
  private record Entry(String name, String tier, Function<Kernels, Question> make) {}

  /** Nanoseconds between two measurements of the roof, at least. */
  private static final long BETWEEN_ROOFS = 1_000_000_000;

  /** Begins the names of questions that are long. */
  private static final String MEMORY = "memory.";

  private final Engine engine;
  private final Roof.Meter meter;
  private Roof roof;

  /** Rows on the threads of an engine; measures the roof. */
  public Rows(Engine engine) {
    this.engine = engine;
    this.meter = new Roof.Meter(engine);
    this.roof = meter.get();
  }

  /** The highest that was measured until now. */
  public Roof roof() {
    return roof;
  }

  @Override
  public void close() {
    meter.close();
  }

  /** All names, in the order of the table. */
  public static List<String> names() {
    return List.of(
        "token_swap_topk",
        "head_rows",
        "head_backward",
        "adamw",
        "suffix_attention",
        "grok_grid",
        "grok",
        "arca.update",
        "arca.lockstep",
        "gradient",
        "patch.sweep",
        "patch.path",
        "memory.pattern",
        "memory.sweep",
        "grok.epoch",
        "grok.frequencies",
        "grok.measures",
        "ledger");
  }

  /**
   * Times every question whose name contains {@code filter}; those of memory, which take half an
   * hour, only where it is not empty.
   *
   * @param listener gets each row when it is there
   * @throws IllegalStateException if an answer is wrong
   */
  public List<Row> run(String filter, Consumer<Row> listener) {
    List<Row> rows = new ArrayList<>();
    for (Entry entry : entries()) {
      boolean wanted =
          filter.isEmpty() ? !entry.name.startsWith(MEMORY) : entry.name.contains(filter);
      if (!wanted) {
        continue;
      }
      try (Kernels kernels = open(entry.tier);
          Question question = entry.make.apply(kernels)) {
        Row row = row(question, this::roofNow, engine.threads());
        rows.add(row);
        listener.accept(row);
      }
    }
    open(engine.kernels().tier()).close();
    return rows;
  }

  /** The native kernels have one tier for the whole process, that of the last call. */
  private Kernels open(String tier) {
    return tier.equals("java")
        ? new PortableKernels(engine.threads())
        : CpuKernels.open(engine.threads(), tier);
  }

  private Roof roofNow() {
    Roof now = meter.get();
    roof = roof.or(now);
    return now;
  }

  /**
   * Checks a question, then asks it both ways in turn.
   *
   * @param meter asked before each timing of Assay's way, at most once in a second, and at the end:
   *     a share is the median of those of the timings, each of the higher roof before and after it
   */
  static Row row(Question question, Supplier<Roof> meter, int threads) {
    question.check();
    Clock clock = question.clock(threads);
    int runs = question.runs();
    double[] ours = new double[runs];
    double[] other = new double[runs];
    if (runs > 1) {
      question.secondsOfOurs(clock);
      question.secondsOfOther(clock);
    }
    double peakBytes = Double.NaN;
    List<Roof> roofs = new ArrayList<>();
    int[] before = new int[runs];
    long measured = 0;
    for (int i = 0; i < runs; i++) {
      if (roofs.isEmpty() || System.nanoTime() - measured > BETWEEN_ROOFS) {
        roofs.add(meter.get());
        measured = System.nanoTime();
      }
      before[i] = roofs.size() - 1;
      Peak peak = Double.isNaN(question.boundBytes()) ? null : new Peak();
      ours[i] = question.secondsOfOurs(clock);
      peakBytes = peak == null ? Double.NaN : peak.bytes();
      other[i] = question.secondsOfOther(clock);
    }
    roofs.add(meter.get());
    double[] shares = new double[runs];
    double[] otherShares = new double[runs];
    for (int i = 0; i < runs; i++) {
      Roof roof = roofs.get(before[i]).or(roofs.get(before[i] + 1));
      shares[i] = question.cost().seconds(roof) / ours[i];
      otherShares[i] = question.baselineCost().seconds(roof) / other[i];
    }
    double mine = median(ours);
    double theirs = median(other);
    return new Row(
        question.name(),
        question.shape(),
        clock.toString(),
        threads,
        mine,
        question.baseline(),
        theirs,
        theirs / mine,
        question.bound(theirs),
        median(shares),
        median(otherShares),
        runs,
        peakBytes,
        question.boundBytes());
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    int middle = values.length / 2;
    return values.length % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  }

  private List<Entry> entries() {
    List<Entry> entries = new ArrayList<>();
    String best = engine.kernels().tier();
    for (int audits : new int[] {1, 8, 32}) {
      entries.add(swap(best, audits, false));
      entries.add(swap(best, audits, true));
    }
    otherTiers().forEach(tier -> entries.add(swap(tier, 8, false)));
    for (boolean backward : new boolean[] {false, true}) {
      entries.add(head(best, 96, backward));
      otherTiers().forEach(tier -> entries.add(head(tier, 8, backward)));
    }
    entries.add(adamw(best));
    otherTiers().forEach(tier -> entries.add(adamw(tier)));
    entries.add(new Entry("suffix_attention", best, k -> new AttentionQuestion(engine, k)));
    entries.add(new Entry("grok_grid", best, k -> new GridQuestion(engine, k)));
    entries.add(new Entry("grok", best, k -> new GrokQuestion(engine, k)));
    entries.add(whole("arca.update", () -> new ArcaUpdateQuestion(engine, 0)));
    entries.add(whole("arca.update", () -> new ArcaUpdateQuestion(engine, 32)));
    entries.add(whole("arca.lockstep", () -> new ArcaLockstepQuestion(engine, 32)));
    entries.add(whole("arca.lockstep", () -> new ArcaLockstepQuestion(engine, 4)));
    for (boolean weights : new boolean[] {false, true}) {
      entries.add(whole("gradient", () -> GradientQuestion.gpt2(engine, 64, 5, weights)));
      entries.add(whole("gradient", () -> GradientQuestion.resnet18(engine, 8, weights)));
      entries.add(whole("gradient", () -> GradientQuestion.llama(engine, 4, 80, weights)));
    }
    for (int pairs : new int[] {1, 20}) {
      entries.add(whole("patch.sweep", () -> new PatchQuestion.OfSweep(engine, pairs, 15)));
      entries.add(whole("patch.path", () -> new PatchQuestion.OfPaths(engine, pairs, false)));
      entries.add(whole("patch.path", () -> new PatchQuestion.OfPaths(engine, pairs, true)));
    }
    entries.add(whole("memory.pattern", () -> new PatternQuestion(engine)));
    entries.add(whole("memory.sweep", () -> new PatchQuestion.OfManyPairs(engine)));
    entries.add(whole("grok.epoch", () -> new EpochQuestion(engine)));
    for (boolean all : new boolean[] {false, true}) {
      entries.add(new Entry("grok.frequencies", best, k -> new FrequencyQuestion(engine, k, all)));
    }
    entries.add(whole("grok.measures", () -> new MeasuresQuestion(engine)));
    entries.add(whole("ledger", () -> new LedgerQuestion.OfSearch(engine.threads())));
    entries.add(whole("ledger", LedgerQuestion.OfUnits::new));
    return entries;
  }

  private Entry swap(String tier, int audits, boolean beside) {
    return new Entry("token_swap_topk", tier, k -> new SwapQuestion(engine, k, audits, beside));
  }

  private Entry head(String tier, int rows, boolean backward) {
    String name = backward ? "head_backward" : "head_rows";
    return new Entry(name, tier, k -> new HeadQuestion(engine, k, rows, backward));
  }

  private Entry adamw(String tier) {
    return new Entry("adamw", tier, k -> new AdamWQuestion(engine, k, 4_000_000));
  }

  /** A question about more than a kernel: the kernels are the engine's own. */
  private Entry whole(String name, Supplier<Question> make) {
    return new Entry(name, engine.kernels().tier(), kernels -> make.get());
  }

  /** Tiers that can run here beside the chosen one. */
  private List<String> otherTiers() {
    List<String> tiers = new ArrayList<>();
    for (KernelsReport.Line line : KernelsReport.lines()) {
      if (line.available() && !line.tier().equals(engine.kernels().tier())) {
        tiers.add(line.tier());
      }
    }
    return tiers;
  }
}
