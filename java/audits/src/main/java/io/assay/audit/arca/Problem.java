package io.assay.audit.arca;

import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.audit.arca.ArcaSpec.UnigramRule;
import io.assay.engine.model.LanguageModel;
import java.util.BitSet;

/**
 * Lengths, weights and tests of the sequences of one bucket (specs/arca.md 2.2-2.4).
 *
 * <p>Position t predicts token t+1. Prompt positions are those below {@link #outputStart}.
 */
final class Problem {
  final ArcaSpec spec;

  /** P, M = P + m and T = M + n. */
  final int prefixLength;

  final int outputStart;
  final int length;

  Problem(ArcaSpec spec, int outputLength) {
    this.spec = spec;
    this.prefixLength = spec.prefix().size();
    this.outputStart = prefixLength + spec.promptLength();
    this.length = outputStart + outputLength;
  }

  int outputLength() {
    return length - outputStart;
  }

  /** One behind the last position that is searched. */
  int afterFree() {
    return spec.isJoint() ? length : outputStart;
  }

  boolean isPrompt(int position) {
    return position < outputStart;
  }

  /** Positions before {@code from} that need not run again, as the cache has them. */
  int past(LanguageModel model, int from) {
    return model.cacheable() && spec.cache() ? from : 0;
  }

  /** Weight in J of the log-probability that position t gives to token t+1. */
  double termWeight(int t) {
    return t >= outputStart - 1 ? spec.lambda() : spec.lambdaF() / (outputStart - 1);
  }

  /** Weight of the same term in the objective that is differentiated. */
  double gradientWeight(int t) {
    if (spec.compat() == Compat.OFFICIAL && t >= outputStart - 1) {
      return spec.lambda() / outputLength();
    }
    return termWeight(t);
  }

  /** First position at or after {@code from} whose prediction has a weight. */
  int firstScored(int from) {
    return spec.lambdaF() > 0 ? from : Math.max(from, outputStart - 1);
  }

  /** Whether the prediction of the token at {@code position} is part of J. */
  boolean isPredicted(int position) {
    return position > 0 && termWeight(position - 1) > 0;
  }

  /** alpha of specs/arca.md 2.4. */
  double alpha(int position) {
    if (position == 0 || spec.method() == ArcaSpec.Method.AUTOPROMPT) {
      return 0;
    }
    if (spec.compat() == Compat.OFFICIAL && isPrompt(position)) {
      return 0;
    }
    return termWeight(position - 1);
  }

  /** The unigram table of a position's side, or null. */
  UnigramTable table(int position) {
    return isPrompt(position) ? spec.promptUnigram() : spec.outputUnigram();
  }

  /** w times the unigram log-probabilities of the searched tokens and of the output. */
  double unigrams(int[] ids) {
    double sum = 0;
    for (int position = prefixLength; position < length; position++) {
      UnigramTable table = table(position);
      sum += table == null ? 0 : table.get(ids[position]);
    }
    return spec.w() * sum;
  }

  /** J of a slot whose positions are settled. */
  double objective(Slot slot) {
    double j = unigrams(slot.ids);
    for (int t = 0; t < length - 1; t++) {
      double weight = termWeight(t);
      j += weight == 0 ? 0 : weight * slot.logProb[t];
    }
    return j;
  }

  /** Whether a sequence passes the thresholds on its unigram probabilities. */
  boolean passesRule(int[] ids) {
    UnigramRule rule = spec.rule();
    ArcaResult.Unigram prompt =
        unigram(spec.promptUnigram(), ids, rule.prefixCounts() ? 0 : prefixLength, outputStart);
    ArcaResult.Unigram output = unigram(spec.outputUnigram(), ids, outputStart, length);
    return !spec.isJoint()
        || (prompt == null || prompt.min() > rule.promptMin() && prompt.mean() > rule.promptMean())
            && (output == null
                || output.max() > rule.outputMax() && output.mean() > rule.outputMean());
  }

  /** Probabilities of {@code ids[from..to)}, or null without a table. */
  static ArcaResult.Unigram unigram(UnigramTable table, int[] ids, int from, int to) {
    if (table == null) {
      return null;
    }
    double min = 1;
    double max = 0;
    double sum = 0;
    for (int i = from; i < to; i++) {
      double p = Math.exp(table.get(ids[i]));
      min = Math.min(min, p);
      max = Math.max(max, p);
      sum += p;
    }
    return new ArcaResult.Unigram(min, sum / (to - from), max);
  }

  /** Ids below this exist: those of the tokenizer, where the table has rows behind them. */
  static int vocabulary(LanguageModel model) {
    return model
        .tokenizer()
        .map(t -> Math.min(t.size(), model.vocabulary()))
        .orElse(model.vocabulary());
  }

  /** Ids that the searched token at a position may take, the copy filter aside. */
  BitSet allowed(LanguageModel model, int position) {
    BitSet ids = new BitSet();
    ids.set(0, vocabulary(model));
    TokenSet set = isPrompt(position) ? spec.promptAllowed() : spec.outputAllowed();
    if (set != null) {
      ids.and(set.ids());
    }
    return ids;
  }

  /**
   * Whether all searched tokens are allowed: those that an audit begins with need not be.
   *
   * @param forbidden prompt tokens that the copy filter forbids
   */
  boolean permits(int[] ids, BitSet forbidden) {
    for (int position = prefixLength; position < afterFree(); position++) {
      TokenSet set = isPrompt(position) ? spec.promptAllowed() : spec.outputAllowed();
      if (set != null && !set.contains(ids[position])
          || isPrompt(position) && forbidden.get(ids[position])) {
        return false;
      }
    }
    return true;
  }

  /** Whether no choice of tokens can pass, because of the prefix. */
  boolean prefixFails() {
    UnigramRule rule = spec.rule();
    UnigramTable table = spec.promptUnigram();
    if (!spec.isJoint() || !rule.prefixCounts() || table == null || prefixLength == 0) {
      return false;
    }
    double smallest = 1;
    double sum = 0;
    for (int id : spec.prefix()) {
      double p = Math.exp(table.get(id));
      smallest = Math.min(smallest, p);
      sum += p;
    }
    double highestMean = (sum + spec.promptLength()) / outputStart;
    return !(smallest > rule.promptMin()) || !(highestMean > rule.promptMean());
  }
}
