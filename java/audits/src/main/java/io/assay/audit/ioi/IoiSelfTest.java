package io.assay.audit.ioi;

import static io.assay.audit.Statement.atLeast;
import static io.assay.audit.Statement.same;
import static io.assay.audit.Statement.skipped;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;

/**
 * The known answers of specs/ioi.md section 8: what {@code assay selftest ioi} prints and the tests
 * assert.
 */
public final class IoiSelfTest {
  private static final int PROMPTS = 2000;

  /** Name 1, name 2, S2 and END of each template by the GPT-2 tokenizer (specs/ioi.md 2.2). */
  private static final int[][] GPT2_POSITIONS = {
    {2, 4, 10, 14},
    {2, 4, 14, 18},
    {2, 4, 11, 17},
    {2, 4, 13, 19},
    {2, 4, 12, 14},
    {1, 3, 9, 13},
    {1, 3, 11, 16},
    {1, 3, 11, 17},
    {1, 3, 10, 14},
    {1, 3, 10, 14},
    {4, 6, 12, 16},
    {3, 5, 11, 15},
    {2, 4, 11, 13},
    {2, 4, 11, 14},
    {1, 3, 11, 14}
  };

  private final Engine engine;
  private final Path gpt2Tokenizer;
  private final Path gpt2;

  /**
   * @param gpt2Tokenizer folder with the released GPT-2 tokenizer, or null to skip what needs it
   * @param gpt2 folder with the released GPT-2 small, or null to skip what needs it
   */
  public IoiSelfTest(Engine engine, Path gpt2Tokenizer, Path gpt2) {
    this.engine = engine;
    this.gpt2Tokenizer = gpt2Tokenizer;
    this.gpt2 = gpt2;
  }

  /** All statements. */
  public List<Statement> run() {
    List<Statement> all = new ArrayList<>();
    all.addAll(toyCircuit());
    all.addAll(patches());
    all.addAll(folding());
    all.addAll(detectors());
    all.addAll(generator());
    all.addAll(counts());
    all.addAll(gpt2());
    all.addAll(badInputs());
    all.addAll(sweep());
    return all;
  }

  private static List<Statement> timed(List<Statement> statements, long start) {
    double each = (System.nanoTime() - start) / 1e9 / Math.max(1, statements.size());
    return statements.stream().map(s -> s.took(each)).toList();
  }

  /** Statement 1: the toy circuit T1. */
  public List<Statement> toyCircuit() {
    long start = System.nanoTime();
    return timed(new ToyStatements(engine).statements(), start);
  }

