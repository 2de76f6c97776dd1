package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.EngineOptions;
import io.assay.engine.InputException;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.KernelsReport;
import io.assay.engine.session.CudaChain;
import io.assay.engine.session.Device;
import io.assay.engine.session.OrtLibrary;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Says what was found on this machine, what will be used, and why. */
@Command(name = "doctor", description = "Says what was found here, what will be used, and why.")
final class DoctorCommand implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("doctor");
    EngineOptions options = common.engineOptions();
    envelope.device(options);
    Map<String, String> found = examine(options);
    if (common.json()) {
      ObjectNode result = envelope.result();
      found.forEach(result::put);
      common.out().println(envelope.text(null));
    } else {
      found.forEach((what, text) -> common.out().printf("%-14s %s%n", what, text));
    }
    return 0;
  }

  /** What the engine would open, which a property may force. */
  private static String kernels() {
    try (Kernels kernels = Kernels.open(1)) {
      return kernels.implementation() + " " + kernels.tier();
    }
  }

  private static Map<String, String> examine(EngineOptions options) {
    Map<String, String> found = new LinkedHashMap<>();
    found.put("assay", Version.text());
    found.put("java", Runtime.version() + " in " + System.getProperty("java.home"));
    found.put("system", System.getProperty("os.name") + " on " + System.getProperty("os.arch"));
    found.put("cores", Runtime.getRuntime().availableProcessors() + " seen by this Java");
    found.put(
        "memory", (Runtime.getRuntime().maxMemory() >> 20) + " MiB at most for the Java heap");
    found.put("onnxruntime", OrtLibrary.version());
    for (KernelsReport.Line line : KernelsReport.lines()) {
      found.put(
          "kernels " + line.implementation() + " " + line.tier(),
          (line.available() ? "usable: " : "not usable: ") + line.reason());
    }
    for (CudaChain.Link link : CudaChain.examine()) {
      found.put("cuda " + link.part(), link.text());
    }
    found.put("cuda", cuda());
    found.put(
        "will use",
        "device " + options.device() + ", threads " + options.threads() + ", kernels " + kernels());
    return found;
  }

  private static String cuda() {
    try {
      OrtLibrary.require(Device.parse("cuda"));
      return "usable with --device cuda";
    } catch (InputException e) {
      return "not usable: " + e.getMessage();
    }
  }
}
