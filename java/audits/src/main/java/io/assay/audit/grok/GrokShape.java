package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Sizes of the one-layer transformer on inputs {@code a b =} (Nanda et al. 2023, section 3; names
 * and shapes of the official code). Without layer norms; ReLU; only the last position is read.
 *
 * @param p modulus, odd; the numbers are the tokens 0 to p-1, "=" is token p
 * @param width D, of the residual stream
 * @param heads H
 * @param headWidth d_h
 * @param inner m, neurons
 * @param outputClasses p, or p+1 where "=" is an output too
 * @param mlpBias whether the neurons and the block's output have biases
 */
public record GrokShape(
    int p, int width, int heads, int headWidth, int inner, int outputClasses, boolean mlpBias) {
  public static final String EMBEDDING = "embed.W_E";
  public static final String POSITIONS = "pos_embed.W_pos";
  public static final String KEYS = "blocks.0.attn.W_K";
  public static final String QUERIES = "blocks.0.attn.W_Q";
  public static final String VALUES = "blocks.0.attn.W_V";
  public static final String ATTENTION_OUT = "blocks.0.attn.W_O";
  public static final String NEURONS_IN = "blocks.0.mlp.W_in";
  public static final String NEURONS_BIAS = "blocks.0.mlp.b_in";
  public static final String NEURONS_OUT = "blocks.0.mlp.W_out";
  public static final String OUT_BIAS = "blocks.0.mlp.b_out";
  public static final String UNEMBEDDING = "unembed.W_U";

  /** Positions of an input. */
  public static final int LENGTH = 3;

  private static final int LARGEST = 4095;

  /**
   * @throws InputException if p is even or out of range, a size is below 1, or the number of
   *     outputs is neither p nor p+1
   */
  public GrokShape {
    requireModulus(p);
    requirePositive("width", width);
    requirePositive("heads", heads);
    requirePositive("headWidth", headWidth);
    requirePositive("inner", inner);
    if (outputClasses != p && outputClasses != p + 1) {
      throw new InputException(
          "outputClasses is " + outputClasses + "; it must be p, " + p + ", or " + (p + 1));
    }
  }

  /** The published sizes: D 128, 4 heads of 32, 512 neurons with biases, p+1 outputs. */
  public static GrokShape of(int p) {
    return new GrokShape(p, 128, 4, 32, 512, p + 1, true);
  }

  /**
   * @throws InputException if p is even or out of range
   */
  static void requireModulus(int p) {
    if (p < LENGTH || p > LARGEST || p % 2 == 0) {
      throw new InputException("p is " + p + "; it must be odd, from 3 to " + LARGEST);
    }
  }

  private static void requirePositive(String field, int value) {
    if (value < 1 || value > 1 << 16) {
      throw new InputException(field + " is " + value + "; it must be from 1 to " + (1 << 16));
    }
  }

  /**
   * Whether p is prime. Where it is not, a frequency that shares a factor with p cannot tell all
   * remainders apart.
   */
  public boolean isPrime() {
    return IntStream.rangeClosed(2, (int) Math.sqrt(p)).allMatch(n -> p % n != 0);
  }

  /** Number of tokens, q = p+1. */
  public int tokens() {
    return p + 1;
  }

  /** Shape of every weight by its official name, in the official order. */
  public Map<String, long[]> weightShapes() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put(EMBEDDING, new long[] {width, tokens()});
    shapes.put(POSITIONS, new long[] {LENGTH, width});
    shapes.put(KEYS, new long[] {heads, headWidth, width});
    shapes.put(QUERIES, new long[] {heads, headWidth, width});
    shapes.put(VALUES, new long[] {heads, headWidth, width});
    shapes.put(ATTENTION_OUT, new long[] {width, (long) heads * headWidth});
    shapes.put(NEURONS_IN, new long[] {inner, width});
    if (mlpBias) {
      shapes.put(NEURONS_BIAS, new long[] {inner});
    }
    shapes.put(NEURONS_OUT, new long[] {width, inner});
    if (mlpBias) {
      shapes.put(OUT_BIAS, new long[] {width});
    }
    shapes.put(UNEMBEDDING, new long[] {width, outputClasses});
    return shapes;
  }

  /**
   * The sizes of a model's tensors.
   *
   * @param source of the tensors, for messages
   * @throws InputException if one that decides a size is missing or has another rank
   */
  static GrokShape of(String source, Map<String, Tensor> weights) {
    Tensor embedding = ranked(source, weights, EMBEDDING, 2);
    Tensor keys = ranked(source, weights, KEYS, 3);
    return new GrokShape(
        size(embedding.dim(1) - 1),
        size(embedding.dim(0)),
        size(keys.dim(0)),
        size(keys.dim(1)),
        size(ranked(source, weights, NEURONS_IN, 2).dim(0)),
        size(ranked(source, weights, UNEMBEDDING, 2).dim(1)),
        weights.containsKey(NEURONS_BIAS));
  }

  private static int size(long n) {
    return (int) Math.min(Integer.MAX_VALUE, n);
  }

  private static Tensor ranked(String source, Map<String, Tensor> weights, String name, int rank) {
    Tensor t = weights.get(name);
    if (t == null || t.rank() != rank) {
      throw new InputException(
          source
              + (t == null
                  ? " has no tensor " + name
                  : " has the tensor " + name + " as " + t + ", not of rank " + rank)
              + "; a grokking model has the official code's names and shapes");
    }
    return t;
  }
}
