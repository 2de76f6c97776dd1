package io.assay.app;

import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.UnigramTable;
import picocli.CommandLine.Option;

/** What reversal and joint search have in common. */
final class ArcaOptions {
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
      defaultValue = "32",
      description = "Candidates that are evaluated exactly, at most 256 (default: 32).")
  private int q;

  @Option(
      names = "--sweeps",
      paramLabel = "N",
      defaultValue = "50",
      description = "Passes over the searched tokens (default: 50).")
  private int sweeps;

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
      names = "--method",
      defaultValue = "ARCA",
      description = "The search: ${COMPLETION-CANDIDATES} (default: arca).")
  private ArcaSpec.Method method;

  @Option(
      names = "--candidates",
      defaultValue = "GRADIENT",
      description = "How candidates are chosen: ${COMPLETION-CANDIDATES} (default: gradient).")
  private ArcaSpec.Candidates candidates;

  @Option(
      names = "--success-check",
      defaultValue = "FIRST",
      description = "Which candidates are tested: ${COMPLETION-CANDIDATES} (default: first).")
  private ArcaSpec.SuccessCheck successCheck;

  @Option(names = "--no-repeat", description = "Evaluate no sequence twice.")
  private boolean noRepeat;

  @Option(names = "--keep-current", description = "Let the current token always compete.")
  private boolean keepCurrent;

  @Option(
      names = "--compat",
      defaultValue = "NONE",
      description = "Scale of the linear term: ${COMPLETION-CANDIDATES} (default: none).")
  private ArcaSpec.Compat compat;

  @Option(
      names = "--copy-filter",
      description =
          "Forbidden resemblance: ${COMPLETION-CANDIDATES} (reverse: fixed; joint: none).")
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
      description = {
        "Log-probability of each token in a prompt: .npy, pickled array or text, and the column;",
        "not_NAME is the opposite."
      })
  private String promptUnigram;

  @Option(
      names = "--slots",
      paramLabel = "N",
      defaultValue = "0",
      description = "Audits that advance together (default: chosen by the run).")
  private int slots;

  /** A specification's builder with all these settings. */
  ArcaSpec.Builder apply(ArcaSpec.Builder builder, Tokens tokens, String outputUnigram) {
    builder
        .promptLength(promptLength)
        .prefix(tokens.either("--prefix", prefix, "--prefix-ids", prefixIds))
        .k(k)
        .q(q)
        .sweeps(sweeps)
        .restarts(restarts)
        .seed(seed)
        .method(method)
        .candidates(candidates)
        .successCheck(successCheck)
        .noRepeat(noRepeat)
        .keepCurrent(keepCurrent)
        .compat(compat)
        .lambda(lambda)
        .lambdaF(lambdaF)
        .unigrams(table(promptUnigram), table(outputUnigram))
        .slots(slots);
    if (copyFilter != null) {
      builder.copyFilter(copyFilter);
    }
    return w == null ? builder : builder.w(w);
  }

  private static UnigramTable table(String place) {
    return place == null ? null : UnigramTable.read(place);
  }
}
