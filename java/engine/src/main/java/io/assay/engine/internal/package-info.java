/** What several parts of the engine need and its users do not; not exported. */
package io.assay.engine.internal;
