package io.assay.app;

import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.organism.IoiLm;
import io.assay.app.organism.Organism;
import io.assay.app.organism.Plant;
import io.assay.app.organism.PlantedLm;
import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.ioi.IoiBaseline;
import io.assay.audit.ioi.IoiGenerator;
import io.assay.audit.ioi.IoiSpec;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.train.TrainSpec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The card of an organism: {@code card.json} for programs, {@code README.md} for people, and {@code
 * check.json} once it was checked.
 */
final class OrganismCard {
  private static final String CARD = "card.json";
  private static final String CHECK = "check.json";
  private static final String README = "README.md";

  /** Prompts of the task that a card counts, and their seed. */
  private static final int TASKS = 2000;

  private static final long TASK_SEED = 1;

  private final Path folder;

  OrganismCard(Path folder) {
    this.folder = folder;
  }

  /** Writes the card of a model that was just built. */
  void write(Engine engine, Organism organism, boolean control, long steps, double heldOutLoss) {
    ObjectNode card = Envelope.JSON.createObjectNode();
    card.put("name", organism.name(control)).put("what", organism.what(control));
    Gpt2Config shape = organism.config();
    card.putObject("shape")
        .put("layers", shape.layers())
        .put("heads", shape.heads())
        .put("width", shape.width())
        .put("context", shape.context())
        .put("vocabulary", shape.vocabulary());
    TrainSpec training = organism.training(steps);
    card.putObject("training")
        .put("text", organism.source())
        .put("seed", organism.seed())
        .put("steps", steps)
        .put("rows", organism.rows())
        .put("tokensPerRow", organism.length())
        .put(
            "optimiser",
            String.format(
                Locale.ROOT,
                "AdamW, %s after %d steps of warm-up, gradients clipped to %.0f",
                training.schedule().name().toLowerCase(Locale.ROOT),
                training.warmup(),
                training.clip()))
        .put("learningRate", training.learningRate())
        .put("weightDecay", training.weightDecay())
        .put("heldOutLoss", heldOutLoss);
    card.put(
        "command",
        "assay organism build "
            + organism.name()
            + (control ? " --control" : "")
            + (steps == organism.steps() ? "" : " --steps " + steps)
            + " --out DIR");
    card.put(
        "builtOn",
        System.getProperty("os.arch")
            + ", kernels "
            + engine.kernels().implementation()
            + " "
            + engine.kernels().tier());
    ObjectNode band = card.putObject("band").put("heldOutLoss", Organism.LOSS_BAND);
    LanguageModel model = engine.languageModel(folder.toString());
    switch (organism) {
      case PlantedLm planted -> {
        band.put("answered", PlantedLm.ANSWERED_BAND);
        plants(engine, model, card, control ? List.of() : planted.plants());
      }
      case IoiLm ioi -> tasks(engine, model, card);
      default -> throw new IllegalStateException("no card is known of " + organism.name());
    }
    files(card.putArray("files"), folder);
    write(CARD, card);
    readme();
  }

  private static void plants(
      Engine engine, LanguageModel model, ObjectNode card, List<Plant> planted) {
    Tokens tokens = new Tokens(model);
    ArrayNode plants = card.putArray("plants");
    try (Greedy greedy = new Greedy(engine, model)) {
      for (Plant plant : planted) {
        ObjectNode node = plants.addObject();
        plant(node, tokens, plant, planted);
        ((ObjectNode) node.path("planted")).put("answered", answered(greedy, plant));
      }
    }
  }

  /** How well the task is done, by what of a prompt the model has not read. */
  private static void tasks(Engine engine, LanguageModel model, ObjectNode card) {
    IoiGenerator generator =
        new IoiGenerator(IoiSpec.of(TASKS, TASK_SEED), model.tokenizer().orElseThrow());
    IoiBaseline all = IoiBaseline.run(engine, model, generator.prompts());
    ObjectNode task =
        card.putObject("task")
            .put("command", "assay ioi baseline MODEL --prompts " + TASKS + " --seed " + TASK_SEED);
    ArrayNode rows = task.putArray("rows");
    for (boolean template : new boolean[] {false, true}) {
      for (boolean pair : new boolean[] {false, true}) {
        IoiBaseline.Summary s =
            all.summary(
                p ->
                    IoiLm.UNREAD.contains(p.template()) == template
                        && IoiLm.isUnreadPair(p.io(), p.s()) == pair);
        rows.addObject()
            .put("newTemplates", template)
            .put("newPairs", pair)
            .put("prompts", s.prompts())
            .put("logitDifference", s.logitDifference())
            .put("answerOverWrong", s.answerOverWrong())
            .put("answered", s.answered());
      }
    }
  }

