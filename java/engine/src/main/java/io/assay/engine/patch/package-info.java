/** Interventions on activations: plans, the runs that carry them out, and the maps made of them. */
package io.assay.engine.patch;
