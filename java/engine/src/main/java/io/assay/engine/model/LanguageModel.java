package io.assay.engine.model;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;

/**
 * A decoder as audits use it: a body that turns token ids into hidden rows, and a head whose
 * product with a hidden row gives the logits.
 *
 * <p>The embedding and the head are plain matrices, so that kernels can read them without a graph.
 */
public final class LanguageModel {
  private final Model model;
  private final Decoder decoder;

  private LanguageModel(Model model, Decoder decoder) {
    this.model = model;
    this.decoder = decoder;
  }

  /**
   * A model as a decoder.
   *
   * @throws InputException if the model is not a decoder that Assay can take apart, or if it was
   *     found on import that its rows cannot be batched; the message says why
   */
  public static LanguageModel of(Model model) {
    model.check().ifPresent(check -> check.requireRows(model.name()));
    return new LanguageModel(model, model.decoder());
  }

  /**
   * A model in memory, in the layout of GPT-2 with its usual activation (gelu_new) and epsilon
   * (1e-5). The sizes are those of the tensors.
   *
   * @param heads number of attention heads
   * @param weights tensors of one float type by their names in the transformers library without the
   *     {@code transformer.} prefix; layer norm weights and all biases may be absent, and so may
   *     {@code lm_head.weight}: the head is then the embedding
   * @throws InputException if a tensor is missing, superfluous or of the wrong shape
   */
  public static LanguageModel of(String name, int heads, Map<String, Tensor> weights) {
    return of(Model.of(name, heads, weights));
  }

  /**
   * A bigram model: the hidden row of a token is its row of {@code embedding}, and the logits are
   * its products with the rows of {@code head}; both are [vocabulary, width].
   *
   * @throws InputException if the two differ in shape or type
   */
  public static LanguageModel of(String name, Tensor embedding, Tensor head) {
    return of(Model.table(name, embedding, head));
  }

  /**
   * A decoder in memory that somebody else built: token ids {@code input_ids} I64 [batch, sequence]
   * to {@code logits} [batch, sequence, vocabulary], of free sizes, whose values carry the names of
   * the hook points that it has.
   *
   * @throws InputException if {@code hook_embed} is not read from a table of constant rows, or the
   *     logits are not a product of {@code unembed.hook_in} with a weight
   */
  public static LanguageModel of(Graph graph) {
    return of(Model.of(graph));
  }

  public Model model() {
    return model;
  }

  /** Number of token ids. */
  public int vocabulary() {
    return Math.toIntExact(decoder.embedding().dim(0));
  }

  /** Size of a hidden row. */
  public int width() {
    return Math.toIntExact(decoder.embedding().dim(1));
  }

  /** Largest number of positions. */
  public int context() {
    return decoder.context();
  }

  /** Number of blocks whose keys and values a suffix exchanges: 0 where there are none. */
  public int layers() {
    return decoder.layers();
  }

  public int heads() {
    return decoder.heads();
  }

  public int headWidth() {
    return decoder.headWidth();
  }

  /** {@code F32} or {@code F64}. */
  public DType dtype() {
    return decoder.embedding().dtype();
  }

  /** The token embedding [vocabulary, width]. */
  public Matrix embedding() {
    return Matrix.of(decoder.embedding());
  }

  /** The head [vocabulary, width]; the embedding itself where they are tied. */
  public Matrix head() {
    return Matrix.of(decoder.head());
  }

  /** What the head adds to the logits [vocabulary], or null for nothing. */
  public MemorySegment headBias() {
    return null;
  }

  public boolean tied() {
    return decoder.embedding() == decoder.head();
  }

  /**
   * Whether {@link #suffix} takes a past; otherwise it must be 0. An exported graph without inputs
   * for it cannot.
   */
  public boolean cacheable() {
    return decoder.cacheable();
  }

  public Optional<Tokenizer> tokenizer() {
    return model.tokenizer();
  }

  /**
   * The whole computation, without a cache: {@code input_ids} I64 [batch, sequence] to {@code
   * logits} [batch, sequence, vocabulary], and no other input.
   */
  public Graph whole() {
    return decoder instanceof ExportedDecoder exported ? exported.whole() : model.graph();
  }

  /**
   * The blocks by themselves, for computations that recompute only what changed; empty where Assay
   * did not build the model, or where its blocks differ in kind.
   */
  public Optional<BlockGraphs> blocks() {
    return decoder instanceof Decoder.Gpt2 g
        ? Optional.of(new BlockGraphs(g.name(), g.config(), g.weights()))
            .filter(BlockGraphs::isUniform)
        : Optional.empty();
  }

  /**
   * The body for the last {@code length} positions of {@code past + length}, all sizes fixed.
   *
   * <p>Inputs: {@code input_ids} I64 [groups * rowsPerGroup, length] and, unless {@code past} is 0,
   * {@code past.L.key} and {@code past.L.value} [groups, head, past, head width], which the rows of
   * a group share. Outputs: {@code hidden} [row, length, width], the input of the head's product;
   * {@code present.L.key} and {@code present.L.value} [row, head, length, head width] of the new
   * positions. The value {@code hook_embed} [row, length, width] is the token embedding.
   *
   * @throws IllegalArgumentException if a size is out of range
   * @throws InputException if the positions exceed the context
   */
  public Graph suffix(int groups, int rowsPerGroup, int past, int length) {
    if (groups < 1 || rowsPerGroup < 1 || past < 0 || length < 1) {
      throw new IllegalArgumentException(
          "a suffix needs groups, rows and length of 1 or more and a past of 0 or more, not "
              + groups
              + ", "
              + rowsPerGroup
              + ", "
              + length
              + " and "
              + past);
    }
    if (past + (long) length > context()) {
      throw new InputException(
          "a sequence of "
              + (past + (long) length)
              + " tokens exceeds the "
              + context()
              + " positions of the model "
              + model.name());
    }
    if (past > 0 && !cacheable()) {
      throw new IllegalArgumentException(
          "the model " + model.name() + " takes no past, so that its suffix needs a past of 0");
    }
    return decoder.suffix(groups, rowsPerGroup, past, length);
  }
}
