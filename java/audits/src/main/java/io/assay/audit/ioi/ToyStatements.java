package io.assay.audit.ioi;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.audit.ioi.Circuits.Reference;
import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToIntFunction;

/** T1 of specs/ioi.md 5.2 against its table: knock-outs, circuits, completeness, minimality. */
final class ToyStatements {
  private static final Node DUPLICATE = new Node(0, 0, Place.S2);
  private static final Node INHIBITION = new Node(1, 0, Place.END);
  private static final Node MOVER = new Node(2, 0, Place.END);
  private static final Node NEGATIVE = new Node(2, 1, Place.END);
  private static final Node BACKUP = new Node(3, 0, Place.END);
  private static final List<Node> CIRCUIT = List.of(DUPLICATE, INHIBITION, MOVER, NEGATIVE, BACKUP);
  private static final List<Node> WITHOUT_BACKUP = CIRCUIT.subList(0, 4);

  private final Engine engine;
  private final List<Statement> s = new ArrayList<>();

  ToyStatements(Engine engine) {
    this.engine = engine;
  }

  List<Statement> statements() {
    for (DType dtype : List.of(DType.F64, DType.F32)) {
      LanguageModel toy = Toys.circuit(dtype);
      Row row =
          new Row(
              "ioi.1." + dtype.name().toLowerCase(Locale.ROOT) + ".",
              dtype == DType.F64 ? 1e-6 : 1e-4);
      knockOuts(toy, row);
      attention(toy, row);
      copying(toy, row);
    }
    return s;
  }

  /** How the rows of one float type are called, and how exact they are. */
  private record Row(String id, double bound) {}

  private void add(Row row, String id, String words, double expected, double got) {
    s.add(near(row.id() + id, words, expected, got, row.bound()));
  }

  private void knockOuts(LanguageModel toy, Row row) {
    List<Reference> abc = new ArrayList<>();
    List<Reference> same = new ArrayList<>();
    List<Reference> pooled = new ArrayList<>();
    for (int group = 0; group < 2; group++) {
      for (long[] ids : Toys.triples()) {
        abc.add(new Reference(ids, group));
      }
      for (Example p : Toys.prompts()) {
        pooled.add(new Reference(p.ids(), group));
        if (p.group() == group) {
          same.add(new Reference(p.ids(), group));
        }
      }
    }
    try (Circuits right = open(toy, abc);
        Circuits wrong = open(toy, same);
        Circuits mixed = open(toy, pooled)) {
      add(row, "model", "F(M)", 2, Circuits.mean(right.whole()));
      add(row, "spread", "largest distance of a prompt from it", 0, spread(right.whole()));
      add(row, "circuit", "F of the circuit of five", 2, Circuits.mean(right.only(CIRCUIT)));
      knocked(right, row, "mover", 1, MOVER);
      knocked(right, row, "negative", 3, NEGATIVE);
      knocked(right, row, "duplicate", -2.0 / 3, DUPLICATE);
      knocked(right, row, "inhibition", -2.0 / 3, INHIBITION);
      knocked(right, row, "backup", 2, BACKUP);
      knocked(right, row, "mover.backup", -1, MOVER, BACKUP);
      knocked(right, row, "mover.negative", 2, MOVER, NEGATIVE);
      knocked(right, row, "writers", 0, MOVER, NEGATIVE, BACKUP);
      knocked(wrong, row, "wrong.duplicate", 2, DUPLICATE);
      knocked(wrong, row, "wrong.inhibition", 2, INHIBITION);
      knocked(mixed, row, "pooled.duplicate", 0, DUPLICATE);
      knocked(mixed, row, "pooled.inhibition", 0, INHIBITION);
      s.add(
          same(
              row.id() + "search",
              "heads that a search finds, which keeps F within a fifth",
              "[0.0, 1.0, 2.0, 2.1]",
              CircuitAudit.search(right, CircuitSpec.FAITHFUL, new ArrayList<>()).toString()));
      completeness(right, row);
      add(
          row,
          "minimality",
          "minimality of the backup, nothing else removed",
          0,
          right.minimality(CIRCUIT, BACKUP, List.of()));
      add(
          row,
          "minimality.mover",
          "minimality of the backup without the name mover",
          2,
          right.minimality(CIRCUIT, BACKUP, List.of(MOVER)));
    }
  }

