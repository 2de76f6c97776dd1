package io.assay.engine.model;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import io.assay.engine.graph.Evaluator;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.TransformerBlocks.Attended;
import io.assay.engine.model.TransformerBlocks.Attention;
import io.assay.engine.model.TransformerBlocks.Block;
import io.assay.engine.model.TransformerBlocks.Half;
import io.assay.engine.session.SessionException;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Hook points proposed for the graph of an unknown transformer: found by structure ({@link
 * TransformerBlocks}), then compared with the numbers of a run on drawn inputs where these must
 * agree ({@link HookNumbers}).
 *
 * @param names names that inputs and outputs should have, by those that Assay knows
 * @param hooks the proposals in the order of computation
 * @param notes what was not found
 */
public record HookProposals(
    Map<String, String> names, List<HookProposal> hooks, List<String> notes) {
  private static final int ROWS = 5;

  public HookProposals {
    names = Collections.unmodifiableMap(new LinkedHashMap<>(names));
    hooks = List.copyOf(hooks);
    notes = List.copyOf(notes);
  }

  /**
   * Proposals for an ONNX file; its own hook map and what is recognised without one are left aside.
   *
   * @throws InputException if the file is no model, or no drawn inputs run
   */
  public static HookProposals of(Path onnx, Evaluator evaluator) {
    Graph graph = Graph.read(onnx).widened();
    try {
      Map<String, Tensor> inputs =
          new DrawnInputs(graph).run(ROWS, in -> evaluator.evaluate(graph, in)).inputs();
      Map<String, long[]> shapes = new LinkedHashMap<>();
      inputs.forEach((name, t) -> shapes.put(name, t.shape()));
      Graph fixed = graph.specialise(shapes, evaluator);
      inputs.keySet().retainAll(fixed.inputs());
      Search search = new Search(graph, fixed);
      search.find();
      List<HookProposal> checked = new HookNumbers(fixed, inputs, evaluator).check(search.hooks);
      return new HookProposals(search.names, checked, search.notes);
    } catch (SessionException | InputException e) {
      throw new InputException(
          "no hooks can be proposed for " + onnx + ", since no drawn inputs run: " + e.getMessage(),
          e);
    }
  }

  /** The hook map that says what is proposed, for the user to correct. */
  public String toHookMap() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    if (!names.isEmpty()) {
      ObjectNode map = json.putObject("names");
      names.forEach(map::put);
    }
    ObjectNode map = json.putObject("hooks");
    for (HookProposal hook : hooks) {
      ObjectNode entry = map.putObject(hook.hook()).put("value", hook.value());
      if (hook.rows() != null) {
        entry.put("rows", hook.rows());
      }
      if (hook.heads() > 0) {
        entry.put("heads", hook.heads());
      }
      if (!hook.transpose().isEmpty()) {
        hook.transpose().forEach(entry.withArray("transpose")::add);
      }
      entry.put("why", (hook.checked() ? "checked: " : "likely: ") + hook.why());
    }
    return json.toPrettyString() + "\n";
  }

  /** Gives the parts of the blocks their names. */
  private static final class Search {
    private final Graph original;
    private final TransformerBlocks blocks;
    private final Map<String, String> names = new LinkedHashMap<>();
    private final List<HookProposal> hooks = new ArrayList<>();
    private final List<String> notes = new ArrayList<>();

    Search(Graph original, Graph fixed) {
      this.original = original;
      this.blocks = new TransformerBlocks(fixed);
    }

    void find() {
      List<Block> found = blocks.find();
      if (found.isEmpty()) {
        notes.add("no attention was found: no Softmax of the graph multiplies computed values");
        return;
      }
      int firstCrossed = -1;
      for (int i = 0; i < found.size() && firstCrossed < 0; i++) {
        firstCrossed = isCrossed(found.get(i)) ? i : -1;
      }
      embedding(found.getFirst());
      for (int i = 0; i < found.size(); i++) {
        String at = "blocks." + i + ".";
        if (firstCrossed >= 0) {
          at = i < firstCrossed ? "encoder." + i + "." : "decoder." + (i - firstCrossed) + ".";
        }
        block(at, found.get(i));
      }
      head();
    }

    private boolean isCrossed(Block block) {
      return block.attentions().size() == 2 && blocks.isCrossed(block.attentions().getLast());
    }

    private void block(String at, Block block) {
      boolean crossed = isCrossed(block);
      for (int i = 0; i < block.attentions().size(); i++) {
        Attended a = block.attentions().get(i);
        String name = i == 0 ? "attn" : crossed ? "cross_attn" : "attn_" + (i + 1);
        if (a.half() != null && i == 0) {
          stream(at + "hook_resid_pre", a.half().stream(), a.half(), "what the attention reads");
        }
        attention(at + name + ".", a);
        if (a.half() == null) {
          notes.add("what adds " + at + name + " to the residual stream was not found");
          continue;
        }
        stream(
            at + "hook_" + name + "_out", blocks.attentionOut(a), a.half(), "added to the stream");
        if (!block.parallel()) {
          String mid = i == 0 ? "hook_resid_mid" : "hook_resid_mid_" + (crossed ? "cross" : i + 1);
          stream(at + mid, a.half().sum(), a.half(), "the stream behind the attention");
        }
      }
      Half half = block.feedForward();
      if (half == null) {
        notes.add("no feed-forward half was found in " + at.substring(0, at.length() - 1));
        return;
      }
      feedForward(at + "mlp.", half);
      stream(at + "hook_mlp_out", half.branch(), half, "added to the stream");
      stream(at + "hook_resid_post", half.sum(), half, "the stream behind the block");
    }

    private void stream(String hook, String value, Half half, String why) {
      String sum = half.certain() ? "" : "; the sum is not plainly that of the stream";
      if (!byPosition(hook, value, half, why + sum)) {
        notes.add(hook + " is not of the shape [row, position, width] at " + value);
      }
    }

    /** Adds a hook of the shape [row, position, width], if the value can be brought to it. */
    private boolean byPosition(String hook, String value, Half half, String why) {
      String shaped = blocks.withPositions(value);
      String rows = blocks.root(half.stream());
      long[] shape = blocks.shape(shaped);
      long[] whole = blocks.shape(rows);
      if (shape != null && shape.length == 3) {
        add(hook, shaped, null, 0, List.of(), why);
        return true;
      }
      boolean joined = shape != null && shape.length == 2 && whole != null && whole.length == 3;
      if (joined && shape[0] == whole[0] * whole[1] && original.has(rows)) {
        add(hook, shaped, rows, 0, List.of(), why);
        return true;
      }
      return false;
    }

    private void add(String hook, String value, int heads, List<Long> transpose, String why) {
      add(hook, value, null, heads, transpose, why);
    }

    private void add(
        String hook, String value, String rows, int heads, List<Long> transpose, String why) {
      if (original.has(value)) {
        hooks.add(new HookProposal(hook, value, rows, heads, transpose, false, why));
      } else {
        notes.add(hook + " is no value of the file, only of the graph for fixed shapes");
      }
    }

    private void attention(String at, Attended attended) {
      Attention a = attended.attention();
      String stream = attended.half() == null ? null : blocks.root(attended.half().stream());
      long[] mixed = blocks.shape(blocks.mixed(a));
      long[] pattern = a.pattern() == null ? null : blocks.shape(a.pattern());
      if (pattern != null && pattern.length == 4) {
        int heads = Math.toIntExact(pattern[1]);
        int width = mixed.length == 4 ? Math.toIntExact(mixed[3]) : -1;
        byHead(
            at + "hook_q", a.q(), stream, pattern[2], width, "what the scores are the product of");
        byHead(
            at + "hook_k", a.k(), stream, pattern[3], width, "what the scores are the product of");
        byHead(at + "hook_v", a.v(), stream, pattern[3], width, "what the pattern multiplies");
        add(at + "hook_attn_scores", a.scores(), 0, List.of(), "what the Softmax reads");
        add(at + "hook_pattern", a.pattern(), 0, List.of(), "a Softmax that multiplies values");
        mix(at + "hook_z", blocks.mixed(a), mixed, heads, pattern[2]);
        return;
      }
      if (pattern != null) {
        notes.add(at + "hook_pattern has rows and heads in one axis at " + a.pattern());
        return;
      }
      notes.add(at + "hook_pattern is no value: the operator " + a.product().op() + " is fused");
      long heads = mixed.length == 4 ? mixed[1] : a.product().integer("q_num_heads", 0);
      heads = heads == 0 ? a.product().integer("num_heads", 0) : heads;
      if (heads > 0) {
        long positions = mixed[mixed.length - 2];
        int width = Math.toIntExact(mixed.length == 4 ? mixed[3] : mixed[2] / heads);
        long[] keys = blocks.shape(a.k());
        long past = keys == null ? positions : keys[keys.length - 2];
        byHead(at + "hook_q", a.q(), stream, positions, width, "the queries of a fused attention");
        byHead(at + "hook_k", a.k(), stream, past, width, "the keys of a fused attention");
        byHead(at + "hook_v", a.v(), stream, past, width, "the values of a fused attention");
        mix(at + "hook_z", a.product().output(0), mixed, Math.toIntExact(heads), positions);
      }
    }

    /** The mix of values, by head: the product itself, or what a Transpose makes of it. */
    private void mix(String hook, String value, long[] shape, int heads, long positions) {
      String why = "the pattern times the values";
      for (Node user : original.users(value)) {
        boolean turned =
            user.op().equals("Transpose")
                && Arrays.equals(user.integers("perm"), new long[] {0, 2, 1, 3});
        if (turned && shape.length == 4) {
          add(hook, user.output(0), 0, List.of(), why);
          return;
        }
      }
      if (shape.length == 3) {
        add(hook, value, heads, List.of(), why);
      } else if (shape[1] == heads && shape[2] == positions) {
        add(hook, value, 0, List.of(0L, 2L, 1L, 3L), why);
      } else {
        add(hook, value, 0, List.of(), why);
      }
    }

    /**
     * Queries, keys or values as close to their projection as they are split in heads: before a
     * rotation, a scale or a repetition for several queries.
     */
    private void byHead(
        String hook, String read, String stream, long positions, int width, String why) {
      if (read == null || width < 0) {
        notes.add(hook + " was not found");
        return;
      }
      String best = null;
      String flat = null;
      for (String value : toProjection(read, stream)) {
        long[] shape = blocks.shape(value);
        if (shape == null) {
          continue;
        }
        boolean split =
            shape.length == 4
                && (shape[1] == positions && shape[3] == width
                    || shape[2] == positions && (shape[3] == width || shape[1] == width)
                    || shape[3] == positions && shape[2] == width);
        if (split && (best == null || blocks.place(value) < blocks.place(best))) {
          best = value;
        }
        boolean joined = shape.length == 3 && shape[1] == positions && shape[2] % width == 0;
        if (joined && (flat == null || blocks.place(value) > blocks.place(flat))) {
          flat = value;
        }
      }
      if (best == null && flat == null) {
        notes.add(hook + " was not found with an axis of heads");
        return;
      }
      if (best == null) {
        add(hook, flat, Math.toIntExact(blocks.shape(flat)[2] / width), List.of(), why);
        return;
      }
      long[] shape = blocks.shape(best);
      List<Long> transpose = List.of();
      if (shape[1] != positions || shape[3] != width) {
        transpose =
            shape[2] == positions && shape[3] == width
                ? List.of(0L, 2L, 1L, 3L)
                : shape[3] == positions && shape[2] == width
                    ? List.of(0L, 3L, 1L, 2L)
                    : List.of(0L, 2L, 3L, 1L);
      }
      add(hook, best, 0, transpose, why);
    }

    /**
     * Float values between {@code read} and the projections that it comes from, both included; of
     * the stream only, if it comes from that, not of positions that enter on the way.
     */
    private Set<String> toProjection(String read, String stream) {
      boolean own = stream != null && blocks.descends(read, stream);
      Set<String> seen = new HashSet<>(Set.of(read));
      List<String> open = new ArrayList<>(List.of(read));
      while (!open.isEmpty()) {
        Node node = blocks.graph().producer(open.removeLast());
        if (node != null && !blocks.isWeighted(node)) {
          node.inputs().stream()
              .filter(v -> own ? blocks.descends(v, stream) : blocks.isLive(v))
              .filter(v -> blocks.isFloat(v) && seen.add(v))
              .forEach(open::add);
        }
      }
      return seen;
    }

    private void feedForward(String at, Half half) {
      List<Node> products = blocks.products(blocks.root(half.stream()), half.branch());
      if (products.size() < 2) {
        notes.add(at + "hook_pre and hook_post were not found: " + products.size() + " products");
        return;
      }
      Node last = products.getLast();
      String post = blocks.data(last);
      List<Node> first =
          products.subList(0, products.size() - 1).stream()
              .filter(n -> blocks.descends(post, n.output(0)))
              .toList();
      if (first.size() > 2) {
        notes.add(at + "hook_pre was not found among " + first.size() + " products");
      } else {
        List<String> pre = new ArrayList<>(first.stream().map(n -> biased(n.output(0))).toList());
        // Of a gated pair, the one that a function is applied to, not only the product.
        pre.sort(Comparator.comparing(v -> isOnlyFactor(v)));
        String why = "the first product of the half, with its bias";
        byPosition(at + "hook_pre", pre.getFirst(), half, why);
        if (pre.size() == 2) {
          byPosition(at + "hook_pre_linear", pre.getLast(), half, why);
        }
      }
      byPosition(at + "hook_post", post, half, "what the last product of the half reads");
    }

    private boolean isOnlyFactor(String value) {
      List<Node> users = blocks.graph().users(value);
      return users.size() == 1 && users.getFirst().op().equals("Mul");
    }

    /** A product with its bias. */
    private String biased(String value) {
      String whole = blocks.withPositions(value);
      return blocks.graph().users(whole).stream()
          .filter(n -> isBias(n, whole))
          .findFirst()
          .map(n -> biased(n.output(0)))
          .orElse(whole);
    }

    private boolean isBias(Node node, String value) {
      if (!node.op().equals("Add")) {
        return false;
      }
      String other = node.input(node.input(0).equals(value) ? 1 : 0);
      long[] shape = blocks.shape(other);
      return !blocks.isLive(other) && shape != null && Tensor.elements(shape) > 1;
    }

    /** The token embedding, where the first block's stream begins with one. */
    private void embedding(Block first) {
      Half half = first.attentions().getFirst().half();
      if (half == null) {
        return;
      }
      Node sum = blocks.graph().producer(blocks.root(half.stream()));
      List<String> parts =
          sum != null && sum.op().equals("Add") ? sum.inputs() : List.of(half.stream());
      for (String part : parts) {
        Node gather = blocks.graph().producer(blocks.root(part));
        if (gather != null
            && gather.op().equals("Gather")
            && blocks.isLive(gather.input(1))
            && blocks.graph().constant(gather.input(0)) != null) {
          add("hook_embed", part, 0, List.of(), "rows of a table, looked up by the input");
          String ids = gather.input(1);
          while (blocks.graph().producer(ids) != null) {
            ids = blocks.graph().producer(ids).input(0);
          }
          if (blocks.graph().inputs().contains(ids) && !ids.equals(Gpt2Graph.INPUT)) {
            names.put(Gpt2Graph.INPUT, ids);
          }
          return;
        }
      }
      notes.add("hook_embed was not found in what the first block reads");
    }

    /** What the product of the logits reads. */
    private void head() {
      for (String output : blocks.graph().outputs()) {
        Node node = blocks.graph().producer(blocks.root(output));
        TensorType type = blocks.graph().type(output);
        if (node != null && blocks.isWeighted(node) && type != null && type.dims().size() == 3) {
          add(
              "unembed.hook_in",
              blocks.data(node),
              0,
              List.of(),
              "what the output is a product of");
          if (!output.equals(Gpt2Graph.LOGITS) && !original.has(Gpt2Graph.LOGITS)) {
            names.put(Gpt2Graph.LOGITS, output);
          }
          return;
        }
      }
    }
  }
}
