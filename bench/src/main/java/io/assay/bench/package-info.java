/** The questions of {@code assay bench}, and smaller parts of the engine, as JMH benchmarks. */
package io.assay.bench;
