/** The audits, a package for each method. */
module io.assay.audits {
  requires transitive io.assay.engine;
  requires com.fasterxml.jackson.databind;

  exports io.assay.audit;
  exports io.assay.audit.arca;
  exports io.assay.audit.grok;
  exports io.assay.audit.ioi;
}