  /** Statements 1, 2, 3 and 5: patches, paths and estimates of T1, T2 and T3. */
  public List<Statement> patches() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>(new PatchStatements(engine).statements());
    s.addAll(new RandomStatements(engine).patches());
    return timed(s, start);
  }

  /** Statement 4: layer norms folded in, weights centred. */
  public List<Statement> folding() {
    long start = System.nanoTime();
    return timed(new RandomStatements(engine).folding(), start);
  }

  /** Statement 10: what a sweep costs, in processor time. */
  public List<Statement> sweep() {
    long start = System.nanoTime();
    return timed(new RandomStatements(engine).sweep(), start);
  }

  /** Statement 2, the detectors: previous token, duplicate, induction. */
  public List<Statement> detectors() {
    long start = System.nanoTime();
    return timed(new DetectorStatements(engine).statements(), start);
  }

  /** Statement 6: the generator. */
  public List<Statement> generator() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    Tokenizer words = new WholeWords();
    List<IoiPrompt> prompts = draw(PROMPTS, 1, words);
    s.add(
        same(
            "ioi.6.seed",
            "texts that differ when drawn again, and with fewer prompts",
            0L,
            differing(prompts, draw(PROMPTS, 1, words)) + differing(draw(50, 1, words), prompts)));
    s.add(
        atLeast(
            "ioi.6.seed.other",
            "texts of 50 that another seed changes",
            45,
            differing(draw(50, 2, words), prompts)));
    s.add(
        same(
            "ioi.6.kinds",
            "templates times forms among " + PROMPTS + " prompts",
            30L,
            prompts.stream().map(p -> p.template() + " " + p.form()).distinct().count()));
    s.add(
        violations(
            "ioi.6.abc",
            "prompts whose partner has not three names of its own",
            prompts,
            p -> {
              HashSet<String> names = new HashSet<>(p.abc());
              names.add(p.io());
              names.add(p.s());
              return names.size() == 5;
            }));
    s.add(
        violations(
            "ioi.6.partner",
            "prompts whose partner differs in other tokens than the names",
            prompts,
            IoiSelfTest::differsInNames));
    s.add(
        violations(
            "ioi.6.positions", "prompts with a wrong position", prompts, IoiSelfTest::isPlaced));
    s.add(
        violations(
            "ioi.6.positions.bos",
            "the same behind a BOS",
            new IoiGenerator(IoiSpec.of(PROMPTS, 1).withBos(true), words).prompts(),
            p -> isPlaced(p) && p.ids()[0] == 0 && p.corruptIds()[0] == 0));
    s.add(
        atLeast(
            "ioi.6.legacy",
            "partners with a name twice, of 2000 drawn as by the released code",
            1,
            new IoiGenerator(IoiSpec.of(PROMPTS, 1).withLegacyCollisions(true), words)
                .prompts().stream().filter(p -> new HashSet<>(p.abc()).size() < 3).count()));
    s.add(gpt2Positions());
    return timed(s, start);
  }

  private static List<IoiPrompt> draw(int prompts, long seed, Tokenizer tokenizer) {
    return new IoiGenerator(IoiSpec.of(prompts, seed), tokenizer).prompts();
  }

  private static long differing(List<IoiPrompt> few, List<IoiPrompt> many) {
    long count = 0;
    for (int i = 0; i < few.size(); i++) {
      boolean same =
          few.get(i).text().equals(many.get(i).text())
              && few.get(i).corrupt().equals(many.get(i).corrupt());
      count += same ? 0 : 1;
    }
    return count;
  }

  private static Statement violations(
      String id, String words, List<IoiPrompt> prompts, Predicate<IoiPrompt> holds) {
    return same(id, words, 0L, prompts.stream().filter(holds.negate()).count());
  }

  private static boolean isPlaced(IoiPrompt p) {
    long[] ids = p.ids();
    Positions at = p.positions();
    return ids[at.s1()] == p.wrong()
        && ids[at.s2()] == p.wrong()
        && ids[at.io()] == p.answer()
        && at.end() == ids.length - 1
        && at.s1Next() == at.s1() + 1
        && (p.form() == Form.BABA ? at.s1() < at.io() : at.io() < at.s1())
        && Math.max(at.io(), at.s1()) < at.s2();
  }

  private static boolean differsInNames(IoiPrompt p) {
    Positions at = p.positions();
    boolean same = p.ids().length == p.corruptIds().length;
    for (int i = 0; same && i < p.ids().length; i++) {
      boolean name = i == at.io() || i == at.s1() || i == at.s2();
      same = name == (p.ids()[i] != p.corruptIds()[i]);
    }
    return same;
  }

  private Statement gpt2Positions() {
    String words = "positions of all templates and forms by the GPT-2 tokenizer";
    if (gpt2Tokenizer == null) {
      return skipped(
          "ioi.6.gpt2",
          words,
          "the released tokenizer is not given; name its folder with" + " --gpt2-tokenizer");
    }
    Map<String, String> wrong = new TreeMap<>();
    for (IoiPrompt p : draw(PROMPTS, 1, Tokenizer.read(gpt2Tokenizer))) {
      int[] t = GPT2_POSITIONS[p.template()];
      int io = p.form() == Form.BABA ? t[1] : t[0];
      int s1 = p.form() == Form.BABA ? t[0] : t[1];
      Positions expected = new Positions(io, s1, s1 + 1, t[2], t[3]);
      if (!p.positions().equals(expected)) {
        wrong.put(p.template() + " " + p.form(), expected + ", not " + p.positions());
      }
    }
    return same("ioi.6.gpt2", words, Map.of(), wrong);
  }

  /** Statement 7, what is counted. */
  public List<Statement> counts() {
    List<Statement> s = new ArrayList<>(new RandomStatements(engine).counts());
    s.add(
        same(
            "ioi.7.circuit",
            "heads of the published circuit",
            26L,
            Gpt2SmallCircuit.nodes().stream()
                .map(n -> Node.of(n.layer(), n.head()))
                .distinct()
                .count()));
    return s;
  }

  /** Statement 8: the released GPT-2 small, where it is given. */
  public List<Statement> gpt2() {
    long start = System.nanoTime();
    return timed(new Gpt2Statements(engine, gpt2).statements(), start);
  }

  /** Statement 9: bad input of the generator and of patching. */
  public List<Statement> badInputs() {
    long start = System.nanoTime();
    List<Statement> s = new ArrayList<>();
    WordLists usual = WordLists.DEFAULT;
    s.add(
        refused(
            "ioi.9.name",
            "a name of three tokens",
            "O'Neil",
            () -> chosen("O'Neil Mary John Tom Dan Amy Sid")));
    s.add(
        refused(
            "ioi.9.twice",
            "a name that is there twice",
            "Mary",
            () -> chosen("Mary John Mary Tom")));
    s.add(refused("ioi.9.few", "three names", "3 names", () -> chosen("Mary John Tom")));
    s.add(
        refused(
            "ioi.9.partner",
            "four names, of which no partner can be made",
            "takes 5",
            () -> chosen("Mary John Tom Dan")));
    s.add(refused("ioi.9.none", "no prompt", "prompts is 0", () -> IoiSpec.of(0, 1)));
    s.add(
        refused(
            "ioi.9.template",
            "a template that does not exist",
            "15",
            () -> IoiSpec.of(1, 1).withTemplates(List.of(15))));
    s.add(
        same(
            "ioi.9.pool",
            "names of more tokens in a pool that are kept",
            0L,
            new IoiGenerator(
                    IoiSpec.of(1, 1)
                        .withWords(
                            new WordLists(
                                List.of("O'Neil", "Mary", "John", "Tom", "Dan", "Amy"),
                                usual.places(),
                                usual.objects(),
                                true)),
                    new WholeWords())
                .words().names().stream().filter("O'Neil"::equals).count()));
    s.addAll(new RandomStatements(engine).badInputs());
    return timed(s, start);
  }

  private static void chosen(String names) {
    WordLists usual = WordLists.DEFAULT;
    WordLists lists =
        new WordLists(List.of(names.split(" ")), usual.places(), usual.objects(), false);
    new IoiGenerator(IoiSpec.of(1, 1).withWords(lists), new WholeWords());
  }

  /** Bad input must be refused in words that hold {@code named}. */
  static Statement refused(String id, String words, String named, Runnable attempt) {
    String got;
    try {
      attempt.run();
      got = "accepted";
    } catch (InputException e) {
      got = e.getMessage().contains(named) ? "refused" : "refused with: " + e.getMessage();
    }
    return same(id, words + " is refused by name", "refused", got);
  }
}
