package io.assay.engine.patch;

import io.assay.engine.graph.TensorType;
import io.assay.engine.internal.EditDistance;
import io.assay.engine.patch.PatchException.Reason;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A hook by its name, and what the axes of its value are.
 *
 * @param name such as {@code blocks.3.attn.hook_z}
 * @param layer number of its block, or -1
 */
public record HookPoint(String name, int layer, Axes axes) {
  /** Leading axes of a value, which an intervention addresses. */
  public enum Axes {
    /** [row, position, ...]. */
    POSITIONS,
    /** [row, position, head, ...]. */
    HEADS,
    /** [row, head, query position, key position]. */
    PATTERN
  }

  private static final Pattern BLOCK = Pattern.compile("blocks\\.(\\d{1,6})\\..*");
  private static final Pattern BY_HEAD = Pattern.compile(".*\\.attn\\.hook_(q|k|v|z|result)");
  private static final Pattern BY_PATTERN =
      Pattern.compile(".*\\.attn\\.hook_(pattern|attn_scores)");

  /** Reads a name; whether a model has it is another question. */
  public static HookPoint of(String name) {
    Matcher block = BLOCK.matcher(name);
    Axes axes =
        BY_HEAD.matcher(name).matches()
            ? Axes.HEADS
            : BY_PATTERN.matcher(name).matches() ? Axes.PATTERN : Axes.POSITIONS;
    return new HookPoint(name, block.matches() ? Integer.parseInt(block.group(1)) : -1, axes);
  }

  /** Last part of the name, such as {@code hook_z}. */
  public String part() {
    return name.substring(name.lastIndexOf('.') + 1);
  }

  public boolean hasHeads() {
    return axes != Axes.POSITIONS;
  }

  /** Number of leading axes that a map of this hook addresses. */
  int mapped() {
    return axes == Axes.POSITIONS ? 2 : 3;
  }

  /** Heads of a value of this type; 1 where it has none. */
  int heads(TensorType type) {
    return switch (axes) {
      case POSITIONS -> 1;
      case HEADS -> Math.toIntExact(type.dims().get(2).size());
      case PATTERN -> Math.toIntExact(type.dims().get(1).size());
    };
  }

  /** Index of a place among the mapped elements of one row. */
  long place(int position, int head, int positions, int heads) {
    return axes == Axes.PATTERN
        ? (long) head * positions + position
        : (long) position * heads + head;
  }

  /**
   * The hooks that a pattern names, in the order of computation; a star stands for the number of a
   * block.
   *
   * @param names of the model's hooks
   * @throws PatchException if there is none
   */
  public static List<HookPoint> matching(String pattern, Collection<String> names) {
    List<HookPoint> found = new ArrayList<>();
    for (String name : names) {
      if (matches(pattern, name)) {
        found.add(of(name));
      }
    }
    if (found.isEmpty() && pattern.endsWith("hook_result")) {
      // No graph has these unasked: they are made of hook_z.
      String z = pattern.substring(0, pattern.length() - "result".length()) + "z";
      matching(z, names).forEach(h -> found.add(of(h.name().replaceFirst("z$", "result"))));
    }
    if (found.isEmpty()) {
      throw unknown(pattern, names);
    }
    return found;
  }

  /** The error for a hook that a model does not have, with the names nearest to it. */
  static PatchException unknown(String name, Collection<String> names) {
    String bare = name.replaceFirst("\\[.*", "");
    List<String> parts =
        names.stream()
            .filter(n -> n.endsWith("." + bare))
            .map(n -> n.replaceFirst("\\d+", "*"))
            .distinct()
            .toList();
    String remedy;
    if (names.isEmpty()) {
      remedy = "; it has none at all";
    } else if (!parts.isEmpty()) {
      remedy = "; it has " + String.join(", ", parts) + ", where * stands for a block";
    } else if (!bare.equals(name) && names.stream().anyMatch(n -> matches(bare, n))) {
      remedy = "; it has " + bare + ", of which all heads are taken";
    } else {
      remedy = EditDistance.near(name, names);
    }
    return new PatchException(Reason.UNKNOWN_HOOK, "the model has no hook " + name + remedy);
  }

  private static boolean matches(String pattern, String name) {
    return name.matches(Pattern.quote(pattern).replace("*", "\\E\\d+\\Q"));
  }
}
