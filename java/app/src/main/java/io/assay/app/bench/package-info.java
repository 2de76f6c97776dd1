/**
 * Questions that are timed: each is asked of Assay and of what people would use instead, and its
 * answer is checked before. {@code assay bench} prints them as rows, the module {@code bench}
 * offers them to JMH.
 */
package io.assay.app.bench;
