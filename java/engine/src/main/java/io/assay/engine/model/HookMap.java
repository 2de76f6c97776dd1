package io.assay.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.internal.EditDistance;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.LongStream;

/**
 * The hook map of an exported model, {@code NAME.hooks.json} beside {@code NAME.onnx}: which values
 * of its graph the hook points are.
 *
 * <pre>{@code
 * {"names": {"input_ids": "tokens", "logits": "scores"},
 *  "hooks": {"hook_embed": "embedded",
 *            "blocks.*.attn.hook_q": {"value": "layer_*_q", "heads": 4},
 *            "blocks.*.attn.hook_z": {"value": "layer_*_z", "transpose": [0, 2, 1, 3]},
 *            "blocks.*.mlp.hook_post": {"value": "layer_*_relu", "rows": "layer_*_mid"}}}
 * }</pre>
 *
 * <p>A star stands for the number of a block, the same in hook and value. {@code rows} splits the
 * first axis as the first two of another value are, which is not computed from this one, {@code
 * heads} the last axis in so many heads, then {@code transpose} orders the axes; all bring a value
 * to the shape that the hook is documented with; {@code why} is a remark for people. {@code names}
 * gives inputs and outputs the names that Assay knows them by.
 *
 * @param names name in the graph by name that Assay uses
 */
record HookMap(Path file, Map<String, String> names, List<Rule> rules) {
  private static final String STAR = "*";

  /**
   * One hook, or one in each block.
   *
   * @param rows null for a value that has rows and positions apart
   * @param heads 0 for a value that need not be split
   * @param transpose order of the axes; empty for a value that has the right one
   */
  private record Rule(String hook, String value, String rows, int heads, List<Long> transpose) {
    boolean isPlain() {
      return rows == null && heads == 0 && transpose.isEmpty();
    }
  }

  /**
   * The map beside a model, if there is one.
   *
   * @throws InputException if it is malformed
   */
  static Optional<HookMap> beside(Path onnx) {
    Path file = fileFor(onnx);
    return Files.exists(file) ? Optional.of(read(file)) : Optional.empty();
  }

  /** {@code NAME.hooks.json} for {@code NAME.onnx}. */
  static Path fileFor(Path onnx) {
    String name = onnx.getFileName().toString();
    return onnx.resolveSibling(name.substring(0, name.length() - ".onnx".length()) + ".hooks.json");
  }

