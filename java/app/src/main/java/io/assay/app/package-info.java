/** The command line. */
package io.assay.app;
