package io.assay.app.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** How far the memory of this process rises above where it was, as Linux counts it. */
final class Peak {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path RESET = Path.of("/proc/self/clear_refs");

  private final double start;

  /** Forgets earlier peaks. */
  Peak() {
    double resident;
    try {
      Files.writeString(RESET, "5");
      resident = bytes("VmRSS:");
    } catch (IOException e) {
      resident = Double.NaN;
    }
    start = resident;
  }

  /** Bytes between the start and the highest point since; NaN where the system does not tell. */
  double bytes() {
    try {
      return bytes("VmHWM:") - start;
    } catch (IOException e) {
      return Double.NaN;
    }
  }

  private static double bytes(String line) throws IOException {
    return Files.readAllLines(STATUS).stream()
        .filter(l -> l.startsWith(line))
        .mapToDouble(l -> 1024 * Double.parseDouble(l.replaceAll("\\D", "")))
        .findFirst()
        .orElse(Double.NaN);
  }
}
