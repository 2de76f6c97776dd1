/**
 * Indirect object identification: the task, its prompts, and tests of the circuit behind it (arXiv
 * 2211.00593).
 */
package io.assay.audit.ioi;
