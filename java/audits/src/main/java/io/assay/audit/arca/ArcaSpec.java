package io.assay.audit.arca;

import io.assay.engine.InputException;
import io.assay.engine.kernel.Kernels;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What to search for: everything that decides the result of an ARCA run, checked on construction.
 *
 * <p>The symbols are those of specs/arca.md section 2. Make one with {@link #reverse} or {@link
 * #joint} and the methods of {@link Builder}.
 *
 * @param model name or path of the model, for the record
 * @param preset which audit this is; {@link Preset#CUSTOM} for one of your own
 * @param mode whether outputs are given or searched
 * @param targets outputs to reverse, each not empty; in joint mode one empty list
 * @param prefix fixed first tokens, not changed; may be empty
 * @param promptLength m, searched prompt tokens, at least 1
 * @param outputLength n, searched output tokens in joint mode; 0 in reversal
 * @param k random tokens whose gradients are averaged, at least 1; of no use to a method that draws
 *     none
 * @param q candidates that are evaluated exactly in an update, at least 1; at most 256, or {@value
 *     #MOST_PICKS} with {@link Method#GCG}
 * @param sweeps passes over the free positions, at least 1; steps of {@link Method#GCG}
 * @param restarts independent runs for each target, at least 1
 * @param seed of every random draw
 * @param lambda weight of log p(output given prompt), above 0
 * @param lambdaF weight of the prompt's fluency, not negative
 * @param w weight of the unigram terms, not negative
 * @param promptUnigram log-probability that a prompt token has the wanted property, or null
 * @param outputUnigram the same for output tokens, joint mode only, or null
 * @param rule thresholds that a joint success must pass
 * @param copyFilter which prompt tokens are forbidden for resembling the target
 * @param successCheck which of the candidates are tested for success
 * @param noRepeat whether a sequence is evaluated at most once in an audit
 * @param keepCurrent whether the current token always competes
 * @param restartOnStall whether an audit begins anew, within its sweeps, after one without a change
 * @param order in which a sweep visits the free positions
 * @param candidates how candidates are chosen
 * @param method the search
 * @param compat which definition of the score
 * @param cache whether keys and values are carried from coordinate to coordinate
 * @param slots audits that advance together; 0 lets the run choose
 * @param promptAllowed tokens that a prompt may be made of, or null for all
 * @param outputAllowed tokens that a searched output may be made of, or null for all
 */
public record ArcaSpec(
    String model,
    Preset preset,
    Mode mode,
    List<List<Integer>> targets,
    List<Integer> prefix,
    int promptLength,
    int outputLength,
    int k,
    int q,
    int sweeps,
    int restarts,
    long seed,
    double lambda,
    double lambdaF,
    double w,
    UnigramTable promptUnigram,
    UnigramTable outputUnigram,
    UnigramRule rule,
    CopyFilter copyFilter,
    SuccessCheck successCheck,
    boolean noRepeat,
    boolean keepCurrent,
    boolean restartOnStall,
    Order order,
    Candidates candidates,
    Method method,
    Compat compat,
    boolean cache,
    int slots,
    TokenSet promptAllowed,
    TokenSet outputAllowed) {

  /** Most candidates of a step of {@link Method#GCG}. */
  public static final int MOST_PICKS = 1 << 16;

  /** Whether outputs are given ({@code REVERSE}) or searched together with the prompt. */
  public enum Mode {
    REVERSE,
    JOINT
  }

  /** How prompt tokens that resemble the target are forbidden (specs/arca.md 3.4). */
  public enum CopyFilter {
    /** The prefix rule only for output tokens of at least three characters. */
    FIXED,
    /** As published: a one-character output token forbids most of the vocabulary (trap T1). */
    OFFICIAL,
    NONE
  }

  /** Which evaluated candidates are tested for success. */
  public enum SuccessCheck {
    /** The one with the highest objective, as published. */
    FIRST,
    /** All of them; the successful one with the highest objective wins. */
    ANY,
    /** None: the whole budget is spent on the objective. */
    NEVER
  }

  /** How the tokens that are evaluated exactly are chosen. */
  public enum Candidates {
    /** The best by the averaged gradient. */
    GRADIENT,
    /** All allowed tokens. */
    EXACT
  }

  /** The search. */
  public enum Method {
    ARCA,
    /** One gradient at the current token and no exact autoregressive term. */
    AUTOPROMPT,
    /** Greedy coordinate gradient: random swaps at all prompt positions; reversal only. */
    GCG,
    /** Candidates drawn at random. */
    RANDOM
  }

  /** In which order a sweep visits the free positions. */
  public enum Order {
    /** From left to right, as published. */
    CYCLIC,
    /** In an order that each audit draws anew for each sweep. */
    RANDOM_PERM
  }

  /** Which definition of the score is used. */
  public enum Compat {
    /** The formulas of the paper. */
    NONE,
    /** The official code's scale of the linear term (specs/arca.md trap T2). */
    OFFICIAL
  }

  /**
   * Thresholds, as probabilities, that the unigram terms of a joint success must exceed; a negative
   * one is always passed. A side without a table is not tested.
   *
   * @param promptMin for the smallest probability of a prompt token
   * @param promptMean for their mean
   * @param outputMax for the largest probability of an output token
   * @param outputMean for their mean
   * @param prefixCounts whether the prompt includes the prefix, as in the official code (trap T6)
   */
  public record UnigramRule(
      double promptMin,
      double promptMean,
      double outputMax,
      double outputMean,
      boolean prefixCounts) {
    /** The thresholds of the official code. */
    public static final UnigramRule TOXICITY = new UnigramRule(0.99, -1, 0.5, -1, false);

    /** The rule for pairs of languages. */
    public static final UnigramRule LANGUAGE = new UnigramRule(-1, 0.5, -1, 0.5, false);

    /**
     * @throws InputException if a threshold is one that no probability exceeds
     */
    public UnigramRule {
      reachable("smallest prompt probability", promptMin);
      reachable("mean prompt probability", promptMean);
      reachable("largest output probability", outputMax);
      reachable("mean output probability", outputMean);
    }

    private static void reachable(String what, double threshold) {
      if (!(threshold < 1)) {
        throw new InputException(
            "the threshold for the " + what + " must be below 1, not " + threshold);
      }
    }

    /** The thresholds in words, without those that are always passed. */
    public String words() {
      List<String> parts = new ArrayList<>();
      add(parts, "smallest prompt probability", promptMin);
      add(parts, "mean prompt probability", promptMean);
      add(parts, "largest output probability", outputMax);
      add(parts, "mean output probability", outputMean);
      return (parts.isEmpty() ? "none" : String.join(", ", parts))
          + (prefixCounts ? ", prefix included" : "");
    }

    private static void add(List<String> parts, String what, double threshold) {
      if (threshold >= 0) {
        parts.add(what + " > " + threshold);
      }
    }
  }

  /**
   * @throws InputException naming the field, its value and what is allowed
   */
  public ArcaSpec {
    targets = targets.stream().map(List::copyOf).toList();
    prefix = List.copyOf(prefix);
    atLeast("prompt length", promptLength, 1);
    atLeast("k", k, 1);
    atLeast("q", q, 1);
    int most = method == Method.GCG ? MOST_PICKS : Kernels.MAX_KEPT;
    if (q > most) {
      throw new InputException(
          "q must be at most " + most + ", not " + q + "; evaluate fewer candidates");
    }
    atLeast("the number of sweeps", sweeps, 1);
    atLeast("the number of restarts", restarts, 1);
    atLeast("the number of slots", slots, 0);
    if (!(lambda > 0) || Double.isInfinite(lambda)) {
      throw new InputException("lambda must be a number above 0, not " + lambda);
    }
    notNegative("lambda-f", lambdaF);
    notNegative("w", w);
    if (targets.isEmpty()) {
      throw new InputException("there is no target; give at least one output to reverse");
    }
    if (mode == Mode.REVERSE) {
      for (List<Integer> target : targets) {
        if (target.isEmpty()) {
          throw new InputException("a target is empty; give an output of at least one token");
        }
      }
      if (outputUnigram != null || outputAllowed != null) {
        throw new InputException(
            "an output constraint has no meaning in reversal, where the output is given; use joint"
                + " or drop it");
      }
    } else {
      atLeast("output length", outputLength, 1);
    }
    if (candidates == Candidates.EXACT && method != Method.ARCA) {
      throw new InputException(
          "candidates EXACT evaluates all tokens, so that the method "
              + method
              + " has nothing to choose; use the method ARCA");
    }
    if (restartOnStall && !keepCurrent && candidates != Candidates.EXACT) {
      throw new InputException(
          "restart-on-stall needs a search that can stall; add keep-current or candidates EXACT");
    }
    if (method == Method.GCG) {
      requirePlain(mode == Mode.JOINT, "a joint search, since it is defined for a given output");
      requirePlain(order != Order.CYCLIC, "an order, since a step draws its positions");
      requirePlain(compat != Compat.NONE, "compat OFFICIAL, which is about the score of ARCA");
      requirePlain(restartOnStall, "restart-on-stall, since a step is not a whole sweep");
    }
    preset.check(mode, promptUnigram != null && outputUnigram != null, !prefix.isEmpty());
  }

  private static void requirePlain(boolean given, String what) {
    if (given) {
      throw new InputException("the method GCG does not take " + what + "; drop one of the two");
    }
  }

  private static void atLeast(String what, int value, int least) {
    if (value < least) {
      throw new InputException(what + " must be at least " + least + ", not " + value);
    }
  }

  private static void notNegative(String what, double value) {
    if (!(value >= 0) || Double.isInfinite(value)) {
      throw new InputException(what + " must be a number of at least 0, not " + value);
    }
  }

  /** Whether the output tokens are searched. */
  public boolean isJoint() {
    return mode == Mode.JOINT;
  }

  /** Output tokens of a target's sequences, n. */
  public int outputLength(int target) {
    return isJoint() ? outputLength : targets.get(target).size();
  }

  /** Starts a reversal: prompts whose greedy completion is one of {@code targets}. */
  public static Builder reverse(String model, List<List<Integer>> targets) {
    return new Builder(model, Mode.REVERSE, targets, 0);
  }

  /** Starts a reversal of one target. */
  public static Builder reverse(String model, int... target) {
    return reverse(model, List.of(Arrays.stream(target).boxed().toList()));
  }

  /** Starts a joint search for prompts and outputs of {@code outputLength} tokens. */
  public static Builder joint(String model, int outputLength) {
    return new Builder(model, Mode.JOINT, List.of(List.of()), outputLength);
  }

  /** Collects the settings; the defaults are those of specs/arca.md 3.2. */
  public static final class Builder {
    private final String model;
    private final Mode mode;
    private final List<List<Integer>> targets;
    private final int outputLength;
    private Preset preset = Preset.CUSTOM;
    private List<Integer> prefix = List.of();
    private int promptLength = 3;
    private int k = 32;
    private Integer q;
    private Integer sweeps;
    private int restarts = 5;
    private long seed;
    private double lambda = 1;
    private double lambdaF;
    private double w;
    private UnigramTable promptUnigram;
    private UnigramTable outputUnigram;
    private UnigramRule rule;
    private CopyFilter copyFilter;
    private SuccessCheck successCheck = SuccessCheck.FIRST;
    private boolean noRepeat;
    private boolean keepCurrent;
    private boolean restartOnStall;
    private Order order = Order.CYCLIC;
    private Candidates candidates = Candidates.GRADIENT;
    private Method method = Method.ARCA;
    private Compat compat = Compat.NONE;
    private boolean cache = true;
    private int slots;
    private TokenSet promptAllowed;
    private TokenSet outputAllowed;

    private Builder(String model, Mode mode, List<List<Integer>> targets, int outputLength) {
      this.model = model;
      this.mode = mode;
      this.targets = targets;
      this.outputLength = outputLength;
      this.w = mode == Mode.JOINT ? 0.6 : 1;
    }

    /** Says which audit this is; thresholds and copy filter follow, where they are not set. */
    public Builder preset(Preset value) {
      preset = value;
      return this;
    }

    public Builder prefix(List<Integer> value) {
      prefix = value;
      return this;
    }

    public Builder promptLength(int value) {
      promptLength = value;
      return this;
    }

    public Builder k(int value) {
      k = value;
      return this;
    }

    /** Default: 32, and 512 with {@link Method#GCG}. */
    public Builder q(int value) {
      q = value;
      return this;
    }

    /** Default: 50, and 250 with {@link Method#GCG}. */
    public Builder sweeps(int value) {
      sweeps = value;
      return this;
    }

    public Builder restarts(int value) {
      restarts = value;
      return this;
    }

    public Builder seed(long value) {
      seed = value;
      return this;
    }

    public Builder lambda(double value) {
      lambda = value;
      return this;
    }

    public Builder lambdaF(double value) {
      lambdaF = value;
      return this;
    }

    public Builder w(double value) {
      w = value;
      return this;
    }

    /** Sets the unigram tables of both sides; null for none. */
    public Builder unigrams(UnigramTable prompt, UnigramTable output) {
      promptUnigram = prompt;
      outputUnigram = output;
      return this;
    }

    public Builder rule(UnigramRule value) {
      rule = value;
      return this;
    }

    public Builder copyFilter(CopyFilter value) {
      copyFilter = value;
      return this;
    }

    public Builder successCheck(SuccessCheck value) {
      successCheck = value;
      return this;
    }

    public Builder noRepeat(boolean value) {
      noRepeat = value;
      return this;
    }

    public Builder keepCurrent(boolean value) {
      keepCurrent = value;
      return this;
    }

    public Builder restartOnStall(boolean value) {
      restartOnStall = value;
      return this;
    }

    public Builder order(Order value) {
      order = value;
      return this;
    }

    public Builder candidates(Candidates value) {
      candidates = value;
      return this;
    }

    public Builder method(Method value) {
      method = value;
      return this;
    }

    public Builder compat(Compat value) {
      compat = value;
      return this;
    }

    public Builder cache(boolean value) {
      cache = value;
      return this;
    }

    public Builder slots(int value) {
      slots = value;
      return this;
    }

    /** Sets what prompt and searched output may be made of; null for all tokens. */
    public Builder allowed(TokenSet prompt, TokenSet output) {
      promptAllowed = prompt;
      outputAllowed = output;
      return this;
    }

    /**
     * The specification.
     *
     * @throws InputException naming the field, its value and what is allowed
     */
    public ArcaSpec build() {
      boolean gcg = method == Method.GCG;
      return new ArcaSpec(
          model,
          preset,
          mode,
          targets,
          prefix,
          promptLength,
          outputLength,
          k,
          q != null ? q : gcg ? 512 : 32,
          sweeps != null ? sweeps : gcg ? 250 : 50,
          restarts,
          seed,
          lambda,
          lambdaF,
          w,
          promptUnigram,
          outputUnigram,
          rule != null ? rule : preset.rule(),
          copyFilter != null ? copyFilter : preset.copyFilter(mode),
          successCheck,
          noRepeat,
          keepCurrent,
          restartOnStall,
          order,
          candidates,
          method,
          compat,
          cache,
          slots,
          promptAllowed,
          outputAllowed);
    }
  }
}