  private static HookMap read(Path file) {
    JsonNode json = JsonFiles.object(file);
    requireFields(file, "the file", json, Set.of("names", "hooks"));
    Map<String, String> names = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> e : object(file, json, "names").properties()) {
      names.put(e.getKey(), text(file, "names." + e.getKey(), e.getValue()));
    }
    List<Rule> rules = new ArrayList<>();
    for (Map.Entry<String, JsonNode> e : object(file, json, "hooks").properties()) {
      rules.add(rule(file, e.getKey(), e.getValue()));
    }
    if (names.isEmpty() && rules.isEmpty()) {
      throw bad(file, "binds nothing; give \"hooks\" or \"names\"");
    }
    return new HookMap(file, names, rules);
  }

  private static Rule rule(Path file, String hook, JsonNode json) {
    if (!hook.matches("[A-Za-z0-9_.*]+") || !hook.contains("hook_")) {
      throw bad(
          file, "has the hook " + hook + "; a name needs hook_ in it, as blocks.*.attn.hook_q has");
    }
    if (!json.isObject()) {
      return checked(file, new Rule(hook, text(file, "hooks." + hook, json), null, 0, List.of()));
    }
    requireFields(
        file, "the hook " + hook, json, Set.of("value", "rows", "heads", "transpose", "why"));
    JsonNode heads = json.path("heads");
    if (!heads.isMissingNode() && !(heads.isInt() && heads.intValue() > 0)) {
      throw bad(file, "splits " + hook + " in " + heads + " heads; give an integer from 1 on");
    }
    List<Long> transpose = new ArrayList<>();
    json.path("transpose").forEach(axis -> transpose.add(axis.isInt() ? axis.longValue() : -1));
    List<Long> sorted = transpose.stream().sorted().toList();
    boolean isOrder = sorted.equals(LongStream.range(0, sorted.size()).boxed().toList());
    if (json.has("transpose") && (transpose.isEmpty() || !isOrder)) {
      throw bad(
          file,
          "transposes "
              + hook
              + " by "
              + json.get("transpose")
              + "; give each axis once, such as [0, 2, 1, 3]");
    }
    String value = text(file, "hooks." + hook + ".value", json.path("value"));
    String rows = json.has("rows") ? text(file, "hooks." + hook + ".rows", json.get("rows")) : null;
    return checked(file, new Rule(hook, value, rows, heads.asInt(0), transpose));
  }

  private static Rule checked(Path file, Rule rule) {
    long inHook = rule.hook.chars().filter(c -> c == '*').count();
    boolean starred = rule.rows != null && rule.rows.contains(STAR);
    if (inHook > 1 || rule.value.contains(STAR) != (inHook == 1) || starred && inHook == 0) {
      throw bad(
          file,
          "binds "
              + rule.hook
              + " to "
              + rule.value
              + "; write one star in the hook and at least one in the value, or none in either");
    }
    return rule;
  }

  private static JsonNode object(Path file, JsonNode json, String field) {
    JsonNode node = json.path(field);
    if (!node.isMissingNode() && !node.isObject()) {
      throw bad(file, "has " + field + " " + node + "; give an object of names");
    }
    return node;
  }

  private static String text(Path file, String field, JsonNode node) {
    if (!node.isTextual() || node.textValue().isEmpty()) {
      throw bad(
          file,
          "has "
              + (node.isMissingNode() ? "no " + field : field + " " + node)
              + "; give the name of a value of the graph");
    }
    return node.textValue();
  }

  private static void requireFields(Path file, String what, JsonNode json, Set<String> known) {
    for (Map.Entry<String, JsonNode> e : json.properties()) {
      if (!known.contains(e.getKey())) {
        throw bad(
            file,
            "has the field "
                + e.getKey()
                + " in "
                + what
                + "; those known are "
                + known.stream().sorted().toList());
      }
    }
  }

  private static InputException bad(Path file, String why) {
    return new InputException("the hook map " + file + " " + why);
  }

  /** The graph with its inputs and outputs called as Assay calls them. */
  Graph rename(Graph graph) {
    Map<String, String> renamed = new LinkedHashMap<>();
    names.forEach(
        (ours, theirs) -> {
          requireValue(graph, ours, theirs);
          if (renamed.put(theirs, ours) != null) {
            throw bad(file, "gives the value " + theirs + " two names; give it one");
          }
        });
    return graph.rename(renamed);
  }

  /** What was recognised, with the hooks of this map in addition or instead. */
  Gpt2Export.Recognised bind(Gpt2Export.Recognised known) {
    Map<String, String> values = new LinkedHashMap<>(known.hooks().values());
    Graph graph = known.graph();
    Optional<HookMapCheck> check = rules.isEmpty() ? Optional.empty() : HookMapCheck.of(graph);
    for (Rule rule : rules) {
      for (int block = 0; block == 0 || rule.hook.contains(STAR); block++) {
        String number = Integer.toString(block);
        String hook = rule.hook.replace(STAR, number);
        String value = rule.value.replace(STAR, number);
        if (block > 0 && !graph.has(value)) {
          break;
        }
        requireValue(graph, hook, value);
        String rows = rule.rows == null ? null : rule.rows.replace(STAR, number);
        if (rows != null) {
          requireValue(graph, hook + ".rows", rows);
          if (graph.slice(List.of(), List.of(rows)).has(value)) {
            throw bad(file, "splits " + value + " like " + rows + ", which is computed from it");
          }
        }
        check
            .map(c -> c.wrong(hook, value, rows, rule.heads, rule.transpose))
            .ifPresent(
                why -> {
                  throw bad(file, why);
                });
        if (rule.isPlain()) {
          values.put(hook, value);
        } else {
          Graph.Builder b = graph.edit();
          String shaped = b.fresh(hook);
          graph = shaped(b, rule, value, rows, shaped);
          values.put(hook, shaped);
        }
      }
    }
    return new Gpt2Export.Recognised(graph, new Hooks(values));
  }

  private void requireValue(Graph graph, String name, String value) {
    if (!graph.has(value)) {
      throw bad(
          file,
          "binds "
              + name
              + " to "
              + value
              + ", which is no value of the graph"
              + EditDistance.near(value, graph.values()));
    }
  }

  /**
   * The graph in which {@code shaped} is {@code value} in the hook's shape. What read the value
   * reads it from there, so that a gradient or a patch of the hook is one of the model.
   */
  private static Graph shaped(
      Graph.Builder b, Rule rule, String value, String rows, String shaped) {
    String split = value;
    String shape = b.op(b.fresh(shaped + ".shape"), "Shape", Map.of(), value);
    boolean last = rule.heads == 0 && rule.transpose.isEmpty();
    if (rows != null) {
      String whole = b.op(b.fresh(shaped + ".whole"), "Shape", Map.of(), rows);
      String sizes = joined(b, shaped, part(b, shaped, whole, 0, 2), part(b, shaped, shape, 1, 9));
      split = b.op(last ? shaped : b.fresh(shaped + ".rows"), "Reshape", Map.of(), split, sizes);
    }
    if (rule.heads > 0) {
      String whole = b.op(b.fresh(shaped + ".whole"), "Shape", Map.of(), split);
      String leading = part(b, shaped, whole, 0, -1);
      String sizes = joined(b, shaped, leading, longs(b, shaped, rule.heads, -1));
      String out = rule.transpose.isEmpty() ? shaped : b.fresh(shaped + ".heads");
      split = b.op(out, "Reshape", Map.of(), split, sizes);
    }
    String back = shaped;
    if (!rule.transpose.isEmpty()) {
      b.op(shaped, "Transpose", Map.of("perm", rule.transpose), split);
      List<Long> inverse =
          LongStream.range(0, rule.transpose.size())
              .mapToObj(axis -> (long) rule.transpose.indexOf(axis))
              .toList();
      back = b.op(b.fresh(shaped + ".back"), "Transpose", Map.of("perm", inverse), shaped);
    }
    if (rows != null || rule.heads > 0) {
      back = b.op(b.fresh(shaped + ".joined"), "Reshape", Map.of(), back, shape);
    }
    return b.build().replace(value, back);
  }

  private static String part(Graph.Builder b, String hint, String shape, long from, long to) {
    String start = longs(b, hint, from);
    return b.op(b.fresh(hint + ".part"), "Slice", Map.of(), shape, start, longs(b, hint, to));
  }

  private static String joined(Graph.Builder b, String hint, String first, String second) {
    return b.op(b.fresh(hint + ".sizes"), "Concat", Map.of("axis", 0L), first, second);
  }

  private static String longs(Graph.Builder b, String hint, long... values) {
    return b.constant(b.fresh(hint + ".longs"), Tensor.ofLongs(values, values.length));
  }
}
