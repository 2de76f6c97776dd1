package io.assay.audit.arca;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Result files of the official code (specs/arca.md 5.1): JSON lines, the first of which holds the
 * options. Reads the successful pairs and checks them against a model.
 */
public final class OfficialResults {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final List<String> METHODS = List.of("arca", "autoprompt", "gbda");
  private static final long LARGEST_FILE = 512L << 20;

  private OfficialResults() {}

  /**
   * A prompt and an output that a method reported as a success.
   *
   * @param line line of the file, from 1
   * @param method {@code arca}, {@code autoprompt} or {@code gbda}
   * @param promptIds prefix and prompt
   * @param outputIds the output
   */
  public record Pair(int line, String method, List<Integer> promptIds, List<Integer> outputIds) {}

  /**
   * What became of the pairs of a file.
   *
   * @param pairs pairs checked
   * @param verified those whose prompt decodes greedily to the output
   * @param failures the others
   */
  public record Verification(int pairs, int verified, List<Pair> failures) {}

  /**
   * Reads the successful pairs of a file.
   *
   * @param tokenizer of the model that the file is about: reversal lines give the output as text
   * @throws InputException naming the file and the line that is not as it should be
   */
  public static List<Pair> read(Path file, Tokenizer tokenizer) {
    List<Pair> pairs = new ArrayList<>();
    List<String> lines = lines(file);
    for (int i = 0; i < lines.size(); i++) {
      if (lines.get(i).isBlank()) {
        continue;
      }
      JsonNode line = parse(file, i + 1, lines.get(i));
      for (String method : METHODS) {
        JsonNode runs = line.get(method);
        if (runs != null && line.has("output_target")) {
          reversal(file, i + 1, method, line.get("output_target"), runs, tokenizer, pairs);
        } else if (runs != null && line.has("hparams")) {
          joint(file, i + 1, method, line.get("hparams"), runs, pairs);
        }
      }
    }
    return pairs;
  }

  private static List<String> lines(Path file) {
    try {
      if (Files.size(file) > LARGEST_FILE) {
        throw new InputException(
            "the result file "
                + file
                + " has "
                + Files.size(file)
                + " bytes; at most "
                + LARGEST_FILE
                + " are read");
      }
      return Files.readString(file, StandardCharsets.UTF_8).lines().toList();
    } catch (IOException e) {
      throw new InputException(
          "the result file " + file + " cannot be read as UTF-8 text; check the path", e);
    }
  }

  private static JsonNode parse(Path file, int number, String line) {
    try {
      JsonNode node = JSON.readTree(line);
      if (node != null && node.isObject()) {
        return node;
      }
    } catch (JsonProcessingException e) {
      throw new InputException(where(file, number) + " is not JSON; give one object a line", e);
    }
    throw new InputException(where(file, number) + " is not a JSON object; give one a line");
  }

  private static String where(Path file, int number) {
    return "line " + number + " of the result file " + file;
  }

  private static void reversal(
      Path file,
      int number,
      String method,
      JsonNode target,
      JsonNode runs,
      Tokenizer tokenizer,
      List<Pair> pairs) {
    List<Integer> output =
        Arrays.stream(tokenizer.encode(target.asText())).mapToObj(Math::toIntExact).toList();
    for (JsonNode ids : runs.path("prompt_toks")) {
      if (ids.isArray()) { // a failure is -1
        pairs.add(new Pair(number, method, ids(file, number, ids), output));
      }
    }
  }

  private static void joint(
      Path file, int number, String method, JsonNode shape, JsonNode runs, List<Pair> pairs) {
    int outputLength = shape.path("output_length").asInt();
    for (JsonNode node : runs.path("toks")) {
      if (!node.isArray()) {
        continue;
      }
      List<Integer> ids = ids(file, number, node);
      int start = ids.size() - outputLength;
      if (outputLength < 1 || start < 1) {
        throw new InputException(
            where(file, number)
                + " has "
                + ids.size()
                + " tokens and an output_length of "
                + outputLength
                + "; the prompt needs at least one token");
      }
      pairs.add(new Pair(number, method, ids.subList(0, start), ids.subList(start, ids.size())));
    }
  }

