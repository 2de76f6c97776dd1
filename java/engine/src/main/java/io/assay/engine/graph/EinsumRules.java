package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Gradient of Einsum: for each operand another Einsum, of the result's gradient and the other
 * operands. Indices that only the operand had were summed over, so that the gradient is spread over
 * them; an index that it had twice picks a diagonal, beside which the gradient is 0.
 */
final class EinsumRules {
  private EinsumRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("Einsum", EinsumRules::einsum);
  }

  private static void einsum(Backward b) {
    String equation = b.node().text("equation", "").replace(" ", "");
    String[] sides = equation.split("->", -1);
    String[] terms = sides[0].split(",", -1);
    String result = sides.length > 1 ? sides[1] : Shapes.implicit(sides[0]);
    int dots = 0;
    for (int i = 0; i < terms.length; i++) {
      if (terms[i].contains("...")) {
        dots = Math.max(dots, b.in(i).rank() - terms[i].length() + 3);
      }
    }
    String hidden = unusedLetters(equation, dots);
    for (int i = 0; i < terms.length; i++) {
      int own = b.in(i).rank() - terms[i].length() + 3;
      terms[i] =
          terms[i].contains("...")
              ? terms[i].replace("...", hidden.substring(hidden.length() - own))
              : terms[i];
    }
    String reached = result.replace("...", hidden);
    for (int i = 0; i < terms.length; i++) {
      int operand = i;
      b.give(i, () -> gradient(b, terms, reached, operand));
    }
  }

  /** Letters that stand for the axes behind an ellipsis. */
  private static String unusedLetters(String equation, int n) {
    return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        .chars()
        .filter(c -> equation.indexOf(c) < 0)
        .limit(n)
        .mapToObj(c -> String.valueOf((char) c))
        .collect(Collectors.joining());
  }

  private static Expr gradient(Backward b, String[] terms, String result, int operand) {
    List<Expr> values = new ArrayList<>();
    List<String> names = new ArrayList<>();
    Expr factor = null;
    for (int i = -1; i < terms.length; i++) {
      Expr value = i < 0 ? b.g() : b.in(i);
      String name = i < 0 ? result : terms[i];
      if (i == operand) {
        continue;
      }
      // The runtime takes no operand without indices: a number is multiplied apart.
      if (name.isEmpty()) {
        factor = factor == null ? value : factor.times(value);
      } else {
        values.add(value);
        names.add(name);
      }
    }
    String term = terms[operand];
    String known = String.join("", names);
    String indices = distinct(term);
    String computed =
        indices
            .chars()
            .filter(c -> known.indexOf(c) >= 0)
            .mapToObj(c -> String.valueOf((char) c))
            .collect(Collectors.joining());
    String equation = String.join(",", names) + "->" + computed;
    Expr g = factor;
    if (!values.isEmpty()) {
      g = b.op("Einsum", Map.of("equation", equation), values.toArray(Expr[]::new));
      g = factor == null ? g : g.times(factor);
    }

    // Spread over the indices that were summed over, then over the diagonals.
    long[] spread = new long[indices.length()];
    long[] full = new long[indices.length()];
    for (int i = 0; i < spread.length; i++) {
      int at = computed.indexOf(indices.charAt(i));
      full[i] = b.in(operand).shape()[term.indexOf(indices.charAt(i))];
      spread[i] = at < 0 ? 1 : g.shape()[at];
      full[i] = Math.max(full[i], spread[i]);
    }
    g = g.reshape(spread).expandTo(full);
    return indices.length() == term.length() ? g : diagonal(b, g, indices, term, operand);
  }

  private static Expr diagonal(Backward b, Expr g, String indices, String term, int operand) {
    DType dtype = g.dtype();
    long[] shape = new long[term.length()];
    Arrays.fill(shape, 1);
    Expr mask = null;
    for (int i = 0; i < term.length(); i++) {
      int first = term.indexOf(term.charAt(i));
      if (first < i) {
        long n = b.in(operand).shape()[i];
        long[] unit = new long[term.length()];
        Arrays.fill(unit, 1);
        unit[first] = n;
        unit[i] = n;
        Expr same = b.identity(dtype, n).reshape(unit);
        mask = mask == null ? same : mask.times(same);
      } else {
        shape[i] = g.shape()[indices.indexOf(term.charAt(i))];
      }
    }
    return g.reshape(shape).times(mask);
  }

  private static String distinct(String term) {
    return term.chars()
        .distinct()
        .mapToObj(c -> String.valueOf((char) c))
        .collect(Collectors.joining());
  }
}
