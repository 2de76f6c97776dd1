package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.Model;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Runs a model on tensors of a file: the door for scripts that want numbers. */
@Command(
    name = "run",
    description = "Runs a model on the tensors of a file and writes its outputs to another.",
    footer = {
      "",
      "A NAME is an input, a hook (`assay models hooks MODEL`), a weight or any value of the graph",
      "(`assay models info MODEL --values`). A TENSOR is one of the input file. Its floats become",
      "those of the run: exactly from f32 to f64, rounded from f64 to f32. Ids count from 0,",
      "negative ones from the end of the table that they are looked up in.",
      "",
      "Gradients are those of the sum, over all --gradient-of, of sum(VALUE * TENSOR); the output",
      "file holds them as grad.NAME. Behind a patch they are those of the patched run.",
      "",
      "  assay models run MODEL --inputs in.safetensors --out out.safetensors \\",
      "    --expose blocks.0.hook_resid_post --gradient-of logits=seed --wrt blocks.0.attn.hook_z",
      "  assay models run MODEL --inputs in.safetensors --out out.safetensors \\",
      "    --patch blocks.0.attn.hook_z=other_z"
    })
final class ModelsRun implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Mixin private ModelArgument argument;

  @Option(
      names = "--inputs",
      required = true,
      paramLabel = "FILE",
      description = "Safetensors file with a tensor for each input, by its name.")
  private Path inputs;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "FILE",
      description = "Safetensors file to write.")
  private Path out;

  @Option(
      names = "--expose",
      paramLabel = "NAME",
      description = "Write this value too; may be given many times.")
  private List<String> exposed = new ArrayList<>();

  @Option(
      names = "--patch",
      paramLabel = "VALUE=TENSOR",
      description = "Compute what follows with TENSOR in place of VALUE; may be given many times.")
  private List<String> patches = new ArrayList<>();

  @Option(
      names = "--gradient-of",
      paramLabel = "VALUE=TENSOR",
      description = "Differentiate sum(VALUE * TENSOR); several are added up.")
  private List<String> gradientsOf = new ArrayList<>();

  @Option(
      names = "--wrt",
      paramLabel = "NAME",
      description = "Write the gradient to this value; may be given many times.")
  private List<String> wrt = new ArrayList<>();

  @Option(
      names = "--dtype",
      paramLabel = "f32|f64",
      description =
          "Float type to compute in (default: f64 for an ONNX file of float64, else f32).")
  private DType dtype;

  @Override
  public Integer call() {
    if (gradientsOf.isEmpty() != wrt.isEmpty()) {
      throw new InputException(
          "a gradient needs both --gradient-of VALUE=TENSOR and --wrt NAME; only one was given");
    }
    Envelope envelope = new Envelope("models.run");
    Map<String, Tensor> given = Safetensors.read(inputs).tensors();
    Map<String, Tensor> results;
    try (Engine engine = common.engine();
        Model model = argument.load(dtype)) {
      envelope.device(engine.options());
      envelope.model(model);
      results = new ModelRun(engine, model, given).run(exposed, patches, gradientsOf, wrt);
    }
    Safetensors.write(out, results, Map.of());
    List<String> warnings = notFinite(results);
    warnings.forEach(common::warn);
    if (common.json()) {
      envelope.spec().put("model", argument.toString()).put("inputs", inputs.toString());
      ObjectNode tensors = envelope.result().putObject("tensors");
      results.forEach((name, tensor) -> tensors.put(name, tensor.toString()));
      envelope.result().put("out", out.toString());
      warnings.forEach(envelope.result().putArray("warnings")::add);
      common.out().println(envelope.text(null));
    } else {
      results.forEach((name, tensor) -> common.say("%-40s %s".formatted(name, tensor)));
      common.say("written to " + out);
    }
    return 0;
  }

  /** A sentence for each result that holds NaN or infinities. */
  private static List<String> notFinite(Map<String, Tensor> results) {
    List<String> warnings = new ArrayList<>();
    results.forEach(
        (name, tensor) -> {
          long nan = 0;
          long infinite = 0;
          for (long i = 0; tensor.dtype().isFloat() && i < tensor.elements(); i++) {
            double x = tensor.get(i);
            nan += Double.isNaN(x) ? 1 : 0;
            infinite += Double.isInfinite(x) ? 1 : 0;
          }
          if (nan + infinite > 0) {
            warnings.add(
                "%s holds %d NaN and %d infinities among %d numbers"
                    .formatted(name, nan, infinite, tensor.elements()));
          }
        });
    return warnings;
  }
}
