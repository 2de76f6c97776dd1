package io.assay.audit.ioi;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The detectors of heads on T2 of specs/ioi.md 5.2, whose two heads are what they look for. */
final class DetectorStatements {
  private static final int HALF = 6;

  private final Engine engine;
  private final List<Statement> s = new ArrayList<>();

  DetectorStatements(Engine engine) {
    this.engine = engine;
  }

  List<Statement> statements() {
    LanguageModel toy = Toys.induction(DType.F64, HALF);
    List<HeadScores> scores = HeadScores.ofRepetition(engine, toy, HALF, 1, HALF, 0, 8, 1);
    double[][] previous = scores.get(0).shares();
    double[][] duplicate = scores.get(1).shares();
    double[][] induction = scores.get(2).shares();
    exact("previous", "previous-token score of 0.0", 1, previous[0][0]);
    exact("induction", "induction score of 1.0", 1, induction[1][0]);
    exact("duplicate", "duplicate score of 0.0", 0, duplicate[0][0]);
    exact("duplicate.1", "duplicate score of 1.0", 0, duplicate[1][0]);
    repetition(toy);
    return s;
  }

  private void exact(String id, String words, double expected, double got) {
    s.add(near("ioi.2." + id, words, expected, got, 1e-9));
  }

  /** What is said in the second half of 0, 3 1 4 6 5 2, 3 1 4 6 5 2. */
  private void repetition(LanguageModel toy) {
    long[] ids = {0, 3, 1, 4, 6, 5, 2, 3, 1, 4, 6, 5, 2};
    try (Session session = engine.compile(toy.whole())) {
      Tensor input = Tensor.ofLongs(ids, 1, ids.length);
      Tensor logits = session.run(Map.of("input_ids", input)).get("logits");
      int said = 0;
      double worst = 0;
      for (int q = 1 + HALF; q + 1 < ids.length; q++) {
        long row = (long) q * toy.vocabulary();
        int best = 0;
        for (int t = 1; t < toy.vocabulary(); t++) {
          best = logits.get(row + t) > logits.get(row + best) ? t : best;
        }
        said += best == ids[q + 1] ? 1 : 0;
        worst = Math.max(worst, Math.abs(logits.get(row + ids[q + 1]) - 4));
      }
      s.add(same("ioi.2.accuracy", "right tokens of the second half, of 5", 5, said));
      exact("logit", "largest distance of their logits from 4", 0, worst);
    }
  }
}
