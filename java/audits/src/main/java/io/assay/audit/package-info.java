/** What the methods have in common: known answers that users can compute. */
package io.assay.audit;
