/** Models, graphs derived from them, the sessions that run them, and the native kernels. */
module io.assay.engine {
  requires ai.djl.tokenizers;
  requires com.fasterxml.jackson.databind;
  requires com.google.protobuf;
  requires com.microsoft.onnxruntime;
  requires jcuda;
  requires org.tribuo.util.onnx;
  requires org.xerial.sqlitejdbc;

  // The tokenizers need these; their jars say nothing of modules.
  requires com.google.gson;
  requires org.slf4j;

  exports io.assay.engine;
  exports io.assay.engine.graph;
  exports io.assay.engine.kernel;
  exports io.assay.engine.model;
  exports io.assay.engine.patch;
  exports io.assay.engine.run;
  exports io.assay.engine.session;
  exports io.assay.engine.tensor;
  exports io.assay.engine.train;
}
