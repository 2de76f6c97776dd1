/** Models that Assay grows itself, with behaviours planted in them whose truth is known. */
package io.assay.app.organism;
