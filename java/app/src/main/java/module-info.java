/** The command line. */
module io.assay.app {
  requires com.fasterxml.jackson.databind;
  requires info.picocli;
  requires io.assay.audits;
  requires java.management;
  requires me.tongfei.progressbar;

  // Signals, as jline handles them.
  requires jdk.unsupported;
  requires org.jline.terminal;

  // The views of a report become JSON.
  opens io.assay.app.report to
      com.fasterxml.jackson.databind;

  // Fields with annotations are filled by reflection, and so are units read from a ledger.
  opens io.assay.app to
      com.fasterxml.jackson.databind,
      info.picocli;
}
