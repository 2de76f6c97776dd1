/**
 * Grokking: a one-layer transformer that learns addition modulo p, taken apart and measured while
 * it learns (arXiv 2301.05217).
 */
package io.assay.audit.grok;
