/** Reports: one HTML file per run, made of a title, key numbers, provenance and views. */
package io.assay.app.report;
