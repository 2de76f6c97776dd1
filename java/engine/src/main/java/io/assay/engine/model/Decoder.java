package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.Tensor;

/** What a {@link LanguageModel} needs to know of its model. */
interface Decoder {
  /** The token embedding [vocabulary, width]. */
  Tensor embedding();

  /** The head [vocabulary, width]; the same object as the embedding where they are tied. */
  Tensor head();

  int context();

  /** Whether {@link #suffix} takes a past. */
  default boolean cacheable() {
    return true;
  }

  int layers();

  int heads();

  int headWidth();

  /** See {@link LanguageModel#suffix}; the sizes are in range. */
  Graph suffix(int groups, int rowsPerGroup, int past, int length);

  /** A GPT-2 that Assay builds. */
  record Gpt2(String name, Gpt2Config config, Gpt2Weights weights) implements Decoder {
    @Override
    public Tensor embedding() {
      return weights.get("wte.weight");
    }

    @Override
    public Tensor head() {
      return config.tied() ? embedding() : weights.get(Gpt2Weights.HEAD);
    }

    @Override
    public int context() {
      return config.context();
    }

    @Override
    public int layers() {
      return config.layers();
    }

    @Override
    public int heads() {
      return config.heads();
    }

    @Override
    public int headWidth() {
      return config.headWidth();
    }

    @Override
    public Graph suffix(int groups, int rowsPerGroup, int past, int length) {
      return Gpt2Graph.suffix(name, config, weights, groups, rowsPerGroup, past, length);
    }
  }

  /** A bigram model: no blocks, hence neither positions nor keys and values. */
  record Table(String name, Tensor embedding, Tensor head) implements Decoder {
    @Override
    public int context() {
      return Integer.MAX_VALUE;
    }

    @Override
    public int layers() {
      return 0;
    }

    @Override
    public int heads() {
      return 0;
    }

    @Override
    public int headWidth() {
      return 0;
    }

    @Override
    public Graph suffix(int groups, int rowsPerGroup, int past, int length) {
      return TableGraph.suffix(this, (long) groups * rowsPerGroup, length);
    }
  }
}
