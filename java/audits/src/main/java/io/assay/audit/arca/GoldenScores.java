package io.assay.audit.arca;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * The golden scores of TOY-A (specs/arca.md 5.3): the eight best tokens and the move they lead to.
 */
final class GoldenScores {
  private static final int[] AVERAGING = {0, 1, 2, 3, 4, 5, 6, 7};
  private static final int V = 32;
  private static final int SHOWN = 8;

  /**
   * A row of the table.
   *
   * @param scores the best tokens and their scores, best first
   * @param winner the best of them by J, whose J is {@code j}
   * @param best the best of all tokens by J, whose J is {@code bestJ}
   */
  private record Golden(
      String id,
      ArcaSpec.Builder spec,
      int position,
      String scores,
      int winner,
      double j,
      int best,
      double bestJ) {}

  private static final List<Golden> TABLE =
      List.of(
          new Golden(
              "r0i1",
              ArcaSelfTest.reverse(9, 2),
              1,
              "9:6.760557 17:3.747118 6:3.045038 16:2.832415 7:2.194741 19:1.775957 14:1.507142"
                  + " 8:1.417265",
              9,
              -13.674497,
              31,
              -13.528690),
          new Golden(
              "r0i0",
              ArcaSelfTest.reverse(9, 2),
              0,
              "6:2.609833 16:2.137239 9:1.865638 28:1.773177 14:1.664410 5:1.648580 8:1.359123"
                  + " 21:0.888858",
              28,
              -11.723492,
              28,
              -11.723492),
          new Golden(
              "r2i1",
              ArcaSelfTest.reverse(9, 2).lambdaF(0.2),
              1,
              "9:6.016207 17:2.981576 6:2.529037 16:2.168514 7:1.715466 14:1.237344 19:0.794851"
                  + " 8:0.544764",
              6,
              -14.942780,
              6,
              -14.942780),
          new Golden(
              "ji3",
              ArcaSelfTest.joint(),
              3,
              "12:-0.386662 5:-1.878242 22:-2.347298 25:-2.441614 14:-3.429583 20:-3.858002"
                  + " 13:-4.327261 31:-4.472256",
              22,
              -9.675211,
              22,
              -9.675211),
          new Golden(
              "ji4",
              ArcaSelfTest.joint(),
              4,
              "13:-0.798497 12:-2.213589 9:-2.431040 24:-2.544211 31:-2.823124 1:-3.531489"
                  + " 11:-3.726108 27:-3.825752",
              13,
              -7.846030,
              13,
              -7.846030),
          new Golden(
              "or2i1",
              ArcaSelfTest.reverse(9, 2).lambdaF(0.2).compat(Compat.OFFICIAL),
              1,
              "9:.426514 17:.232202 6:.197869 16:.192524 7:.144373 19:.104792 14:.091061"
                  + " 8:.088303",
              6,
              -14.942780,
              6,
              -14.942780),
          new Golden(
              "oji3",
              ArcaSelfTest.joint().compat(Compat.OFFICIAL),
              3,
              "12:-.563611 25:-1.743326 5:-2.670172 3:-2.673825 22:-3.635208 14:-4.115071"
                  + " 26:-4.121076 31:-4.787949",
              22,
              -9.675211,
              22,
              -9.675211));

  private final Engine engine;

  GoldenScores(Engine engine) {
    this.engine = engine;
  }

  List<Statement> statements() {
    List<Statement> s = new ArrayList<>();
    for (DType dtype : List.of(DType.F64, DType.F32)) {
      LanguageModel model = Toys.a(dtype);
      TABLE.forEach(golden -> compare(s, golden, model));
    }
    return s;
  }

  private void compare(List<Statement> s, Golden golden, LanguageModel model) {
    boolean wide = model.dtype() == DType.F64;
    double bound = wide ? 1e-5 : 2e-3;
    double equal = wide ? 1e-9 : 1e-4;
    String id = "arca.2." + golden.id() + "." + model.dtype().name().toLowerCase(Locale.ROOT);
    String[] pairs = golden.scores().split(" ");
    List<Integer> ids = Arrays.stream(pairs).map(p -> Integer.valueOf(p.split(":")[0])).toList();
    double[] values =
        Arrays.stream(pairs).mapToDouble(p -> Double.parseDouble(p.split(":")[1])).toArray();
    ArcaSpec spec = golden.spec().q(V).build();
    try (Lockstep group = ArcaSelfTest.group(engine, model, spec)) {
      Slot slot = group.settled(ArcaSelfTest.SEQUENCE.clone());
      Coordinate coordinate = group.coordinate(golden.position());
      double[] scores = coordinate.scores(slot, AVERAGING);
      int[] ranked = coordinate.ranked(slot);
      double[] folded = coordinate.rankedScores();
      int[] top = Arrays.copyOf(ranked, SHOWN);
      s.add(same(id + ".order", "eight best tokens by score", ids, ArcaSelfTest.list(top)));
      double[] got = Arrays.stream(top).mapToDouble(v -> scores[v]).toArray();
      s.add(near(id + ".scores", "their scores", 0, ArcaSelfTest.distance(values, got), bound));
      double alpha = new Problem(spec, 2).alpha(golden.position());
      double constant = alpha == 0 ? 0 : alpha * slot.lse[golden.position() - 1];
      double[] moved = Arrays.stream(folded).map(f -> f - constant).toArray();
      s.add(same(id + ".all", "tokens that the kernel ranks", V, ranked.length));
      s.add(
          near(
              id + ".folded",
              "the kernel's score minus alpha times log-sum-exp, for every token",
              0,
              ArcaSelfTest.distance(
                  Arrays.stream(ranked).mapToDouble(v -> scores[v]).toArray(), moved),
              equal));
      double[] j = coordinate.objectives(slot, IntStream.range(0, V).toArray());
      int winner = best(top, j);
      s.add(same(id + ".winner", "the winner among them", golden.winner(), winner));
      s.add(near(id + ".j", "its J", golden.j(), j[winner], bound));
      int best = best(IntStream.range(0, V).toArray(), j);
      s.add(same(id + ".best", "the best of all tokens", golden.best(), best));
      s.add(near(id + ".best.j", "its J", golden.bestJ(), j[best], bound));
      if (golden.position() == 4) {
        double offset = scores[0] - j[0];
        double spread =
            IntStream.range(0, V)
                .mapToDouble(v -> Math.abs(scores[v] - j[v] - offset))
                .max()
                .orElseThrow();
        s.add(near(id + ".offset", "score minus J at the last output", 7.047533, offset, bound));
        s.add(near(id + ".constant", "how far it differs between tokens", 0, spread, equal));
      }
    }
  }

  /** The one of {@code ids} with the highest J; the earliest among equals. */
  private static int best(int[] ids, double[] j) {
    int best = ids[0];
    for (int v : ids) {
      best = j[v] > j[best] ? v : best;
    }
    return best;
  }
}
