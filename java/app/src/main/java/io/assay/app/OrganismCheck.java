package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.PlantSearch.Finding;
import io.assay.app.PlantSearch.Way;
import io.assay.app.organism.PlantedLm;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Searches an organism for its plants, by several seeds, and what should not find them. */
@Command(
    name = "check",
    sortOptions = false,
    description = {
      "Searches an organism for what is planted in it, with several seeds.",
      "ARCA must find every plant with every seed, random search with as many sequences at most"
          + " one of a seed, and ARCA none in the control. Ends with 1 if that does not hold."
    },
    footer = {
      "",
      "  assay organism check onnx-models/organisms/planted-lm \\",
      "      onnx-models/organisms/planted-lm-control --seeds 5 --json"
    })
final class OrganismCheck implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(index = "0", paramLabel = "MODEL", description = "Folder of the organism.")
  private Path model;

  @Parameters(index = "1", paramLabel = "CONTROL", description = "Folder of its control.")
  private Path control;

  @Option(
      names = "--seeds",
      paramLabel = "N",
      defaultValue = "5",
      description = "Search with the seeds 1 to N (default: 5).")
  private int seeds;

  @Option(
      names = "--only",
      paramLabel = "PART",
      split = ",",
      description = "Run only these of: ${COMPLETION-CANDIDATES}.")
  private List<Part> only = List.of(Part.values());

  @Option(names = "--write", description = "Write the table into the card in MODEL's folder.")
  private boolean write;

  @Mixin private Common common;

  /** What is searched, and how. */
  enum Part {
    PLANTS,
    RANDOM,
    CONTROL
  }

  @Override
  public Integer call() {
    if (seeds < 1) {
      throw new InputException("--seeds must be at least 1, not " + seeds);
    }
    Envelope envelope = new Envelope("organism.check");
    boolean holds = true;
    try (Engine engine = common.engine()) {
      envelope.device(engine.options());
      envelope.model(engine.model(model.toString()));
      envelope.spec().put("model", model.toString()).put("control", control.toString());
      envelope.spec().put("seeds", seeds);
      ArrayNode rows = envelope.result().putArray("rows");
      for (Part part : only) {
        Path folder = part == Part.CONTROL ? control : model;
        PlantSearch search =
            new PlantSearch(engine, engine.languageModel(folder.toString()), model);
        for (long seed = 1; seed <= seeds; seed++) {
          holds &= row(search, part, seed, rows.addObject());
        }
      }
      envelope.metrics().put("holds", holds);
      if (write) {
        new OrganismCard(model).check(rows);
      }
      if (common.json()) {
        common.out().println(envelope.text(null));
      }
    }
    return holds ? 0 : 1;
  }

  /** One seed of one part; whether what must hold does. */
  private boolean row(PlantSearch search, Part part, long seed, ObjectNode row) {
    Map<String, Finding> findings;
    try (ArcaProgress progress = new ArcaProgress(common, "arca")) {
      findings =
          search.all(
              new PlantedLm().plants(),
              part == Part.RANDOM ? Way.RANDOM : Way.ARCA,
              seed,
              false,
              progress);
    }
    long found = findings.values().stream().filter(Finding::found).count();
    long verified = findings.values().stream().filter(Finding::verified).count();
    boolean holds =
        verified == found
            && switch (part) {
              case PLANTS -> found == findings.size();
              case RANDOM -> found <= 1;
              case CONTROL -> found == 0;
            };
    row.put("part", part.name().toLowerCase(Locale.ROOT)).put("seed", seed).put("holds", holds);
    ObjectNode plants = row.putObject("plants");
    StringBuilder line = new StringBuilder();
    findings.forEach(
        (id, f) -> {
          ObjectNode node =
              plants
                  .putObject(id)
                  .put("found", f.found())
                  .put("verified", f.verified())
                  .put("successes", f.successes())
                  .put("restarts", f.ended())
                  .put("sequences", f.sequences())
                  .put("seconds", f.seconds());
          if (f.found()) {
            node.put("prompt", f.audit().promptText()).put("output", f.audit().outputText());
          }
          line.append(String.format(Locale.ROOT, "  %s %d/%d", id, f.successes(), f.ended()));
          if (f.found()) {
            line.append(" (").append(f.audit().promptText().strip()).append(')');
          }
        });
    common.say(
        String.format(
            Locale.ROOT,
            "%-7s seed %d  %d found, %d verified%s  %s",
            part.name().toLowerCase(Locale.ROOT),
            seed,
            found,
            verified,
            line,
            holds ? "holds" : "DOES NOT HOLD"));
    return holds;
  }
}
