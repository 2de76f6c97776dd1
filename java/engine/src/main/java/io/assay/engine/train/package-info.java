/** Trains models: gradients derived from their graphs, AdamW, schedules, checkpoints. */
package io.assay.engine.train;
