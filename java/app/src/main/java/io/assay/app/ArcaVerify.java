package io.assay.app;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.arca.OfficialResults;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Decodes found prompts again, greedily and without a cache, and compares. */
@Command(
    name = "verify",
    sortOptions = false,
    description = {
      "Lets a model continue found prompts, and checks that it says what a search reported.",
      "It decodes greedily and without any cache. Status 1 if one prompt does not hold."
    },
    footer = {
      "",
      "  assay arca reverse planted-lm --target ' open every gate' --json > found.json",
      "  assay arca verify planted-lm --found found.json",
      "  assay arca verify MODEL --official senators.jsonl --json",
      "  assay arca verify planted-lm --prompt ' heron anvil saffron' --target ' open every gate'",
      "  assay arca verify MODEL --prompt-ids 5,9,2 --target-ids 12,7"
    })
final class ArcaVerify implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
  private Path path;

  @Option(
      names = "--found",
      paramLabel = "FILE",
      description = "JSON of `arca reverse` or `arca joint`; its finds are checked.")
  private Path file;

  @Option(
      names = "--official",
      paramLabel = "FILE.jsonl",
      description = "Result file of the official code, or of --official-out; the same.")
  private Path official;

  @Option(
      names = "--other-model",
      description = "Check the finds of --found although they were made with another model.")
  private boolean otherModel;

  @Option(names = "--prompt", paramLabel = "TEXT", description = "One prompt, with its prefix.")
  private String prompt;

  @Option(names = "--prompt-ids", paramLabel = "IDS", description = "The same as token ids.")
  private String promptIds;

  @Option(names = "--target", paramLabel = "TEXT", description = "Its output.")
  private String target;

  @Option(names = "--target-ids", paramLabel = "IDS", description = "The same as token ids.")
  private String targetIds;

  @Mixin private Common common;

  /** A prompt, prefix included, what it should make the model say, and where that was written. */
  private record Claim(List<Integer> prompt, List<Integer> output, OfficialResults.Trial trial) {}

  @Override
  public Integer call() {
    boolean pair = prompt != null || promptIds != null;
    long sources = Stream.of(file, official).filter(Objects::nonNull).count() + (pair ? 1 : 0);
    if (pair != (target != null || targetIds != null) || sources != 1) {
      throw new InputException(
          "give one of --found FILE, --official FILE.jsonl, or both a prompt (--prompt TEXT or"
              + " --prompt-ids IDS) and its output (--target TEXT or --target-ids IDS)");
    }
    Envelope envelope = new Envelope("arca.verify");
    int held = 0;
    int stable = 0;
    List<Claim> claims;
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      Tokens tokens = new Tokens(model);
      claims = claims(tokens, model, envelope);
      envelope.device(engine.options());
      envelope.model(model.model());
      ArrayNode list = envelope.result().putArray("prompts");
      try (Greedy greedy = new Greedy(engine, model)) {
        for (Claim claim : claims) {
          Greedy.Said said = greedy.said(claim.prompt, claim.output);
          boolean holds = said.ids().equals(claim.output);
          Boolean textStable = tokens.isStable(claim.prompt, claim.output).orElse(null);
          held += holds ? 1 : 0;
          stable += Boolean.TRUE.equals(textStable) ? 1 : 0;
          list.add(node(claim, said, holds, textStable));
          common.say(
              (holds ? "holds  " : "FAILS  ")
                  + tokens.show(claim.prompt)
                  + " -> "
                  + tokens.show(said.ids())
                  + (holds ? "" : " instead of " + tokens.show(claim.output))
                  + String.format(Locale.ROOT, "  (margin %.3f)", said.margin())
                  + (Boolean.FALSE.equals(textStable) ? "  (as text it has other tokens)" : ""));
        }
      }
      envelope.metrics().put("prompts", claims.size()).put("holding", held);
      envelope.metrics().put("share", claims.isEmpty() ? 0 : (double) held / claims.size());
      if (model.tokenizer().isPresent()) {
        envelope.metrics().put("textStable", stable);
      }
    }
    if (common.json()) {
      common.out().println(envelope.text(null));
    } else {
      common
          .out()
          .println(
              held
                  + " of "
                  + claims.size()
                  + (claims.size() == 1 ? " prompt holds" : " prompts hold"));
    }
    return held == claims.size() ? 0 : 1;
  }

  private static ObjectNode node(Claim claim, Greedy.Said said, boolean holds, Boolean textStable) {
    ObjectNode node = Envelope.JSON.createObjectNode().put("holds", holds);
    if (claim.trial != null) {
      node.put("line", claim.trial.line())
          .put("method", claim.trial.method())
          .put("trial", claim.trial.trial());
    }
    node.set("promptIds", Envelope.JSON.valueToTree(claim.prompt));
    node.set("outputIds", Envelope.JSON.valueToTree(claim.output));
    node.set("saidIds", Envelope.JSON.valueToTree(said.ids()));
    return node.put("margin", said.margin()).put("textStable", textStable);
  }

  private List<Claim> claims(Tokens tokens, LanguageModel model, Envelope envelope) {
    if (file != null) {
      return claims(tokens, model);
    }
    if (official == null) {
      return List.of(
          new Claim(
              tokens.either("--prompt", prompt, "--prompt-ids", promptIds),
              tokens.either("--target", target, "--target-ids", targetIds),
              null));
    }
    List<OfficialResults.Trial> trials =
        OfficialResults.read(official, model.tokenizer().orElse(null));
    envelope.metrics().put("trials", trials.size());
    return trials.stream()
        .filter(OfficialResults.Trial::success)
        .map(
            trial -> {
              String place = "line " + trial.line() + " of the result file " + official;
              tokens.check(place, trial.promptIds());
              tokens.check(place, trial.outputIds());
              return new Claim(trial.promptIds(), trial.outputIds(), trial);
            })
        .toList();
  }

  private List<Claim> claims(Tokens tokens, LanguageModel model) {
    JsonNode root;
    try {
      root = Envelope.JSON.readTree(Files.readString(file));
    } catch (JsonProcessingException e) {
      throw new InputException("the file " + file + " is not JSON: " + e.getOriginalMessage());
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read as UTF-8 text", e);
    }
    JsonNode audits = root.path("result").path("audits");
    if (!audits.isArray()) {
      throw new InputException(
          "the file " + file + " has no result.audits; give the JSON that `arca reverse` printed");
    }
    requireSameModel(root.path("model"), model);
    Set<Claim> claims = new LinkedHashSet<>();
    for (JsonNode audit : audits) {
      if (audit.path("success").asBoolean()) {
        List<Integer> prompt = new ArrayList<>(ids(tokens, root.path("spec").path("prefix")));
        prompt.addAll(ids(tokens, audit.path("promptIds")));
        claims.add(new Claim(prompt, ids(tokens, audit.path("outputIds")), null));
      }
    }
    return List.copyOf(claims);
  }

  /** Finds of another model hold on this one by chance at most, so that one must ask for it. */
  private void requireSameModel(JsonNode searched, LanguageModel model) {
    String sha256 = searched.path("sha256").asText(model.model().sha256());
    if (!otherModel && !sha256.equals(model.model().sha256())) {
      throw new InputException(
          "the finds of "
              + file
              + " are of another model, "
              + searched.path("name").asText()
              + " with the SHA-256 "
              + sha256
              + ", not of "
              + model.model().name()
              + "; name that model, or add --other-model to see whether they carry over");
    }
  }

  /** Ids of a JSON list, which must exist in the model. */
  private List<Integer> ids(Tokens tokens, JsonNode list) {
    if (list.isEmpty()) {
      return List.of();
    }
    List<String> words = new ArrayList<>();
    list.forEach(id -> words.add(id.asText()));
    return tokens.ids(file.toString(), String.join(",", words));
  }
}
