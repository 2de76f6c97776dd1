package io.assay.engine.kernel;

import java.util.ArrayList;
import java.util.List;

/** What there is to choose from on the processor, for {@code doctor}: each tier, and why. */
public final class KernelsReport {
  /**
   * One implementation on one tier.
   *
   * @param available whether it can run here
   * @param reason why not, or what it is
   */
  public record Line(String implementation, String tier, boolean available, String reason) {}

  private KernelsReport() {}

  /** All implementations and tiers that this version knows, but for CUDA. */
  public static List<Line> lines() {
    List<Line> lines = new ArrayList<>();
    if (NativeLibrary.reason() != null) {
      lines.add(new Line("cpu", "-", false, NativeLibrary.reason()));
    } else {
      for (int i = NativeApi.tiers() - 1; i >= 0; i--) {
        lines.add(
            new Line(
                "cpu",
                NativeApi.tierName(i),
                NativeApi.tierPresent(i),
                NativeApi.tierPresent(i) ? NativeApi.buildId() : NativeApi.tierReason(i)));
      }
    }
    lines.add(new Line("portable", "java", true, "plain Java"));
    return lines;
  }
}
