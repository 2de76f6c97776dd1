package io.assay.audit.arca;

import io.assay.engine.InputException;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/**
 * What to search for: everything that decides the result of an ARCA run, checked on construction.
 *
 * <p>The symbols are those of specs/arca.md section 2. Make one with {@link #reverse} or {@link
 * #joint} and the methods of {@link Builder}.
 *
 * @param model name or path of the model, for the record
 * @param mode whether outputs are given or searched
 * @param targets outputs to reverse, each not empty; in joint mode one empty list
 * @param prefix fixed first tokens, not changed; may be empty
 * @param promptLength m, searched prompt tokens, at least 1
 * @param outputLength n, searched output tokens in joint mode; 0 in reversal
 * @param k random tokens whose gradients are averaged, at least 1
 * @param q candidates that are evaluated exactly, 1 to 256
 * @param sweeps passes over the free positions, at least 1
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
 * @param candidates how candidates are chosen
 * @param method the search
 * @param compat which definition of the score
 * @param cache whether keys and values are carried from coordinate to coordinate
 * @param slots audits that advance together; 0 lets the run choose
 * @param promptAllowed ids that prompt tokens may take, or null for all
 * @param outputAllowed ids that searched output tokens may take, or null for all
 */
public record ArcaSpec(
    String model,
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
    Candidates candidates,
    Method method,
    Compat compat,
    boolean cache,
    int slots,
    BitSet promptAllowed,
    BitSet outputAllowed) {

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
    /** Candidates drawn at random. */
    RANDOM
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
    if (q > 256) {
      throw new InputException("q must be at most 256, not " + q + "; evaluate fewer candidates");
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
    private List<Integer> prefix = List.of();
    private int promptLength = 3;
    private int k = 32;
    private int q = 32;
    private int sweeps = 50;
    private int restarts = 5;
    private long seed;
    private double lambda = 1;
    private double lambdaF;
    private double w;
    private UnigramTable promptUnigram;
    private UnigramTable outputUnigram;
    private UnigramRule rule = UnigramRule.TOXICITY;
    private CopyFilter copyFilter;
    private SuccessCheck successCheck = SuccessCheck.FIRST;
    private boolean noRepeat;
    private boolean keepCurrent;
    private Candidates candidates = Candidates.GRADIENT;
    private Method method = Method.ARCA;
    private Compat compat = Compat.NONE;
    private boolean cache = true;
    private int slots;
    private BitSet promptAllowed;
    private BitSet outputAllowed;

    private Builder(String model, Mode mode, List<List<Integer>> targets, int outputLength) {
      this.model = model;
      this.mode = mode;
      this.targets = targets;
      this.outputLength = outputLength;
      this.w = mode == Mode.JOINT ? 0.6 : 1;
      this.copyFilter = mode == Mode.JOINT ? CopyFilter.NONE : CopyFilter.FIXED;
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

    public Builder q(int value) {
      q = value;
      return this;
    }

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

    /** Sets the ids that searched tokens may take; null for all. */
    public Builder allowed(BitSet prompt, BitSet output) {
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
      return new ArcaSpec(
          model,
          mode,
          targets,
          prefix,
          promptLength,
          outputLength,
          k,
          q,
          sweeps,
          restarts,
          seed,
          lambda,
          lambdaF,
          w,
          promptUnigram,
          outputUnigram,
          rule,
          copyFilter,
          successCheck,
          noRepeat,
          keepCurrent,
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
