package io.assay.engine.patch;

/**
 * Scores of all edges: the predicted change of the metric when the edge alone carries the source
 * prompt's value.
 *
 * @param base the metric of both prompts, by pair
 * @param values [source, destination], mean over the pairs; those of no edge mean nothing
 * @param cancelled whether it ended early; the values are then of no use
 */
public record EdgeMap(Edges edges, Baselines base, double[][] values, boolean cancelled) {}
