package io.assay.audit.grok;

import java.util.List;
import java.util.Map;

/**
 * The progress measures that need only weights (specs/grokking.md 2.4).
 *
 * @param embedding [p] norms of the rows of F W_E^T
 * @param neuronLogits [p] norms of the rows of F W_L, W_L = W_U^T W_out
 * @param giniEmbedding Gini coefficient of {@code embedding}
 * @param giniNeuronLogits of {@code neuronLogits}
 * @param giniEmbeddingPairs of the norms of cosine and sine together, without the constant
 * @param giniNeuronLogitsPairs the same of W_L
 * @param sumOfSquares of each tensor, by name
 */
public record WeightMeasures(
    double[] embedding,
    double[] neuronLogits,
    double giniEmbedding,
    double giniNeuronLogits,
    double giniEmbeddingPairs,
    double giniNeuronLogitsPairs,
    Map<String, Double> sumOfSquares) {

  static WeightMeasures of(Network network) {
    Fourier fourier = new Fourier(network.p());
    double[][] columns = network.matrix(GrokShape.EMBEDDING);
    double[][] tokens = new double[network.p()][network.width()];
    for (int t = 0; t < tokens.length; t++) {
      for (int d = 0; d < network.width(); d++) {
        tokens[t][d] = columns[d][t];
      }
    }
    return of(network, fourier.norms(tokens), fourier.norms(network.neuronLogits()));
  }

  /** Of the two spectra. */
  static WeightMeasures of(Network network, double[] embedding, double[] neuronLogits) {
    return new WeightMeasures(
        embedding,
        neuronLogits,
        Fourier.gini(embedding),
        Fourier.gini(neuronLogits),
        Fourier.gini(Fourier.pairs(embedding)),
        Fourier.gini(Fourier.pairs(neuronLogits)),
        network.sumOfSquares());
  }

  /** Over all parameters. */
  public double sumSquares() {
    return sumOfSquares.values().stream().mapToDouble(Double::doubleValue).sum();
  }

  /** The key frequencies by the rule of W_L. */
  public Keys keys() {
    return Keys.of(pairs(), giniNeuronLogits, Keys.OF_WEIGHTS);
  }

  /** Those that the user names. */
  Keys keys(List<Integer> given) {
    return Keys.given(given, (neuronLogits.length - 1) / 2, giniNeuronLogits);
  }

  private double[] pairs() {
    return Fourier.pairs(neuronLogits);
  }
}
