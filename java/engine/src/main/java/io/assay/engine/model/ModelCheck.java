package io.assay.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionException;
import io.assay.engine.session.SessionOptions;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * What a few runs on drawn inputs say of a model: whether the same inputs give the same bytes,
 * whether a row of a batch is the row alone, and whether its outputs are finite.
 *
 * <p>Audits put rows of different questions into one batch and resume by recomputing, so that a
 * model is refused for them which fails the first or the second ({@link #requireRows}).
 *
 * @param findings by the names {@value #DETERMINISTIC}, {@value #ROWS} and {@value #FINITE}
 */
public record ModelCheck(Map<String, Finding> findings) {
  public static final String DETERMINISTIC = "deterministic";
  public static final String ROWS = "rows";
  public static final String FINITE = "finite";

  static final int BATCH = 3;

  /**
   * How far a row may be from the row alone, over the largest entry of the output: products of
   * other shapes are summed in another order, which a deep model amplifies.
   */
  private static final double TOLERANCE_F32 = 1e-4;

  private static final double TOLERANCE_F64 = 1e-10;

  /** How a check ended. */
  public enum Status {
    PASSED,
    FAILED,
    /** There is nothing to run, or nothing to compare. */
    UNCHECKED
  }

  /**
   * One check.
   *
   * @param text one sentence: what was seen, with its value, and the remedy
   */
  public record Finding(Status status, String text) {}

  public ModelCheck {
    findings = Collections.unmodifiableMap(new TreeMap<>(findings));
  }

  /**
   * Runs a model's graph.
   *
   * @throws InputException if the runtime refuses it
   */
  static ModelCheck of(Graph graph) {
    try {
      return run(graph);
    } catch (InputException e) {
      if (graph.inputs().stream().noneMatch(v -> graph.type(v).dtype() == DType.F64)) {
        throw e;
      }
      // The runtime lacks float64 for some operators; the model can be had in float32.
      return run(graph.withFloat(DType.F32));
    }
  }

  private static ModelCheck run(Graph graph) {
    int threads = Runtime.getRuntime().availableProcessors();
    try (Session session = Session.compile(graph, SessionOptions.cpu(threads))) {
      return new Runs(graph, session).check();
    }
  }

  /** The check under way. */
  private static final class Runs {
    private final Graph graph;
    private final Session session;
    private final DrawnInputs drawn;
    private final Map<String, Finding> findings = new LinkedHashMap<>();
    private Map<String, Tensor> inputs;
    private Map<String, Tensor> outputs;

    Runs(Graph graph, Session session) {
      this.graph = graph;
      this.session = session;
      this.drawn = new DrawnInputs(graph);
    }

    ModelCheck check() {
      String failure = runOnce();
      if (failure != null) {
        Finding finding =
            new Finding(
                Status.UNCHECKED,
                "not checked, since no drawn inputs run (" + failure + "); try `models run`");
        for (String check : new String[] {DETERMINISTIC, ROWS, FINITE}) {
          findings.put(check, finding);
        }
      } else {
        findings.put(DETERMINISTIC, deterministic());
        findings.put(ROWS, rows());
        findings.put(FINITE, finite());
      }
      return new ModelCheck(findings);
    }

    /** Finds a size that runs; returns the first failure if none does. */
    private String runOnce() {
      try {
        DrawnInputs.Run run = drawn.run(BATCH, session::run);
        inputs = run.inputs();
        outputs = run.outputs();
        return null;
      } catch (SessionException | InputException e) {
        return e.getMessage();
      }
    }

    private Finding deterministic() {
      Map<String, Tensor> again = session.run(inputs);
      for (String output : graph.outputs()) {
        Tensor a = outputs.get(output);
        Tensor b = again.get(output);
        if (!Arrays.equals(a.shape(), b.shape()) || a.data().mismatch(b.data()) >= 0) {
          long at = Arrays.equals(a.shape(), b.shape()) ? firstDifference(a, b) : 0;
          return new Finding(
              Status.FAILED,
              "the output "
                  + output
                  + " differs between two runs on the same inputs, first at "
                  + place(a, at)
                  + " ("
                  + number(a.get(at))
                  + " and "
                  + number(b.get(at))
                  + "); export the model in evaluation mode, without dropout or other noise");
        }
      }
      return new Finding(Status.PASSED, "two runs on the same inputs give the same bytes");
    }

    private static long firstDifference(Tensor a, Tensor b) {
      return a.data().mismatch(b.data()) / a.dtype().bytes();
    }

    private Finding rows() {
      if (graph.inputs().stream().anyMatch(drawn::isOfPositions)) {
        return unchecked("the first axis is that of the positions, not of the rows");
      }
      if (graph.inputs().stream().noneMatch(drawn::isByRow)) {
        return unchecked("the first axis of every input is fixed");
      }
      for (String input : graph.inputs()) {
        if (drawn.hasRowsInside(input)) {
          return unchecked("the input " + input + " has the rows at an axis that is not the first");
        }
      }
      double worst = 0;
      boolean compared = false;
      for (int row = 0; row < BATCH; row++) {
        Map<String, Tensor> one = new LinkedHashMap<>(inputs);
        int at = row;
        one.replaceAll((v, t) -> drawn.isByRow(v) ? row(t, at) : t);
        Map<String, Tensor> alone;
        try {
          alone = session.run(one);
        } catch (SessionException e) {
          return unchecked("a single row does not run (" + e.getMessage() + ")");
        }
        for (String output : graph.outputs()) {
          Tensor batch = outputs.get(output);
          Tensor single = alone.get(output);
          if (batch.rank() == 0 || batch.dim(0) != BATCH || !fits(batch, single)) {
            continue;
          }
          compared = true;
          double largest = largest(batch);
          Tensor part = row(batch, row);
          double bound =
              batch.dtype() == DType.F32
                  ? TOLERANCE_F32
                  : batch.dtype() == DType.F64 ? TOLERANCE_F64 : 0;
          for (long i = 0; i < part.elements(); i++) {
            double difference = difference(part.get(i), single.get(i));
            if (difference > bound * largest) {
              return new Finding(
                  Status.FAILED,
                  "row "
                      + row
                      + " of the output "
                      + output
                      + " differs by "
                      + number(difference)
                      + " when it is run alone (largest entry "
                      + number(largest)
                      + ", tolerance "
                      + number(bound)
                      + " of it): rows depend on each other; "
                      + (graph.nodes().stream()
                              .anyMatch(n -> n.op().equals("DynamicQuantizeLinear"))
                          ? "it rounds all rows by one scale (DynamicQuantizeLinear); take the"
                              + " model before it was quantised"
                          : "export the model in evaluation mode, so that nothing is normalised"
                              + " over the batch"));
            }
            worst = Math.max(worst, largest == 0 ? 0 : difference / largest);
          }
        }
      }
      return compared
          ? new Finding(
              Status.PASSED,
              BATCH
                  + " rows of a batch are the rows alone, to "
                  + number(worst)
                  + " of the largest entry")
          : unchecked("no output has an axis of rows");
    }

    private static boolean fits(Tensor batch, Tensor single) {
      long[] shape = batch.shape();
      shape[0] = 1;
      return Arrays.equals(shape, single.shape());
    }

    private static Tensor row(Tensor t, int row) {
      long[] shape = t.shape();
      shape[0] = 1;
      long bytes = t.data().byteSize() / BATCH;
      return Tensor.of(t.dtype(), t.data().asSlice(row * bytes, bytes), shape);
    }

    private static double largest(Tensor t) {
      double largest = 0;
      for (long i = 0; i < t.elements(); i++) {
        double x = Math.abs(t.get(i));
        largest = Double.isFinite(x) ? Math.max(largest, x) : largest;
      }
      return largest;
    }

    private static double difference(double a, double b) {
      if (Double.compare(a, b) == 0) {
        return 0;
      }
      double difference = Math.abs(a - b);
      return Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
    }

    private Finding finite() {
      for (String output : graph.outputs()) {
        Tensor t = outputs.get(output);
        for (long i = 0; i < t.elements(); i++) {
          if (!Double.isFinite(t.get(i))) {
            return new Finding(
                Status.FAILED,
                "the output "
                    + output
                    + " is "
                    + t.get(i)
                    + " at "
                    + place(t, i)
                    + " on drawn inputs; if it is so on your own too (`models run`), export the"
                    + " model in float32");
          }
        }
      }
      return new Finding(Status.PASSED, "all outputs are finite on drawn inputs");
    }

    private static Finding unchecked(String why) {
      return new Finding(Status.UNCHECKED, "not checked: " + why);
    }

    private static String number(double x) {
      return String.format(Locale.ROOT, "%.3g", x);
    }

    /** Index of an element, as a list. */
    private static String place(Tensor t, long element) {
      long[] index = new long[t.rank()];
      long rest = element;
      for (int axis = index.length - 1; axis >= 0; axis--) {
        index[axis] = rest % t.dim(axis);
        rest /= t.dim(axis);
      }
      return Arrays.toString(index);
    }
  }

  /**
   * Refuses a model that cannot be audited in batches.
   *
   * @throws InputException if it is not deterministic, or its rows depend on each other
   */
  void requireRows(String model) {
    for (String check : new String[] {DETERMINISTIC, ROWS}) {
      Finding finding = findings.get(check);
      if (finding != null && finding.status == Status.FAILED) {
        throw new InputException(
            "audits batch rows and compute them again, for which the model "
                + model
                + " was found unfit on import: "
                + finding.text);
      }
    }
  }

  /** The check as it is kept in the record of an import. */
  ObjectNode toJson() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    findings.forEach(
        (name, f) ->
            json.putObject(name)
                .put("status", f.status.name().toLowerCase(Locale.ROOT))
                .put("text", f.text));
    return json;
  }

  /** The check in a record; empty where it has none. */
  static Optional<ModelCheck> ofJson(JsonNode record) {
    Map<String, Finding> findings = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> e : record.path("checks").properties()) {
      String status = e.getValue().path("status").asText();
      for (Status s : Status.values()) {
        if (s.name().toLowerCase(Locale.ROOT).equals(status)) {
          findings.put(e.getKey(), new Finding(s, e.getValue().path("text").asText()));
        }
      }
    }
    return findings.isEmpty() ? Optional.empty() : Optional.of(new ModelCheck(findings));
  }
}
