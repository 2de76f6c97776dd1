package io.assay.app;

import io.assay.engine.run.UnitListener;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** How far patching is, beside what keeps its units. */
final class PatchProgress<U> implements UnitListener<U>, AutoCloseable {
  private final Bar bar;
  private final UnitListener<U> units;
  private final int most;
  private int before = -1;
  private int finished;

  /**
   * @param task what is done
   * @param most units in all
   * @param units who keeps them
   */
  PatchProgress(Common common, String task, int most, UnitListener<U> units) {
    this.bar = new Bar(common, task, "parts");
    this.most = most;
    this.units = units;
  }

  @Override
  public List<U> done() {
    List<U> done = units.done();
    before = done.size();
    return done;
  }

  @Override
  public void finished(U unit) {
    units.finished(unit);
    finished++;
    int all = Math.max(0, before) + finished;
    double rate = finished / bar.seconds();
    Optional<Duration> left =
        finished < 2
            ? Optional.empty()
            : Optional.of(Duration.ofSeconds((long) ((most - all) / rate)));
    bar.show(
        all,
        most,
        left,
        "",
        () ->
            "%d of %d parts%s"
                .formatted(all, most, left.map(d -> ", " + Bar.text(d) + " left").orElse("")));
  }

  @Override
  public boolean cancelled() {
    return units.cancelled();
  }

  @Override
  public void close() {
    bar.close();
  }
}