  private static List<Integer> ids(Path file, int number, JsonNode array) {
    List<Integer> ids = new ArrayList<>();
    for (JsonNode id : array) {
      if (!id.isInt() || id.intValue() < 0) {
        throw new InputException(
            where(file, number) + " has the token " + id + "; tokens are whole numbers from 0");
      }
      ids.add(id.intValue());
    }
    return List.copyOf(ids);
  }

  /**
   * Checks by teacher forcing which pairs the model still decodes greedily.
   *
   * @throws InputException if a pair does not fit the model
   */
  public static Verification verify(Engine engine, LanguageModel model, List<Pair> pairs) {
    Map<Integer, List<Pair>> byLength = new TreeMap<>();
    for (Pair pair : pairs) {
      int length = pair.promptIds().size() + pair.outputIds().size();
      check(model, pair, length);
      byLength.computeIfAbsent(length, _ -> new ArrayList<>()).add(pair);
    }
    List<Pair> failures = new ArrayList<>();
    for (Map.Entry<Integer, List<Pair>> group : byLength.entrySet()) {
      try (Reader reader = new Reader(engine, model, group.getKey() - 1)) {
        for (Pair pair : group.getValue()) {
          int[] ids = new int[group.getKey()];
          int start = pair.promptIds().size();
          for (int t = 0; t < ids.length; t++) {
            ids[t] = t < start ? pair.promptIds().get(t) : pair.outputIds().get(t - start);
          }
          if (!reader.read(ids).isGreedy(ids, start - 1)) {
            failures.add(pair);
          }
        }
      }
    }
    return new Verification(pairs.size(), pairs.size() - failures.size(), failures);
  }

  private static void check(LanguageModel model, Pair pair, int length) {
    if (pair.promptIds().isEmpty() || pair.outputIds().isEmpty() || length > model.context()) {
      throw new InputException(
          "line "
              + pair.line()
              + " has a prompt of "
              + pair.promptIds().size()
              + " and an output of "
              + pair.outputIds().size()
              + " tokens; each needs at least one, and together at most "
              + model.context());
    }
    for (List<Integer> side : List.of(pair.promptIds(), pair.outputIds())) {
      for (int id : side) {
        if (id >= model.vocabulary()) {
          throw new InputException(
              "line "
                  + pair.line()
                  + " has the token id "
                  + id
                  + "; the model's ids are 0 to "
                  + (model.vocabulary() - 1));
        }
      }
    }
  }

  /**
   * Writes a reversal in the official form: the options, then one line for each target, with the
   * runs of {@code method} as lists and -1 for failures.
   *
   * @param targetTexts text of each target
   */
  public static String write(ArcaSpec spec, ArcaResult result, List<String> targetTexts) {
    StringBuilder out = new StringBuilder();
    var options = JSON.createObjectNode();
    options.put("model_id", spec.model()).put("batch_size", spec.k());
    options.put("arca_iters", spec.sweeps()).put("prompt_length", spec.promptLength());
    options.put("lam_perp", spec.lambdaF()).put("seed", spec.seed());
    out.append(options).append('\n');
    for (int target = 0; target < spec.targets().size(); target++) {
      int index = target;
      var audits = result.audits().stream().filter(a -> a.target() == index).toList();
      var line = JSON.createObjectNode().put("output_target", targetTexts.get(target));
      var runs = line.putObject(spec.method().name().toLowerCase(Locale.ROOT));
      var prompts = runs.putArray("prompts");
      var tokens = runs.putArray("prompt_toks");
      var iterations = runs.putArray("iters");
      var times = runs.putArray("time");
      var lengths = runs.putArray("n_output_toks");
      var perplexities = runs.putArray("perplexity");
      for (ArcaResult.Audit a : audits) {
        times.add(Math.round(a.seconds()));
        lengths.add(a.outputIds().size());
        iterations.add(a.sweep());
        if (a.success()) {
          prompts.add(a.promptText());
          var ids = tokens.addArray();
          spec.prefix().forEach(ids::add);
          a.promptIds().forEach(ids::add);
          perplexities.add(-a.FL());
        } else {
          prompts.addNull();
          tokens.add(-1);
          perplexities.addNull();
        }
      }
      runs.put(
          "success_rate", audits.stream().mapToInt(a -> a.success() ? 1 : 0).average().orElse(0));
      out.append(line).append('\n');
    }
    return out.toString();
  }
}
