package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/** The first AdamW step of some parameters; the other way is a graph of element-wise operators. */
public final class AdamWQuestion implements Question {
  private static final double RATE = 1e-3;
  private static final double BETA1 = 0.9;
  private static final double BETA2 = 0.999;
  private static final double EPSILON = 1e-8;
  private static final double DECAY = 0.01;
  private static final Kernels.AdamW SETTINGS =
      new Kernels.AdamW(RATE, BETA1, BETA2, EPSILON, DECAY);

  private final Kernels kernels;
  private final int parameters;
  private final Tensor[] start = new Tensor[4];
  private final Tensor[] ours = new Tensor[4];
  private final float[][] plain = new float[4][];
  private final Session session;
  private final Binding binding;

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   */
  public AdamWQuestion(Engine engine, Kernels kernels, int parameters) {
    this.kernels = kernels;
    this.parameters = Draw.size("parameters", parameters);
    Draw draw = new Draw(1711);
    for (int i = 0; i < 4; i++) {
      start[i] = draw.floats(1, parameters);
      if (i == 3) {
        for (int j = 0; j < parameters; j++) {
          start[i].set(j, Math.abs(start[i].get(j)));
        }
      }
      plain[i] = new float[parameters];
      for (int j = 0; j < parameters; j++) {
        plain[i][j] = (float) start[i].get(j);
      }
      ours[i] = Draw.all(0, parameters);
      ours[i].data().copyFrom(start[i].data());
    }
    Graph.Builder b = Graph.builder("adamw").opset("", 17);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    String[] names = {"p", "g", "m", "v"};
    for (int i = 0; i < 4; i++) {
      b.input(names[i], Draw.f32(parameters));
      inputs.put(names[i], start[i]);
    }
    scaled(b, "kept m", "m", BETA1);
    scaled(b, "new m", "g", 1 - BETA1);
    b.op("m'", "Add", Map.of(), "kept m", "new m");
    scaled(b, "kept v", "v", BETA2);
    b.op("g g", "Mul", Map.of(), "g", "g");
    scaled(b, "new v", "g g", 1 - BETA2);
    b.op("v'", "Add", Map.of(), "kept v", "new v");
    scaled(b, "true m", "m'", RATE / (1 - BETA1));
    scaled(b, "true v", "v'", 1 / (1 - BETA2));
    b.op("root", "Sqrt", Map.of(), "true v");
    b.constant("epsilon", Draw.all(EPSILON));
    b.op("below", "Add", Map.of(), "root", "epsilon");
    b.op("step", "Div", Map.of(), "true m", "below");
    scaled(b, "decayed", "p", 1 - RATE * DECAY);
    b.op("p'", "Sub", Map.of(), "decayed", "step");
    session = engine.compile(b.output("p'").output("m'").output("v'").build(), true);
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    for (String name : new String[] {"p'", "m'", "v'"}) {
      outputs.put(name, Draw.all(0, parameters));
    }
    binding = session.bind(inputs, outputs);
  }

  private static void scaled(Graph.Builder b, String name, String value, double factor) {
    b.constant(name + " factor", Draw.all(factor));
    b.op(name, "Mul", Map.of(), value, name + " factor");
  }

  @Override
  public String name() {
    return "adamw";
  }

  @Override
  public String shape() {
    return "P=%d %s".formatted(parameters, kernels.tier());
  }

  @Override
  public String baseline() {
    return "ONNX Runtime, 14 element-wise operators";
  }

  /** Four vectors are read and three are written. */
  @Override
  public Cost cost() {
    return new Cost(14.0 * parameters, 7.0 * Float.BYTES * parameters);
  }

  @Override
  public void ours() {
    kernels.adamw(
        Matrix.vector(ours[0]),
        Matrix.vector(ours[1]),
        Matrix.vector(ours[2]),
        Matrix.vector(ours[3]),
        SETTINGS,
        1);
  }

  @Override
  public void other() {
    binding.run();
  }

  /** The step as a loop over arrays, in float32. */
  public float[] naive() {
    float[] p = plain[0];
    float[] g = plain[1];
    float[] m = plain[2];
    float[] v = plain[3];
    for (int i = 0; i < parameters; i++) {
      p[i] -= (float) (RATE * DECAY) * p[i];
      m[i] = (float) BETA1 * m[i] + (float) (1 - BETA1) * g[i];
      v[i] = (float) BETA2 * v[i] + (float) (1 - BETA2) * g[i] * g[i];
      float root = (float) Math.sqrt(v[i] / (float) (1 - BETA2));
      p[i] -= (float) RATE * (m[i] / (float) (1 - BETA1)) / (root + (float) EPSILON);
    }
    return p;
  }

  /** All three ways begin at the same numbers; call it before anything is timed. */
  @Override
  public void check() {
    ours();
    other();
    naive();
    for (int i = 0; i < parameters; i++) {
      double g = start[1].get(i);
      double m = BETA1 * start[2].get(i) + (1 - BETA1) * g;
      double v = BETA2 * start[3].get(i) + (1 - BETA2) * g * g;
      double step = RATE * (m / (1 - BETA1)) / (Math.sqrt(v / (1 - BETA2)) + EPSILON);
      double p = start[0].get(i) * (1 - RATE * DECAY) - step;
      require(i, "p", p, ours[0].get(i), binding.tensor("p'").get(i), plain[0][i]);
      require(i, "m", m, ours[2].get(i), binding.tensor("m'").get(i), plain[2][i]);
      require(i, "v", v, ours[3].get(i), binding.tensor("v'").get(i), plain[3][i]);
    }
  }

  /** Each value takes a few roundings of numbers of at most 2. */
  private void require(int at, String what, double wanted, double... got) {
    for (double value : got) {
      if (!(Math.abs(wanted - value) <= 1e-6)) {
        throw new IllegalStateException(
            "%s %s: %s of parameter %d is %.9g, not %.9g"
                .formatted(name(), shape(), what, at, value, wanted));
      }
    }
  }

  @Override
  public void close() {
    binding.close();
    session.close();
  }
}
