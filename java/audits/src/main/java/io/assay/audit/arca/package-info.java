/** ARCA: automatic auditing of language models by discrete optimisation (arXiv 2303.04381). */
package io.assay.audit.arca;
