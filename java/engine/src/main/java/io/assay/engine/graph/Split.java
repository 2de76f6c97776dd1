package io.assay.engine.graph;

import java.util.List;

/**
 * The two halves of a {@link Gradient}, for when the upstream gradient depends on the forward
 * outputs.
 *
 * @param forward the original with {@code carried} as further outputs
 * @param backward from {@code carried}, the seeds and the original inputs still needed to the
 *     gradients
 * @param carried the activations that the backward pass reads
 */
public record Split(Graph forward, Graph backward, List<String> carried) {}
