package io.assay.engine.patch;

import io.assay.engine.patch.PatchException.Reason;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a path begins or ends: a hook, or one head of it.
 *
 * @param hook null for the logits
 * @param head or {@link Intervention#ALL}
 */
public record Endpoint(HookPoint hook, int head) {
  /** The final stream, which the head reads. */
  public static final Endpoint LOGITS = new Endpoint(null, Intervention.ALL);

  private static final Pattern WITH_HEAD = Pattern.compile("(.*)\\[(\\d{1,6})]");

  /**
   * Reads {@code logits}, or hooks with or without a head, such as {@code blocks.2.attn.hook_q[1]}.
   *
   * @param text names separated by commas; a star stands for every block
   * @param names of the model's hooks
   */
  static List<Endpoint> read(String text, Collection<String> names) {
    List<Endpoint> found = new ArrayList<>();
    for (String part : text.split(",")) {
      String name = part.strip();
      Matcher m = WITH_HEAD.matcher(name);
      boolean one = m.matches();
      if (name.equals("logits")) {
        found.add(LOGITS);
        continue;
      }
      for (HookPoint hook : HookPoint.matching(one ? m.group(1) : name, names)) {
        if (one && !hook.hasHeads()) {
          throw new PatchException(
              Reason.SHAPE, "the hook " + hook.name() + " has no heads; leave out the brackets");
        }
        found.add(new Endpoint(hook, one ? Integer.parseInt(m.group(2)) : Intervention.ALL));
      }
    }
    return found;
  }

  /** Its place in the order of computation: attention of block L is 2L, its MLP 2L + 1. */
  int order() {
    if (hook == null) {
      return Integer.MAX_VALUE;
    }
    return hook.layer() < 0 ? -1 : 2 * hook.layer() + (hook.name().contains("mlp") ? 1 : 0);
  }

  @Override
  public String toString() {
    return hook == null
        ? "logits"
        : hook.name() + (head == Intervention.ALL ? "" : "[" + head + "]");
  }
}
