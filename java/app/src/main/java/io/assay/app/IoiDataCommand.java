package io.assay.app;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.ioi.IoiGenerator;
import io.assay.audit.ioi.IoiPrompt;
import io.assay.audit.ioi.IoiSpec;
import io.assay.audit.ioi.TaskFiles;
import io.assay.audit.ioi.TextPair;
import io.assay.engine.InputException;
import io.assay.engine.model.ModelStore;
import io.assay.engine.model.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Draws prompts of the task. */
@Command(
    name = "data",
    sortOptions = false,
    description = {
      "Draws prompts of the task, each with a corrupted partner whose three names are others.",
      "Needs a tokenizer only. The same options and tokenizer give the same prompts."
    },
    footer = {
      "",
      "  assay ioi data gpt2 --prompts 500 --out pairs.jsonl",
      "  assay patch sweep gpt2 --pairs pairs.jsonl --direction denoise",
      "",
      "A line of the file holds clean, corrupt, answer and wrong as texts, the tokens' positions",
      "IO, S1, S1+1, S2 and END, counted from 0 without a token for the beginning of the text,",
      "and how the prompt was drawn."
    })
final class IoiDataCommand implements Callable<Integer> {
  /** Prompts that are shown on a terminal. */
  private static final int SHOWN = 20;

  @Mixin private Help help;

  @Parameters(
      paramLabel = "MODEL",
      description =
          "Folder of a model or of a tokenizer.json, an .onnx file, or a name that `assay models"
              + " list` shows.")
  private String model;

  @Mixin private IoiPrompts prompts;

  @Option(
      names = "--from",
      paramLabel = "FILE",
      description =
          "Read prompts that others published instead of drawing them: of the released code (JSON),"
              + " AutoCircuit (JSON) or EAP-IG (CSV).")
  private Path from;

  @Option(
      names = "--out",
      paramLabel = "FILE.jsonl",
      description = "Write the prompts as JSON Lines, as `assay patch` reads them.")
  private Path out;

  @Mixin private Common common;

  @Override
  public Integer call() {
    if (from != null) {
      common.refuseIdle(
          "--from", "leave out --from, so that prompts are drawn", IoiPrompts.DRAWING);
      return convert();
    }
    Envelope envelope = new Envelope("ioi.data");
    IoiSpec spec = prompts.spec(false);
    IoiGenerator generator = new IoiGenerator(spec, tokenizer(model));
    generator.warnings().forEach(common::warn);
    List<IoiPrompt> drawn = generator.prompts();
    if (out != null) {
      write(drawn.stream().map(IoiDataCommand::tree).toList());
    }
    if (common.json()) {
      envelope.device(common.engineOptions());
      envelope.spec().put("model", model);
      IoiPrompts.describe(envelope.spec(), spec, generator.words());
      envelope.metrics().put("prompts", drawn.size());
      ArrayNode list = envelope.result().putArray("prompts");
      drawn.forEach(p -> list.add(tree(p)));
      common.out().println(envelope.text(null));
    } else if (out == null) {
      table(drawn);
    } else {
      common.say(drawn.size() + " prompts are written to " + out);
    }
    return 0;
  }

  /** Brings the prompts of others into the form that is read elsewhere. */
  private int convert() {
    Tokenizer tokenizer = tokenizer(model);
    List<ObjectNode> pairs =
        TaskFiles.read(from, prompts.seed()).stream()
            .map(pair -> tree(pair.check(tokenizer)))
            .toList();
    if (out != null) {
      write(pairs);
    }
    if (common.json()) {
      Envelope envelope = new Envelope("ioi.data");
      envelope.device(common.engineOptions());
      envelope.spec().put("model", model).put("from", from.toString());
      envelope.spec().put("seed", prompts.seed());
      envelope.metrics().put("prompts", pairs.size());
      envelope.result().putArray("prompts").addAll(pairs);
      common.out().println(envelope.text(null));
    } else if (out == null) {
      for (ObjectNode pair : pairs.subList(0, Math.min(SHOWN, pairs.size()))) {
        common
            .out()
            .printf(
                "%s ->%s%n%s%n",
                pair.path("clean").asText(),
                pair.path("answer").asText(),
                pair.path("corrupt").asText());
      }
      more(pairs.size());
    } else {
      common.say(pairs.size() + " prompts are written to " + out);
    }
    return 0;
  }

  private static ObjectNode tree(TextPair pair) {
    ObjectNode node = Envelope.JSON.createObjectNode();
    node.put("clean", pair.clean()).put("corrupt", pair.corrupt());
    node.put("answer", pair.answer()).put("wrong", pair.wrong());
    if (!pair.positions().isEmpty()) {
      node.set("positions", Envelope.JSON.valueToTree(pair.positions()));
    }
    return node;
  }

  /** The tokenizer of a model or a folder. */
  static Tokenizer tokenizer(String model) {
    Path folder = Path.of(model);
    if (Files.isDirectory(folder)) {
      return Tokenizer.read(folder);
    }
    Path found = ModelStore.ofUser().find(model);
    return Tokenizer.read(Files.isDirectory(found) ? found : found.toAbsolutePath().getParent());
  }

  /** A prompt as a line of a file of pairs. */
  static ObjectNode tree(IoiPrompt p) {
    ObjectNode node = Envelope.JSON.createObjectNode();
    node.put("clean", p.text()).put("corrupt", p.corrupt());
    node.put("answer", " " + p.io()).put("wrong", " " + p.s());
    node.set("positions", Envelope.JSON.valueToTree(p.positions().byName()));
    node.put("template", p.template()).put("form", p.form().name());
    node.put("io", p.io()).put("s", p.s());
    node.set("abc", Envelope.JSON.valueToTree(p.abc()));
    node.put("place", p.place()).put("object", p.object());
    ObjectNode tokens = node.putObject("tokens");
    tokens.set("clean", Envelope.JSON.valueToTree(p.ids()));
    tokens.set("corrupt", Envelope.JSON.valueToTree(p.corruptIds()));
    tokens.put("answer", p.answer()).put("wrong", p.wrong());
    return node;
  }

  private void write(List<ObjectNode> pairs) {
    StringBuilder lines = new StringBuilder();
    try {
      for (ObjectNode pair : pairs) {
        lines.append(Envelope.JSON.writeValueAsString(pair)).append('\n');
      }
      Files.writeString(out, lines);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a tree of plain values is always JSON", e);
    } catch (IOException e) {
      throw new InputException("the file " + out + " cannot be written; choose another --out", e);
    }
  }

  private void table(List<IoiPrompt> drawn) {
    common.out().println("template  IO  S1  S2  END  prompt -> answer");
    for (IoiPrompt p : drawn.subList(0, Math.min(SHOWN, drawn.size()))) {
      common
          .out()
          .printf(
              "%2d %s   %2d  %2d  %2d   %2d  %s -> %s%n%s%s%n",
              p.template(),
              p.form(),
              p.positions().io(),
              p.positions().s1(),
              p.positions().s2(),
              p.positions().end(),
              p.text(),
              p.io(),
              " ".repeat(28),
              p.corrupt());
    }
    more(drawn.size());
  }

  private void more(int count) {
    if (count > SHOWN) {
      common.out().printf("and %d more; --out FILE.jsonl writes all%n", count - SHOWN);
    }
  }
}
