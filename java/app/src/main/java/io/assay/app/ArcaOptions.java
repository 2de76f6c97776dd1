package io.assay.app;

import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.Preset;
import io.assay.audit.arca.TokenSet;
import io.assay.audit.arca.TokenSets;
import io.assay.audit.arca.UnigramTable;
import io.assay.engine.model.LanguageModel;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** What reversal and joint search have in common. */
final class ArcaOptions {
  /** What a SET may be, for the help of both commands. */
  static final String SETS =
      """
      A SET of tokens is
        letters          only letters, spaces at both ends aside
        lowercase        equal to their lower case
        ascii            only characters below 128
        printable        no control characters and no broken UTF-8
        special          stand for no text, such as the end of a text
        ids:1,2,3        these
        regex:PATTERN    whose text has a match of a Java pattern, such as regex:^ [a-z]+$
        contains:TEXT    whose text has this in it, whatever the case
        top:K:TABLE      the K most probable of a unigram table, FILE[:NAME]
        first:K:FILE     the first K ids of a list, one a line
        not_SET          all others, such as not_special
      """;

  /** Steps of GCG by default for each default sweep of the others. */
  private static final long GCG_STEPS = 5;

  @Option(
      names = "--preset",
      paramLabel = "NAME",
      defaultValue = "custom",
      description =
          "What is audited: reverse-toxic, reverse-name, derogatory, surprise-toxicity,"
              + " language-switch, custom (default: custom). It sets thresholds and copy filter,"
              + " and says which tables and prefix are missing.")
  private String preset;

  @Option(
      names = "--prompt-length",
      paramLabel = "M",
      defaultValue = "3",
      description = "Searched prompt tokens (default: 3).")
  private int promptLength;

  @Option(
      names = "--prefix",
      paramLabel = "TEXT",
      description = "Fixed text before the searched prompt.")
  private String prefix;

  @Option(
      names = "--prefix-ids",
      paramLabel = "IDS",
      description = "The same as token ids, such as 464,1175.")
  private String prefixIds;

  @Option(
      names = "--k",
      paramLabel = "N",
      defaultValue = "32",
      description = "Random tokens whose gradients are averaged (default: 32).")
  private int k;

  @Option(
      names = "--q",
      paramLabel = "N",
      description = "Candidates that are evaluated exactly, at most 256 (default: 32).")
  private Integer q;

  @Option(
      names = "--sweeps",
      paramLabel = "N",
      description = "Passes over the searched tokens (default: 50).")
  private Integer sweeps;

