package io.assay.app;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Decodes found prompts again, greedily and without a cache, and compares. */
@Command(
    name = "verify",
    sortOptions = false,
    description = {
      "Lets a model continue prompts, greedily and without any cache, and checks that it says what",
      "a search reported. Status 1 if one prompt does not hold."
    },
    footer = {
      "",
      "  assay arca reverse MODEL --target ' bad' --json > found.json",
      "  assay arca verify MODEL --found found.json",
      "  assay arca verify MODEL --prompt-ids 5,9,2 --target-ids 12,7"
    })
final class ArcaVerify implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(paramLabel = "MODEL", description = "Folder of a GPT-2 model.")
  private Path path;

  @Option(
      names = "--found",
      paramLabel = "FILE",
      description = "JSON of `arca reverse` or `arca joint`; its successes are checked.")
  private Path file;

  @Option(names = "--prompt-ids", paramLabel = "IDS", description = "One prompt as token ids.")
  private String promptIds;

  @Option(names = "--target-ids", paramLabel = "IDS", description = "Its output as token ids.")
  private String targetIds;

  @Mixin private Common common;

  /** A prompt, prefix included, and what it should make the model say. */
  private record Claim(List<Integer> prompt, List<Integer> output) {}

  @Override
  public Integer call() {
    if ((promptIds == null) != (targetIds == null) || (file == null) == (promptIds == null)) {
      throw new InputException(
          "give either --found FILE or both --prompt-ids IDS and --target-ids IDS");
    }
    Envelope envelope = new Envelope("arca.verify");
    int held = 0;
    List<Claim> claims;
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      Tokens tokens = new Tokens(model);
      claims =
          file != null
              ? claims(tokens)
              : List.of(
                  new Claim(
                      tokens.ids("--prompt-ids", promptIds),
                      tokens.ids("--target-ids", targetIds)));
      envelope.device(engine.options());
      envelope.model(model.model());
      ArrayNode list = envelope.result().putArray("prompts");
      try (Greedy greedy = new Greedy(engine, model)) {
        for (Claim claim : claims) {
          List<Integer> said = greedy.continuation(claim.prompt, claim.output.size());
          boolean holds = said.equals(claim.output);
          held += holds ? 1 : 0;
          ObjectNode node = list.addObject().put("holds", holds);
          node.set("promptIds", Envelope.JSON.valueToTree(claim.prompt));
          node.set("outputIds", Envelope.JSON.valueToTree(claim.output));
          node.set("saidIds", Envelope.JSON.valueToTree(said));
          common.say(
              (holds ? "holds  " : "FAILS  ")
                  + tokens.show(claim.prompt)
                  + " -> "
                  + tokens.show(said)
                  + (holds ? "" : " instead of " + tokens.show(claim.output)));
        }
      }
    }
    envelope.metrics().put("prompts", claims.size()).put("holding", held);
    if (common.json()) {
      common.out().println(envelope.text(null));
    } else {
      common.out().println(held + " of " + claims.size() + " prompts hold");
    }
    return held == claims.size() ? 0 : 1;
  }

  private List<Claim> claims(Tokens tokens) {
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
    List<Claim> claims = new ArrayList<>();
    for (JsonNode audit : audits) {
      if (audit.path("success").asBoolean()) {
        List<Integer> prompt = new ArrayList<>(ids(tokens, root.path("spec").path("prefix")));
        prompt.addAll(ids(tokens, audit.path("promptIds")));
        claims.add(new Claim(prompt, ids(tokens, audit.path("outputIds"))));
      }
    }
    return claims;
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
