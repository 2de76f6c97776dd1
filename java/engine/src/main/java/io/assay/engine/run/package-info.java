/** Runs that are never lost: their units of work, kept in a ledger, and what goes on from there. */
package io.assay.engine.run;
