package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.Pair;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.PathPatch;
import io.assay.engine.patch.PathSpec;
import io.assay.engine.patch.Sweep;
import io.assay.engine.patch.SweepSpec;
import io.assay.engine.run.UnitListener;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Maps of patches at GPT-2 small's shape against a loop of whole passes, of which a part is timed.
 * Both have compiled their graphs before, where the shape does not say otherwise.
 */
abstract class PatchQuestion implements Question {
  static final int HEADS = 12;
  private static final int LAYER = 6;

  /** Forward passes of the loop that are timed. */
  static final int SAMPLE = 24;

  final Engine engine;
  final LanguageModel model = Gpt2Small.model();
  final int length;
  final List<Pair> pairs;
  private NaivePatch naive;

  PatchQuestion(Engine engine, int count, int length) {
    this.engine = engine;
    this.length = length;
    this.pairs = draw(count, length);
  }

  private static List<Pair> draw(int count, int length) {
    Draw draw = new Draw(15);
    List<Pair> drawn = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      List<Integer> clean = new ArrayList<>();
      List<Integer> corrupt = new ArrayList<>();
      int[] ids = draw.ids(2 * length, 50_000);
      for (int t = 0; t < length; t++) {
        clean.add(ids[t]);
        corrupt.add(t == length - 1 ? ids[t] : ids[length + t]);
      }
      drawn.add(new Pair(clean, corrupt, 50_000 + i, 50_128 + i, Map.of()));
    }
    return drawn;
  }

  /** Passes of the whole loop over one pair. */
  abstract int passes();

  @Override
  public String shape() {
    return "gpt2-small, %d tokens, %d pair%s"
        .formatted(length, pairs.size(), pairs.size() == 1 ? "" : "s");
  }

  @Override
  public String baseline() {
    return "a pass for each patch (%d of %d timed)".formatted(SAMPLE, passes());
  }

  private NaivePatch naive() {
    if (naive == null) {
      naive = new NaivePatch(engine, model, pairs.getFirst(), LAYER);
    }
    return naive;
  }

  @Override
  public void other() {
    for (int i = 0; i < SAMPLE; i++) {
      naive().run(i % length, i % HEADS, pairs.getFirst());
    }
  }

  @Override
  public double secondsOfOther(Clock clock) {
    naive();
    return clock.seconds(this::other) / SAMPLE * passes() * pairs.size();
  }

  @Override
  public Cost baselineCost() {
    double pass = length * 2.0 * (Gpt2Small.BLOCKS + Gpt2Small.HEAD);
    return new Cost(pass * passes() * pairs.size(), 0);
  }

  @Override
  public int runs() {
    return pairs.size() == 1 ? 3 : 1;
  }

  @Override
  public void close() {
    if (naive != null) {
      naive.close();
    }
  }

  /** Head by position, all layers. */
  static class OfSweep extends PatchQuestion {
    private Sweep sweep;

    OfSweep(Engine engine, int count, int length) {
      super(engine, count, length);
    }

    @Override
    public String name() {
      return "patch.sweep";
    }

    @Override
    int passes() {
      return Gpt2Small.LAYERS * length * HEADS;
    }

    private Sweep open(List<Pair> of) {
      return Sweep.open(engine, model, SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, of));
    }

    @Override
    public void close() {
      super.close();
      if (sweep != null) {
        sweep.close();
      }
    }

    @Override
    public void ours() {
      if (sweep == null) {
        sweep = open(pairs);
      }
      sweep.run(UnitListener.none());
    }

    @Override
    public void check() {
      PatchMap map;
      try (Sweep few = open(pairs.subList(0, Math.min(2, pairs.size())))) {
        map = few.run(UnitListener.none());
      }
      for (int i = 0; i < SAMPLE; i++) {
        int position = i % length;
        int head = i % HEADS;
        double want = super.naive().run(position, head, pairs.getFirst());
        double got = map.values()[(LAYER * length + position) * HEADS + head][0];
        if (Math.abs(want - got) > 1e-4) {
          throw new IllegalStateException(
              "patch.sweep gives %g at head %d of position %d, a whole pass %g"
                  .formatted(got, head, position, want));
        }
      }
    }

    @Override
    public double bound(double otherSeconds) {
      return otherSeconds / 10;
    }

    /** Products of the rows that a patch changes: specs/ioi.md 7, suffix recompute. */
    @Override
    public Cost cost() {
      double square = (double) Gpt2Small.WIDTH * Gpt2Small.WIDTH;
      double layers = Gpt2Small.LAYERS;
      double copies = (double) HEADS * length;
      double rows = copies * (length + 1) / 2;
      double keys = 0;
      for (int start = 0; start < length; start++) {
        for (int at = start; at < length; at++) {
          keys += HEADS * (at + 1.0);
        }
      }
      double block = rows * 24 * square + 4 * Gpt2Small.WIDTH * keys;
      double passes = (layers - 1) * (layers - 2) / 2;
      double last = rows * 4 * square + copies * 20 * square;
      double patched = copies * 16 * square;
      return new Cost(pairs.size() * (passes * block + (layers - 1) * last + layers * patched), 0);
    }
  }

  /** As many pairs as a study has: what they take of memory. */
  static final class OfManyPairs extends OfSweep {
    OfManyPairs(Engine engine) {
      super(engine, 100, 20);
    }

    @Override
    public String name() {
      return "memory.sweep";
    }

    @Override
    public double boundBytes() {
      return 4e9;
    }
  }

  /** Heads to the logits. */
  static final class OfPaths extends PatchQuestion {
    private final boolean compiles;
    private PathPatch paths;

    /**
     * @param compiles whether graphs are compiled each time, as in a call of the command line
     */
    OfPaths(Engine engine, int count, boolean compiles) {
      super(engine, count, 15);
      this.compiles = compiles;
    }

    @Override
    public String shape() {
      return super.shape() + (compiles ? ", compiled anew" : "");
    }

    @Override
    public String name() {
      return "patch.path";
    }

    /** Passes C and D of each sender. */
    @Override
    int passes() {
      return 2 * Gpt2Small.LAYERS * HEADS;
    }

    private PathSpec spec() {
      return PathSpec.toLogits(Direction.NOISE, pairs);
    }

    private PatchMap map() {
      if (compiles) {
        return PathPatch.run(engine, model, spec(), UnitListener.none());
      }
      if (paths == null) {
        paths = PathPatch.open(engine, model, spec());
      }
      return paths.run(UnitListener.none());
    }

    @Override
    public void close() {
      super.close();
      if (paths != null) {
        paths.close();
      }
    }

    @Override
    public void ours() {
      map();
    }

    @Override
    public void check() {
      PatchMap got = map();
      PathSpec one = spec().withFrom("blocks.3.attn.hook_z");
      PatchMap want = PathPatch.runPlainly(engine, model, one);
      for (int head = 0; head < HEADS; head++) {
        double difference = want.values()[head][0] - got.values()[3 * HEADS + head][0];
        if (Math.abs(difference) > 1e-4) {
          throw new IllegalStateException(
              "patch.path is off by %g at head 3.%d".formatted(difference, head));
        }
      }
    }

    @Override
    public double bound(double otherSeconds) {
      return otherSeconds / 50;
    }

    /** The MLPs behind each sender, one row each. */
    @Override
    public Cost cost() {
      double layers = Gpt2Small.LAYERS;
      double rows = HEADS * layers * (layers + 1) / 2;
      double square = (double) Gpt2Small.WIDTH * Gpt2Small.WIDTH;
      return new Cost(pairs.size() * rows * 16 * square, 0);
    }
  }
}
