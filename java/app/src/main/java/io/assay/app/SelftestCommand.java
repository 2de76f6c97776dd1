package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import io.assay.audit.Statement;
import io.assay.audit.arca.ArcaSelfTest;
import io.assay.audit.grok.GrokSelfTest;
import io.assay.audit.ioi.IoiSelfTest;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Computes known answers on the user's own machine. */
@Command(
    name = "selftest",
    description = "Computes known answers on this machine; status 1 if one comes out wrong.")
final class SelftestCommand implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Parameters(
      paramLabel = "METHOD",
      arity = "0..1",
      defaultValue = "all",
      description = "The method to test: arca, grok or ioi (default: all).")
  private String method;

  @Option(names = "--long", description = "Also what takes more than a minute.")
  private boolean thorough;

  @Option(
      names = "--gpt2-tokenizer",
      paramLabel = "DIR",
      description = "Folder with the released GPT-2 tokenizer.json, for what needs it.")
  private Path gpt2Tokenizer;

  @Option(
      names = "--gpt2",
      paramLabel = "DIR",
      description = "Folder with the released GPT-2 small, for what is published of it.")
  private Path gpt2;

  @Option(
      names = "--official",
      paramLabel = "DIR",
      description =
          "Folder with the published grokking runs (saved_runs of progress-measures-paper), for"
              + " what needs them.")
  private Path official;

  @Override
  public Integer call() {
    if (!List.of("all", "arca", "grok", "ioi").contains(method)) {
      throw new InputException(
          "there is no self-test of '" + method + "'; there are those of arca, grok and ioi");
    }
    Envelope envelope = new Envelope("selftest");
    List<Statement> statements = new ArrayList<>();
    try (Engine engine = common.engine()) {
      envelope.device(engine.options());
      if (List.of("all", "arca").contains(method)) {
        statements.addAll(new ArcaSelfTest(engine, thorough, gpt2Tokenizer).run());
      }
      if (List.of("all", "grok").contains(method)) {
        statements.addAll(new GrokSelfTest(engine, thorough, official).run());
      }
      if (List.of("all", "ioi").contains(method)) {
        statements.addAll(new IoiSelfTest(engine, gpt2Tokenizer, gpt2).run());
      }
    }
    envelope.spec().put("method", method).put("long", thorough);
    ArrayNode list = envelope.result().putArray("statements");
    for (String status : new String[] {"passed", "failed", "skipped"}) {
      envelope
          .metrics()
          .put(status, statements.stream().filter(s -> s.status().equals(status)).count());
    }
    for (Statement s : statements) {
      list.addObject()
          .put("id", s.id())
          .put("statement", s.statement())
          .put("expected", s.expected())
          .put("got", s.got())
          .put("bound", s.bound())
          .put("status", s.status())
          .put("reason", s.reason())
          .put("seconds", s.seconds());
      if (!common.json()) {
        common
            .out()
            .printf(
                "%-7s %-12s %s%s%n",
                s.status(), s.id(), s.statement(), s.reason().isEmpty() ? "" : ": " + s.reason());
      }
    }
    if (common.json()) {
      common.out().println(envelope.text(null));
    } else {
      common.out().println(envelope.metrics());
    }
    return statements.stream().anyMatch(Statement::failed) ? 1 : 0;
  }
}
