package io.assay.audit.ioi;

import static io.assay.audit.Statement.atLeast;
import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.skipped;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What is published of GPT-2 small, on the weights that a user gives (statement 8). */
final class Gpt2Statements {
  private static final int PROMPTS = 1000;

  /** The prompts of the TransformerLens demonstrations; each twice, either name acting. */
  private static final String[][] DEMO = {
    {"When John and Mary went to the shops, ", " gave the bag to", "John", "Mary"},
    {"When Tom and James went to the park, ", " gave the ball to", "Tom", "James"},
    {"When Dan and Sid went to the shops, ", " gave an apple to", "Dan", "Sid"},
    {"After Martin and Amy went to the park, ", " gave a drink to", "Martin", "Amy"}
  };

  private final Engine engine;
  private final Path folder;

  /**
   * @param folder of the released model, or null to skip
   */
  Gpt2Statements(Engine engine, Path folder) {
    this.engine = engine;
    this.folder = folder;
  }

  List<Statement> statements() {
    String demo = "mean logit difference of the 8 prompts of the demonstrations, behind a BOS";
    if (folder == null) {
      return List.of(
          skipped(
              "ioi.8", demo, "the released GPT-2 small is not given; name its folder with --gpt2"));
    }
    LanguageModel model = engine.languageModel(folder.toString());
    Tokenizer tokenizer = model.tokenizer().orElseThrow();
    List<Statement> s = new ArrayList<>();
    double eight = IoiBaseline.run(engine, model, demo(tokenizer)).summary().logitDifference();
    s.add(near("ioi.8.demo", demo, 3.5519, eight, 0.002));
    IoiSpec spec = IoiSpec.of(PROMPTS, 1);
    IoiBaseline.Summary all =
        IoiBaseline.run(engine, model, new IoiGenerator(spec, tokenizer).prompts()).summary();
    s.add(
        near(
            "ioi.8.difference",
            "mean logit difference of 1000 prompts without a BOS",
            3.56,
            all.logitDifference(),
            0.15));
    s.add(atLeast("ioi.8.accuracy", "share of them with IO over S", 0.985, all.answerOverWrong()));
    CircuitSpec circuit =
        new CircuitSpec(
            spec, Ablation.MEAN, 100, CircuitSpec.FAITHFUL, Gpt2SmallCircuit.nodes(), 0, 0);
    CircuitResult tested =
        CircuitAudit.run(engine, model, circuit, Circuits.Listener.NONE).orElseThrow();
    s.add(
        near(
            "ioi.8.circuit",
            "share of the logit difference that the published circuit keeps",
            0.875,
            tested.faithfulness(),
            0.125));
    return s;
  }

  private static List<IoiPrompt> demo(Tokenizer tokenizer) {
    List<IoiPrompt> prompts = new ArrayList<>();
    for (String[] d : DEMO) {
      for (int acts = 2; acts < 4; acts++) {
        String s = d[acts];
        String io = d[5 - acts];
        String text = d[0] + s + d[1];
        long[] words = tokenizer.encode(text);
        long[] ids = new long[words.length + 1];
        ids[0] = tokenizer.bos().orElseThrow();
        System.arraycopy(words, 0, ids, 1, words.length);
        // Only the last position matters here.
        Positions at = new Positions(0, 0, 0, 0, ids.length - 1);
        prompts.add(
            new IoiPrompt(
                0,
                Form.BABA,
                io,
                s,
                List.of(io, s, s),
                null,
                null,
                text,
                text,
                ids,
                ids,
                tokenizer.encode(" " + io)[0],
                tokenizer.encode(" " + s)[0],
                at));
      }
    }
    return prompts;
  }
}