  @Option(
      names = "--restarts",
      paramLabel = "N",
      defaultValue = "5",
      description = "Independent searches for each target (default: 5).")
  private int restarts;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      description = "Seed of every random draw (default: 0).")
  private long seed;

  @Option(
      names = "--candidates",
      paramLabel = "WHICH",
      defaultValue = "GRADIENT",
      description =
          "What is evaluated: gradient, the q best by score; exact, all tokens, as a yardstick "
              + "(default: gradient).")
  private ArcaSpec.Candidates candidates;

  @Option(
      names = "--order",
      paramLabel = "ORDER",
      defaultValue = "CYCLIC",
      description =
          "How a sweep visits the searched tokens: cyclic, from left to right; random_perm, each "
              + "time in another order (default: cyclic).")
  private ArcaSpec.Order order;

  @Option(
      names = "--success-check",
      paramLabel = "WHICH",
      defaultValue = "FIRST",
      description =
          "Which candidates may end a search: first, the best of an update; any, each of them;"
              + " never (default: first).")
  private ArcaSpec.SuccessCheck successCheck;

  @Option(names = "--no-repeat", description = "Evaluate no sequence twice.")
  private boolean noRepeat;

  @Option(
      names = "--keep-current",
      description = "Let the current token always compete, so that J never falls.")
  private boolean keepCurrent;

  @Option(
      names = "--restart-on-stall",
      description =
          "Begin with new random tokens after a sweep without a change; with --keep-current or "
              + "--candidates exact.")
  private boolean restartOnStall;

  @Option(
      names = "--compat",
      paramLabel = "WHICH",
      defaultValue = "NONE",
      description =
          "none, the formulas of the paper; official, the released code's scale of the linear term "
              + "(default: none).")
  private ArcaSpec.Compat compat;

  @Option(
      names = "--copy-filter",
      paramLabel = "RULE",
      description =
          "Prompt tokens that resemble the target are forbidden: fixed; official, as released,"
              + " which for a target token of one letter forbids nearly all; none (reverse: fixed;"
              + " joint: none).")
  private ArcaSpec.CopyFilter copyFilter;

  @Option(
      names = "--lambda",
      paramLabel = "X",
      defaultValue = "1",
      description = "Weight of log p(output given prompt) (default: 1).")
  private double lambda;

  @Option(
      names = "--lambda-f",
      paramLabel = "X",
      defaultValue = "0",
      description = "Weight of the prompt's fluency (default: 0).")
  private double lambdaF;

  @Option(
      names = "--w",
      paramLabel = "X",
      description = "Weight of the unigram terms (reverse: 1; joint: 0.6).")
  private Double w;

  @Option(
      names = "--prompt-unigram",
      paramLabel = "FILE[:NAME]",
      description =
          "Log-probability of each token in a prompt: .npy, pickled array or text, and the column; "
              + "not_NAME is the opposite.")
  private String promptUnigram;

  @Option(
      names = "--allow",
      paramLabel = "SET",
      description =
          "Prompt tokens come from this set (see below); given again, from what the sets share.")
  private List<String> allow = new ArrayList<>();

  @Option(
      names = "--forbid",
      paramLabel = "SET",
      description = "Prompt tokens do not come from this set. May be given many times.")
  private List<String> forbid = new ArrayList<>();

  @Option(
      names = "--slots",
      paramLabel = "N",
      defaultValue = "0",
      description = "Audits that advance together (default: chosen by the run).")
  private int slots;

  /** A specification's builder with all these settings. */
  ArcaSpec.Builder apply(ArcaSpec.Builder builder, LanguageModel model) {
    return apply(builder, model, null, null);
  }

  /** The same with constraints on a searched output, each of which may be null. */
  ArcaSpec.Builder apply(
      ArcaSpec.Builder builder, LanguageModel model, String outputUnigram, TokenSet outputAllowed) {
    builder
        .preset(preset())
        .promptLength(promptLength)
        .prefix(new Tokens(model).either("--prefix", prefix, "--prefix-ids", prefixIds))
        .k(k)
        .restarts(restarts)
        .seed(seed)
        .candidates(candidates)
        .order(order)
        .successCheck(successCheck)
        .noRepeat(noRepeat)
        .keepCurrent(keepCurrent)
        .restartOnStall(restartOnStall)
        .compat(compat)
        .lambda(lambda)
        .lambdaF(lambdaF)
        .unigrams(table(promptUnigram), table(outputUnigram))
        .allowed(new TokenSets(model).allowed(allow, forbid), outputAllowed)
        .slots(slots);
    if (q != null) {
      builder.q(q);
    }
    if (sweeps != null) {
      builder.sweeps(sweeps);
    }
    if (copyFilter != null) {
      builder.copyFilter(copyFilter);
    }
    return w == null ? builder : builder.w(w);
  }

  /** As many steps as the usual ones of GCG to the usual sweeps of the others. */
  ArcaSpec.Builder gcgSteps(ArcaSpec.Builder builder) {
    return sweeps == null
        ? builder
        : builder.sweeps((int) Math.min(Integer.MAX_VALUE, GCG_STEPS * sweeps));
  }

  Preset preset() {
    return Preset.of(preset);
  }

  private static UnigramTable table(String place) {
    return place == null ? null : UnigramTable.read(place);
  }
}
