package io.assay.engine.graph;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Products of matrices and sums of products. */
final class ReferenceProducts {
  private ReferenceProducts() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("MatMul", c -> List.of(matmul(c.in(0), c.in(1))));
    table.put("Gemm", ReferenceProducts::gemm);
    table.put("Einsum", ReferenceProducts::einsum);
    table.put("Det", ReferenceProducts::det);
    table.put("com.microsoft.FusedMatMul", ReferenceProducts::fused);
  }

  /** numpy.matmul. */
  static Array64 matmul(Array64 a, Array64 b) {
    if (a.rank() == 1) {
      Array64 y = matmul(a.reshape(1, a.shape()[0]), b);
      return y.reshape(without(y.shape(), b.rank() == 1 ? y.rank() - 1 : y.rank() - 2));
    }
    if (b.rank() == 1) {
      Array64 y = matmul(a, b.reshape(b.shape()[0], 1));
      return y.reshape(without(y.shape(), y.rank() - 1));
    }
    int n = a.shape()[a.rank() - 1];
    int[] rows = Arrays.copyOf(a.shape(), a.rank() - 2);
    int[] columns = Arrays.copyOf(b.shape(), b.rank() - 2);
    int[] shape =
        Array64.join(
            Array64.broadcast(rows, columns),
            new int[] {a.shape()[a.rank() - 2], b.shape()[b.rank() - 1]});
    return Array64.build(
        a.dtype(),
        shape,
        at -> {
          double sum = 0;
          int[] left = at.clone();
          int[] right = at.clone();
          for (int k = 0; k < n; k++) {
            left[at.length - 1] = k;
            right[at.length - 2] = k;
            sum += a.get(left) * b.get(right);
          }
          return sum;
        });
  }

  /** The product of the pivots of Gauss's elimination, with those of largest size. */
  private static List<Array64> det(Reference.Call c) {
    int rank = c.in(0).rank();
    int n = c.in(0).shape()[rank - 1];
    double[] all = c.in(0).data().clone();
    Array64 y = Array64.zeros(c.dtype(), Arrays.copyOf(c.in(0).shape(), rank - 2));
    for (int at = 0; at < y.data().length; at++) {
      double[] a = Arrays.copyOfRange(all, at * n * n, (at + 1) * n * n);
      double det = 1;
      for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k + 1; i < n; i++) {
          pivot = Math.abs(a[i * n + k]) > Math.abs(a[pivot * n + k]) ? i : pivot;
        }
        det *= (pivot == k ? 1 : -1) * a[pivot * n + k];
        for (int j = 0; j < n; j++) {
          double swapped = a[k * n + j];
          a[k * n + j] = a[pivot * n + j];
          a[pivot * n + j] = swapped;
        }
        for (int i = k + 1; i < n && det != 0; i++) {
          double factor = a[i * n + k] / a[k * n + k];
          for (int j = k; j < n; j++) {
            a[i * n + j] -= factor * a[k * n + j];
          }
        }
      }
      y.data()[at] = det;
    }
    return List.of(y);
  }

  private static int[] without(int[] shape, int axis) {
    return Array64.join(
        Arrays.copyOf(shape, axis), Arrays.copyOfRange(shape, axis + 1, shape.length));
  }

  private static Array64 turned(Array64 x, boolean turn) {
    int n = x.rank();
    if (!turn || n < 2) {
      return x;
    }
    int[] order = new int[n];
    Arrays.setAll(order, i -> i);
    order[n - 1] = n - 2;
    order[n - 2] = n - 1;
    return ReferenceLayout.transpose(x, order);
  }

  private static List<Array64> gemm(Reference.Call c) {
    Node n = c.node();
    Array64 product =
        matmul(
            turned(c.in(0), n.integer("transA", 0) != 0),
            turned(c.in(1), n.integer("transB", 0) != 0));
    double alpha = n.real("alpha", 1);
    double beta = n.real("beta", 1);
    return List.of(
        Array64.build(
            c.dtype(),
            product.shape(),
            at -> alpha * product.get(at) + (c.has(2) ? beta * c.in(2).get(at) : 0)));
  }

  private static List<Array64> fused(Reference.Call c) {
    Node n = c.node();
    Array64 product =
        matmul(
            turned(c.in(0), n.integer("transA", 0) != 0),
            turned(c.in(1), n.integer("transB", 0) != 0));
    double alpha = n.real("alpha", 1);
    return List.of(Array64.build(c.dtype(), product.shape(), at -> alpha * product.get(at)));
  }

  /** The sum over all values of the indices that the result does not name. */
  private static List<Array64> einsum(Reference.Call c) {
    String equation = c.node().text("equation", "").replace(" ", "");
    String[] sides = equation.split("->", -1);
    String[] terms = sides[0].split(",", -1);
    String hidden = "";
    for (int i = 0; i < terms.length; i++) {
      int n = c.in(i).rank() - terms[i].replace("...", "").length();
      // Digits stand for the axes behind an ellipsis, which are aligned at the right.
      String digits = "0123456789".substring(10 - n);
      hidden = n > hidden.length() ? digits : hidden;
      terms[i] = terms[i].replace("...", digits);
    }
    TreeMap<Character, Integer> sizes = new TreeMap<>();
    for (int i = 0; i < terms.length; i++) {
      for (int j = 0; j < terms[i].length(); j++) {
        sizes.merge(terms[i].charAt(j), c.in(i).shape()[j], Math::max);
      }
    }
    String result =
        sides.length > 1
            ? sides[1].replace("...", hidden)
            : implicit(String.join("", terms), hidden);
    int[] all = sizes.values().stream().mapToInt(i -> i).toArray();
    List<Character> letters = List.copyOf(sizes.keySet());
    int[] shape = result.chars().map(l -> sizes.get((char) l)).toArray();
    Array64 out = Array64.zeros(c.dtype(), shape);
    int[] at = new int[all.length];
    for (int i = 0; i < Array64.size(all); i++) {
      double product = 1;
      for (int j = 0; j < terms.length; j++) {
        product *= c.in(j).get(place(terms[j], letters, at));
      }
      out.data()[out.offset(place(result, letters, at))] += product;
      Array64.next(at, all);
    }
    return List.of(out);
  }

  private static int[] place(String term, List<Character> letters, int[] at) {
    return term.chars().map(l -> at[letters.indexOf((char) l)]).toArray();
  }

  /** The letters that occur once, in order, behind those of an ellipsis. */
  private static String implicit(String terms, String hidden) {
    StringBuilder out = new StringBuilder(hidden);
    terms
        .chars()
        .filter(l -> Character.isLetter(l) && terms.indexOf(l) == terms.lastIndexOf(l))
        .sorted()
        .forEach(l -> out.append((char) l));
    return out.toString();
  }
}
