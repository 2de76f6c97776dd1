package io.assay.app;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.InputException;
import io.assay.engine.model.Model;
import io.assay.engine.run.Run;
import io.assay.engine.session.OrtLibrary;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.concurrent.ThreadLocalRandom;

/** What every run reports about itself, as one JSON object of fixed outer shape. */
final class Envelope {
  static final ObjectMapper JSON = new ObjectMapper();
  private static final DateTimeFormatter STAMP = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

  private final long start = System.nanoTime();
  private final String method;
  private final String run;
  private final ObjectNode spec = JSON.createObjectNode();
  private final ObjectNode device = JSON.createObjectNode();
  private final ObjectNode model = JSON.createObjectNode();
  private final ObjectNode metrics = JSON.createObjectNode();
  private final ObjectNode result = JSON.createObjectNode();

  /** The run in its ledger, or null. */
  private Run recorded;

  /** Seconds when this object was first shown; NaN before. */
  private double shown = Double.NaN;

  /**
   * Starts the clock of a run.
   *
   * @param method command and verb, such as {@code arca.reverse}
   */
  Envelope(String method) {
    this(method, name(method));
  }

  private Envelope(String method, String run) {
    this.method = method;
    this.run = run;
  }

  /** The envelope of a run in a ledger. */
  static Envelope of(String method, Run run) {
    Envelope envelope = new Envelope(method, run.name());
    envelope.recorded = run;
    return envelope;
  }

  /** A new name for a run. */
  static String name(String method) {
    return "%s-%s-%04x"
        .formatted(
            method.replace('.', '-'),
            STAMP.format(LocalDateTime.now()),
            ThreadLocalRandom.current().nextInt(1 << 16));
  }

  /** Name of this run: method, time, four random digits. */
  String run() {
    return run;
  }

  ObjectNode spec() {
    return spec;
  }

  ObjectNode metrics() {
    return metrics;
  }

  ObjectNode result() {
    return result;
  }

  void device(EngineOptions options) {
    device
        .put("name", options.device().toString())
        .put("threads", options.threads())
        .put("java", Runtime.version().toString());
  }

  void model(Model audited) {
    model(audited.name(), audited.sha256());
  }

  void model(String name, String sha256) {
    model.put("name", name).put("sha256", sha256);
  }

  /** Device, kernels and versions that decide a run's bits. */
  void device(Engine engine) {
    device(engine.options());
    device
        .put("kernels", engine.kernels().implementation() + " " + engine.kernels().tier())
        .put("onnxruntime", OrtLibrary.version())
        .put("system", System.getProperty("os.name") + " " + System.getProperty("os.arch"));
  }

  /**
   * Writes into the ledger what decides the result, or checks that it is as it was: everything that
   * this object holds but metrics and result.
   *
   * @param units units of work in all
   * @throws InputException naming what differs
   */
  void describe(long units) {
    ObjectNode provenance = head();
    provenance.remove("run");
    recorded.describe(units, provenance);
  }

  /** Seconds since this run began; of all its lives, where it is in a ledger. */
  double seconds() {
    return recorded != null ? recorded.seconds() : (System.nanoTime() - start) / 1e9;
  }

  private ObjectNode head() {
    ObjectNode root = JSON.createObjectNode();
    root.put("assay", Version.text()).put("commit", Version.commit());
    root.put("run", run).put("method", method);
    root.set("spec", spec);
    root.set("device", device);
    root.set("model", model);
    return root;
  }

  /** The whole object, the same in a report and in print; {@code report} may be null. */
  ObjectNode tree(Path report) {
    shown = Double.isNaN(shown) ? seconds() : shown;
    ObjectNode root = head();
    root.put("seconds", shown);
    root.set("metrics", metrics);
    root.set("result", result);
    root.put("report", report == null ? null : report.toString());
    return root;
  }

  /** {@link #tree} as text of one line. */
  String text(Path report) {
    try {
      return JSON.writeValueAsString(tree(report));
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a tree of plain values is always JSON", e);
    }
  }
}