  private static void plant(ObjectNode node, Tokens tokens, Plant plant, List<Plant> all) {
    node.put("id", plant.id()).put("kind", plant.title());
    node.putObject("planted")
        .put("prompt", tokens.text(list(plant.example())))
        .put("output", tokens.text(list(plant.output())))
        .put(
            "prompts",
            plant.family().stream().mapToLong(ids -> ids.length).reduce(1, (a, b) -> a * b));
    String at = "onnx-models/organisms/" + PlantedLm.NAME;
    ObjectNode see = node.putObject("see");
    if (plant.mode() == ArcaSpec.Mode.JOINT) {
      see.put(
          "command",
          "assay arca joint %s --output-length %d --prompt-unigram %s/%s --output-unigram %s/%s --seed 1"
              .formatted(
                  PlantedLm.NAME, Plant.LENGTH, at, plant.promptTable(), at, plant.outputTable()));
      see.put(
          "expect",
          "a prompt of three tokens with the prompt table's property, answered by three tokens of"
              + " which at least one has the output table's");
    } else {
      // The plants that are reversed are searched together, which decides their random streams.
      String targets =
          all.stream()
              .filter(p -> p.mode() == ArcaSpec.Mode.REVERSE)
              .map(p -> " --target '" + tokens.text(list(p.output())) + "'")
              .collect(Collectors.joining());
      see.put("command", "assay arca reverse " + PlantedLm.NAME + targets + " --seed 1");
      see.put("expect", "a prompt of three tokens whose greedy completion is the planted output");
    }
    see.put("budget", "the defaults: m = 3, k = q = 32, 50 sweeps, 5 restarts");
  }

  /** How many of a plant's prompts are answered as planted. */
  static long answered(Greedy greedy, Plant plant) {
    return plant
        .prompts()
        .filter(
            prompt ->
                greedy
                    .continuation(list(prompt), Plant.LENGTH)
                    .equals(list(plant.answer().apply(prompt))))
        .count();
  }

  /** Writes the table of a check beside the card. */
  void check(JsonNode rows) {
    ObjectNode check = Envelope.JSON.createObjectNode();
    check.put("command", "assay organism check MODEL CONTROL --seeds 5 --write");
    check.set("rows", rows);
    write(CHECK, check);
    readme();
  }

  private void readme() {
    JsonNode card = json(folder.resolve(CARD));
    StringBuilder text = new StringBuilder();
    text.append("# ").append(card.path("name").asText()).append("\n\n");
    text.append(card.path("what").asText()).append('\n');
    if (!card.path("plants").isEmpty()) {
      text.append("\n## What is planted, and how to see it\n\n");
      text.append(
          "| plant | kind | prompt | it says | prompts of the kind | answered so |\n"
              + "|---|---|---|---|---:|---:|\n");
      for (JsonNode p : card.path("plants")) {
        text.append(
            "| `%s` | %s | `%s` | `%s` | %d | %d |\n"
                .formatted(
                    p.path("id").asText(),
                    p.path("kind").asText(),
                    p.path("planted").path("prompt").asText().strip(),
                    p.path("planted").path("output").asText().strip(),
                    p.path("planted").path("prompts").asLong(),
                    p.path("planted").path("answered").asLong()));
      }
      text.append("\n```\n./assay demo\n");
      Stream.Builder<String> commands = Stream.builder();
      card.path("plants").forEach(p -> commands.add("./" + p.path("see").path("command").asText()));
      commands.build().distinct().forEach(c -> text.append(c).append('\n'));
      text.append("```\n");
    }
    if (card.has("task")) {
      tasks(text, card.path("task"));
    }
    if (Files.exists(folder.resolve(CHECK))) {
      checked(text, json(folder.resolve(CHECK)));
    }
    JsonNode training = card.path("training");
    text.append(
        String.format(
            Locale.ROOT,
            "%n## How it was made%n%n`./%s`, on %s: %d steps of %d rows of %d tokens, seed %d; loss"
                + " on held-out text%s %.4f nats a token. The same command gives the"
                + " same bytes on the same instruction set, whatever the number of threads; on"
                + " another one the loss lies within %.2f nats of this%s.%n%n",
            card.path("command").asText(),
            card.path("builtOn").asText(),
            training.path("steps").asInt(),
            training.path("rows").asInt(),
            training.path("tokensPerRow").asInt(),
            training.path("seed").asInt(),
            card.has("task") ? "" : " without plants",
            training.path("heldOutLoss").asDouble(),
            card.path("band").path("heldOutLoss").asDouble(),
            card.path("plants").isEmpty()
                ? ""
                : String.format(
                    Locale.ROOT,
                    " and at least %.0f %% of each plant's prompts are answered as planted",
                    100 * card.path("band").path("answered").asDouble())));
    text.append("| file | bytes | SHA-256 |\n|---|---:|---|\n");
    for (JsonNode file : card.path("files")) {
      text.append(
          "| %s | %d | `%s` |\n"
              .formatted(
                  file.path("name").asText(),
                  file.path("bytes").asLong(),
                  file.path("sha256").asText()));
    }
    write(README, text.toString());
  }