  /** Where the heads attend, the least over all prompts, and what one sees of three names. */
  private void attention(LanguageModel toy, Row row) {
    List<String> hooks =
        List.of(pattern(DUPLICATE), pattern(INHIBITION), pattern(MOVER), pattern(BACKUP));
    Graph graph = toy.model().hooks().expose(toy.whole(), hooks);
    try (Session session = engine.compile(graph)) {
      List<Example> prompts = Toys.prompts();
      Map<String, Tensor> seen = run(session, prompts.stream().map(Example::ids).toList());
      least(row, "0.0 S2->S1", prompts, seen, DUPLICATE, p -> p.positions().s1());
      least(row, "1.0 END->S2", prompts, seen, INHIBITION, p -> p.positions().s2());
      least(row, "2.0 END->IO", prompts, seen, MOVER, p -> p.positions().io());
      least(row, "3.0 END->BOS", prompts, seen, BACKUP, p -> 0);
      Map<String, Tensor> abc = run(session, Toys.triples());
      double worst = 0;
      for (int r = 0; r < Toys.triples().size(); r++) {
        for (int name : new int[] {1, 3, 5}) {
          double share = at(abc.get(pattern(MOVER)), r, MOVER, 7, name);
          worst = Math.max(worst, Math.abs(share - 1.0 / 3));
        }
      }
      add(row, "attention.abc", "2.0 END->each of three names, largest distance", 0, worst);
    }
  }

  /** Whether the heads write the names that they read, or against them. */
  private void copying(LanguageModel toy, Row row) {
    try (CopyScores scores = new CopyScores(engine, toy, Toys.prompts())) {
      add(row, "copy.mover", "copy score of the name mover, top 1", 1, scores.of(2, 0, 1, 1));
      add(row, "copy.backup", "copy score of the backup", 1, scores.of(3, 0, 1, 1));
      add(row, "copy.negative", "negative copy score of the negative", 1, scores.of(2, 1, -1, 1));
      add(row, "copy.other", "copy score of the negative, positive", 0, scores.of(2, 1, 1, 1));
    }
  }

  private static String pattern(Node node) {
    return "blocks." + node.layer() + ".attn.hook_pattern";
  }

  private static Map<String, Tensor> run(Session session, List<long[]> ids) {
    long[] flat = ids.stream().flatMapToLong(Arrays::stream).toArray();
    Tensor input = Tensor.ofLongs(flat, ids.size(), ids.getFirst().length);
    return session.run(Map.of("input_ids", input));
  }

  private void least(
      Row row,
      String words,
      List<Example> prompts,
      Map<String, Tensor> seen,
      Node node,
      ToIntFunction<Example> key) {
    double least = 1;
    for (int r = 0; r < prompts.size(); r++) {
      Example p = prompts.get(r);
      int query = node.place().in(p.positions());
      least = Math.min(least, at(seen.get(pattern(node)), r, node, query, key.applyAsInt(p)));
    }
    add(row, "attention." + node.layer(), "attention of " + words + ", least", 1, least);
  }

  private static double at(Tensor pattern, int row, Node node, int query, int key) {
    long head = row * pattern.dim(1) + node.head();
    return pattern.get((head * pattern.dim(2) + query) * pattern.dim(3) + key);
  }

  private Circuits open(LanguageModel toy, List<Reference> references) {
    return new Circuits(
        engine, toy, "toy", Toys.prompts(), Ablation.MEAN, references, Circuits.Listener.NONE);
  }

  private void knocked(Circuits circuits, Row row, String id, double expected, Node... nodes) {
    String reference =
        id.startsWith("wrong")
            ? ", WRONG reference: the prompts themselves"
            : id.startsWith("pooled") ? ", WRONG reference: the same, of both templates" : "";
    add(
        row,
        "knock." + id,
        "F without " + List.of(nodes) + reference,
        expected,
        Circuits.mean(circuits.without(List.of(nodes))));
  }

  private static double spread(double[] perPrompt) {
    double mean = Circuits.mean(perPrompt);
    double worst = 0;
    for (double ld : perPrompt) {
      worst = Math.max(worst, Math.abs(ld - mean));
    }
    return worst;
  }

  private void completeness(Circuits circuits, Row row) {
    add(
        row,
        "incomplete.faithful",
        "F of the circuit without the backup",
        2,
        Circuits.mean(circuits.only(WITHOUT_BACKUP)));
    add(
        row,
        "incomplete.mover",
        "the same without the name mover",
        -1,
        Circuits.mean(circuits.only(Circuits.difference(WITHOUT_BACKUP, List.of(MOVER)))));
    add(
        row,
        "incomplete.value",
        "its incompleteness without the name mover",
        2,
        circuits.incompleteness(WITHOUT_BACKUP, List.of(MOVER)));
    add(
        row,
        "incomplete.most",
        "its largest incompleteness over all 16 subsets",
        2,
        largest(circuits, WITHOUT_BACKUP));
    add(
        row,
        "complete",
        "largest incompleteness of the whole circuit over all 32 subsets",
        0,
        largest(circuits, CIRCUIT));
  }

  private static double largest(Circuits circuits, List<Node> circuit) {
    double largest = 0;
    for (int bits = 0; bits < 1 << circuit.size(); bits++) {
      List<Node> removed = new ArrayList<>();
      for (int i = 0; i < circuit.size(); i++) {
        if ((bits >> i & 1) != 0) {
          removed.add(circuit.get(i));
        }
      }
      largest = Math.max(largest, circuits.incompleteness(circuit, removed));
    }
    return largest;
  }
}
