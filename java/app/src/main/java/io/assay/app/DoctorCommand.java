package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.InputException;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.KernelsReport;
import io.assay.engine.session.CudaChain;
import io.assay.engine.session.Device;
import io.assay.engine.session.OrtLibrary;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Says what was found on this machine, what will be used, and why. */
@Command(name = "doctor", description = "Says what was found here, what will be used, and why.")
final class DoctorCommand implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  /**
   * A line of what was found.
   *
   * @param usable whether it can be used, or null where that is no question
   */
  private record Found(String what, Boolean usable, String text) {}

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("doctor");
    EngineOptions options = common.engineOptions();
    envelope.device(options);
    List<Found> found = examine(options);
    if (common.json()) {
      ObjectNode result = envelope.result();
      found.forEach(line -> result.put(line.what(), line.text()));
      ObjectNode usable = result.putObject("usable");
      found.stream()
          .filter(line -> line.usable() != null)
          .forEach(line -> usable.put(line.what(), line.usable()));
      common.out().println(envelope.text(null));
    } else {
      int width = found.stream().mapToInt(line -> line.what().length()).max().orElseThrow();
      String form = "%-" + width + "s %s%n";
      found.forEach(line -> common.out().printf(form, line.what(), line.text()));
    }
    return 0;
  }

  private static List<Found> examine(EngineOptions options) {
    List<Found> found = new ArrayList<>();
    found.add(new Found("assay", null, Version.text()));
    String java = Runtime.version() + " in " + System.getProperty("java.home");
    found.add(new Found("java", null, java));
    String system = System.getProperty("os.name") + " on " + System.getProperty("os.arch");
    found.add(new Found("system", null, system));
    int cores = Runtime.getRuntime().availableProcessors();
    found.add(new Found("cores", null, cores + " seen by this Java"));
    long heap = Runtime.getRuntime().maxMemory() >> 20;
    found.add(new Found("memory", null, heap + " MiB at most for the Java heap"));
    found.add(new Found("onnxruntime", null, OrtLibrary.version()));
    for (KernelsReport.Line line : KernelsReport.lines()) {
      found.add(
          new Found(
              "kernels " + line.implementation() + " " + line.tier(),
              line.available(),
              (line.available() ? "usable: " : "not usable: ") + line.reason()));
    }
    for (CudaChain.Link link : CudaChain.examine()) {
      found.add(new Found("cuda " + link.part(), link.holds(), link.text()));
    }
    boolean asked = options.device().kind() == Device.Kind.CUDA;
    Device device = asked ? options.device() : Device.parse("cuda");
    String refused = refused(device);
    String cuda = refused == null ? "usable with --device " + device : "not usable: " + refused;
    found.add(new Found("cuda", refused == null, cuda));
    boolean runs = !asked || refused == null;
    String nothing = "nothing with --device " + device + ": it is not usable, see above";
    found.add(new Found("will use", runs, runs ? use(options) : nothing));
    return found;
  }

  /** Why graphs cannot run on a device, or null where they can. */
  private static String refused(Device device) {
    try {
      OrtLibrary.require(device);
      return null;
    } catch (InputException e) {
      return e.getMessage();
    }
  }

  /** What an engine of these settings takes; a property may force its kernels. */
  private static String use(EngineOptions options) {
    try (Engine engine = Engine.open(options)) {
      Kernels kernels = engine.kernels();
      String name = kernels.implementation() + " " + kernels.tier();
      return "device %s, threads %d, kernels %s"
          .formatted(options.device(), options.threads(), name);
    }
  }
}