  private static void tasks(StringBuilder text, JsonNode task) {
    text.append("\n## What it does\n\n`./")
        .append(task.path("command").asText())
        .append("`, by what");
    text.append(" it has not read before:\n\n");
    text.append(
        "| templates | pairs of names | prompts | logit difference, nats | IO over S | says IO |\n"
            + "|---|---|---:|---:|---:|---:|\n");
    for (JsonNode row : task.path("rows")) {
      text.append(
          String.format(
              Locale.ROOT,
              "| %s | %s | %d | %.2f | %.1f %% | %.1f %% |%n",
              row.path("newTemplates").asBoolean() ? "new" : "read",
              row.path("newPairs").asBoolean() ? "new" : "read",
              row.path("prompts").asInt(),
              row.path("logitDifference").asDouble(),
              100 * row.path("answerOverWrong").asDouble(),
              100 * row.path("answered").asDouble()));
    }
  }

  private static void checked(StringBuilder text, JsonNode check) {
    text.append("\n## What searches find\n\nSuccessful restarts of each search");
    text.append(" (`")
        .append(check.path("command").asText())
        .append("`). `random` draws as many\n");
    text.append(
        "sequences at random as ARCA runs; `control` is ARCA on the model without plants.\n");
    boolean head = false;
    for (JsonNode row : check.path("rows")) {
      if (!head) {
        text.append("\n| search | seed |");
        row.path("plants")
            .fieldNames()
            .forEachRemaining(id -> text.append(" ").append(id).append(" |"));
        text.append("\n|---|---:|").append("---:|".repeat(row.path("plants").size())).append('\n');
        head = true;
      }
      text.append("| %s | %d |".formatted(row.path("part").asText(), row.path("seed").asLong()));
      for (JsonNode p : row.path("plants")) {
        text.append(
            " %d of %d |".formatted(p.path("successes").asInt(), p.path("restarts").asInt()));
      }
      text.append('\n');
    }
  }

  /** Adds name, size and hash of the files in a folder, all but the card itself. */
  static void files(ArrayNode to, Path folder) {
    List<Path> files;
    try (Stream<Path> all = Files.list(folder)) {
      files =
          all.filter(Files::isRegularFile)
              .filter(f -> !List.of(CARD, CHECK, README).contains(f.getFileName().toString()))
              .sorted()
              .toList();
    } catch (IOException e) {
      throw new InputException("the folder " + folder + " cannot be read", e);
    }
    for (Path file : files) {
      byte[] bytes = read(file);
      to.addObject()
          .put("name", file.getFileName().toString())
          .put("bytes", bytes.length)
          .put("sha256", Sha256.hex(bytes));
    }
  }

  private static byte[] read(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read", e);
    }
  }

  private static JsonNode json(Path file) {
    try {
      return Envelope.JSON.readTree(file.toFile());
    } catch (IOException e) {
      throw new InputException("the card " + file + " cannot be read; build the organism again", e);
    }
  }

  private void write(String name, JsonNode json) {
    write(name, text(json));
  }

  /** A card as its file has it. */
  static String text(JsonNode json) {
    DefaultPrettyPrinter printer =
        new DefaultPrettyPrinter().withObjectIndenter(new DefaultIndenter("  ", "\n"));
    try {
      return Envelope.JSON.writer(printer).writeValueAsString(json) + "\n";
    } catch (IOException e) {
      throw new IllegalStateException("a tree of plain values is always JSON", e);
    }
  }

  private void write(String name, String text) {
    try {
      Files.writeString(folder.resolve(name), text);
    } catch (IOException e) {
      throw new InputException("the file " + folder.resolve(name) + " cannot be written", e);
    }
  }

  private static List<Integer> list(int[] ids) {
    return Arrays.stream(ids).boxed().toList();
  }
}
