package io.assay.app;

import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.audit.arca.ArcaResult.Best;
import io.assay.audit.arca.ArcaSpec;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How a search ended, for people: a find, or the best that a failed search came across. Searches of
 * a target that end with the same tokens are one row.
 *
 * @param audit the search, or the first of the searches that ended so
 * @param times searches that ended so
 * @param prompt prefix and prompt, as `arca verify` takes them
 * @param output the output
 * @param J objective of the two, nats
 */
record ArcaRow(Audit audit, int times, List<Integer> prompt, List<Integer> output, double J) {
  private record Key(int target, boolean found, List<Integer> prompt, List<Integer> output) {}

  /** The rows of a result: targets as they were given, the finds of each before its failures. */
  static List<ArcaRow> of(ArcaSpec spec, ArcaResult result) {
    Map<Key, ArcaRow> rows = new LinkedHashMap<>();
    for (Audit audit : result.audits()) {
      ArcaRow row = of(spec, audit);
      rows.merge(
          new Key(audit.target(), audit.success(), row.prompt, row.output),
          row,
          (first, _) -> first.again());
    }
    return rows.values().stream()
        .sorted(
            Comparator.comparingInt((ArcaRow row) -> row.audit.target())
                .thenComparing(ArcaRow::found, Comparator.reverseOrder()))
        .toList();
  }

  private static ArcaRow of(ArcaSpec spec, Audit audit) {
    Best best = audit.success() ? null : audit.bestSoFar();
    List<Integer> prompt = new ArrayList<>(spec.prefix());
    prompt.addAll(best == null ? audit.promptIds() : best.promptIds());
    return best == null
        ? new ArcaRow(audit, 1, prompt, audit.outputIds(), audit.J())
        : new ArcaRow(audit, 1, prompt, best.outputIds(), best.J());
  }

  private ArcaRow again() {
    return new ArcaRow(audit, times + 1, prompt, output, J);
  }

  boolean found() {
    return audit.success();
  }
}
