package io.assay.engine.model;

import java.util.Set;

/** The functions between the two products of an MLP, by the names of GPT-2's configuration. */
final class Activations {
  /** Adds nodes of one output to a graph. */
  interface Writer {
    /** An operator of the default domain, and what it gives. */
    String op(String op, String... inputs);

    /** A constant of the graph's element type. */
    String real(double value);
  }

  /** Names of one function, {@code x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))}. */
  private static final Set<String> GELU_TANH = Set.of("gelu_new", "gelu_pytorch_tanh", "gelu_fast");

  private Activations() {}

  static boolean isGeluTanh(String name) {
    return GELU_TANH.contains(name);
  }

  /**
   * Writes one.
   *
   * @param name of the function, one that {@link Gpt2Config} allows
   */
  static String write(String name, String x, Writer b) {
    if (isGeluTanh(name)) {
      return geluTanh(x, b);
    }
    return switch (name) {
      case "gelu" -> geluErf(x, b);
      case "quick_gelu" -> b.op("Mul", x, b.op("Sigmoid", b.op("Mul", x, b.real(1.702))));
      case "silu", "swish" -> b.op("Mul", x, b.op("Sigmoid", x));
      case "relu" -> b.op("Relu", x);
      case "tanh" -> b.op("Tanh", x);
      default -> throw new IllegalArgumentException("activation " + name);
    };
  }

  private static String geluTanh(String x, Writer b) {
    String cube = b.op("Mul", b.op("Mul", x, x), x);
    String cubic = b.op("Add", x, b.op("Mul", cube, b.real(0.044715)));
    String tanh = b.op("Tanh", b.op("Mul", cubic, b.real(Math.sqrt(2 / Math.PI))));
    return b.op("Mul", b.op("Mul", x, b.real(0.5)), b.op("Add", tanh, b.real(1)));
  }

  /** {@code x/2 * (1 + erf(x / sqrt 2))}. */
  private static String geluErf(String x, Writer b) {
    String erf = b.op("Erf", b.op("Mul", x, b.real(Math.sqrt(0.5))));
    return b.op("Mul", b.op("Mul", x, b.real(0.5)), b.op("Add", erf, b.real(1)));
  }
}
