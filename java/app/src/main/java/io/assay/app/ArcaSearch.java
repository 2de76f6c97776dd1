package io.assay.app;

import io.assay.audit.arca.ArcaAudit;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** A search that ended, and what the model says to its finds. */
record ArcaSearch(ArcaSpec spec, ArcaResult result, ArcaStory story) {
  /**
   * Searches, and decodes each find again.
   *
   * @param units who keeps the audits that ended
   * @return empty if it was cancelled
   */
  static Optional<ArcaSearch> run(
      Engine engine,
      LanguageModel model,
      ArcaSpec spec,
      Common common,
      UnitListener<ArcaStory.Told> units) {
    ArcaStory story;
    ArcaResult result;
    try (ArcaProgress progress = new ArcaProgress(common, name(spec))) {
      story = new ArcaStory(spec.method(), progress, units);
      result = ArcaAudit.run(engine, model, spec, story);
    }
    if (result.cancelled()) {
      return Optional.empty();
    }
    story.verify(engine, model, spec.prefix(), result);
    return Optional.of(new ArcaSearch(spec, result, story));
  }

  private static String name(ArcaSpec spec) {
    return spec.method().name().toLowerCase(Locale.ROOT);
  }

  /** The method, as the command line calls it. */
  String method() {
    return name(spec);
  }

  /** How it ended, for people. */
  List<ArcaRow> rows() {
    return ArcaRow.of(spec, result);
  }

  /** The rows that are finds. */
  List<ArcaRow> finds() {
    return rows().stream().filter(ArcaRow::found).toList();
  }

  /** Finds that hold when decoded again. */
  long holding() {
    return finds().stream().filter(row -> story.holds(row.audit())).count();
  }

  /** Searches that succeeded. */
  long successes() {
    return result.audits().stream().filter(Audit::success).count();
  }

  /** Outputs for which a prompt was found. */
  long targetsFound() {
    return finds().stream().map(row -> row.audit().target()).distinct().count();
  }

  /** What an audit cost: sequences that the model read forward and backward. */
  static long sequences(Audit audit) {
    return audit.forwardSequences() + audit.backwardSequences();
  }

  /** What all audits cost. */
  long sequences() {
    return result.audits().stream().mapToLong(ArcaSearch::sequences).sum();
  }
}
