package io.assay.audit.arca;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
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

/**
 * Result files of the official code (specs/arca.md 5.1): JSON lines, the first of which holds the
 * options. A line of a reversal has the output as text and, for each method, lists with one entry a
 * trial; a line of a joint search has the lengths instead of the output.
 */
public final class OfficialResults {
  /** Python writes NaN and Infinity as they are. */
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private static final long LARGEST_FILE = 512L << 20;
  private static final String TARGET = "output_target";
  private static final String SHAPE = "hparams";

  /** Our addition to a reversal line: the output as ids, for models without a tokenizer. */
  private static final String TARGET_IDS = "output_toks";

  private OfficialResults() {}

  /**
   * One trial of a method.
   *
   * @param line line of the file, from 1
   * @param method such as {@code arca}, {@code autoprompt} or {@code gbda}
   * @param trial index in the lists of the line, from 0
   * @param promptIds prefix and prompt; empty where the trial failed
   * @param outputIds the output; empty where a joint trial failed
   * @param sweep sweep of success, from 0; -1 for a failure
   * @param seconds whole seconds that it took
   */
  public record Trial(
      int line,
      String method,
      int trial,
      List<Integer> promptIds,
      List<Integer> outputIds,
      int sweep,
      long seconds) {

    public boolean success() {
      return sweep >= 0;
    }
  }

  // ---- reading ----

  /**
   * Reads all trials of a file, in its order.
   *
   * @param tokenizer of the model that the file is about, since reversals give the output as text;
   *     null if it has none
   * @throws InputException naming the file and the line that is not as it should be
   */
  public static List<Trial> read(Path file, Tokenizer tokenizer) {
    List<Trial> trials = new ArrayList<>();
    List<String> lines = lines(file);
    for (int i = 0; i < lines.size(); i++) {
      if (!lines.get(i).isBlank()) {
        new Line(file, i + 1, tokenizer, trials).read(lines.get(i));
      }
    }
    return trials;
  }

  private static List<String> lines(Path file) {
    try {
      long size = Files.size(file);
      if (size > LARGEST_FILE) {
        throw new InputException(
            "the result file "
                + file
                + " has "
                + size
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

  /** A line being read. */
  private record Line(Path file, int number, Tokenizer tokenizer, List<Trial> trials) {

    private InputException wrong(String what) {
      return new InputException("line " + number + " of the result file " + file + " " + what);
    }

    private static String brief(JsonNode node) {
      String text = node.toString();
      return text.length() <= 60 ? text : text.substring(0, 57) + "...";
    }

    void read(String text) {
      JsonNode line;
      try {
        line = JSON.readTree(text);
      } catch (JsonProcessingException e) {
        throw new InputException(wrong("is not JSON; give one object a line").getMessage(), e);
      }
      if (line == null || !line.isObject()) {
        throw wrong("is not a JSON object; give one a line");
      }
      boolean reversal = line.has(TARGET);
      if (!reversal && !line.has(SHAPE)) {
        if (number == 1) {
          return; // the options
        }
        throw wrong("has neither " + TARGET + " nor " + SHAPE + "; it is no official result");
      }
      List<Integer> output = reversal ? target(line) : List.of();
      int outputLength = reversal ? output.size() : outputLength(line.get(SHAPE));
      for (Map.Entry<String, JsonNode> field : line.properties()) {
        if (field.getValue().isObject() && !field.getKey().equals(SHAPE)) {
          method(field.getKey(), field.getValue(), reversal, output, outputLength);
        }
      }
    }

    private List<Integer> target(JsonNode line) {
      JsonNode given = line.get(TARGET_IDS);
      if (given != null) {
        return ids(given);
      }
      JsonNode text = line.get(TARGET);
      if (!text.isTextual() || text.textValue().isEmpty()) {
        throw wrong("has the " + TARGET + " " + brief(text) + "; it must be a text");
      }
      if (tokenizer == null) {
        throw wrong("gives its output as text, and the model has no tokenizer to read it with");
      }
      return Arrays.stream(tokenizer.encode(text.textValue())).mapToObj(Math::toIntExact).toList();
    }

    private int outputLength(JsonNode shape) {
      JsonNode length = shape.path("output_length");
      if (!length.isInt() || length.intValue() < 1) {
        throw wrong(
            "has the output_length " + brief(length) + "; it must be a whole number from 1");
      }
      return length.intValue();
    }

    private void method(
        String method, JsonNode runs, boolean reversal, List<Integer> output, int outputLength) {
      String name = reversal ? "prompt_toks" : "toks";
      JsonNode tokens = list(method, runs, name);
      JsonNode sweeps = list(method, runs, "iters");
      JsonNode seconds = runs.path("time");
      if (sweeps.size() != tokens.size()) {
        throw wrong(
            "has "
                + tokens.size()
                + " "
                + name
                + " and "
                + sweeps.size()
                + " iters of "
                + method
                + "; there must be one of each for every trial");
      }
      for (JsonNode length : runs.path("n_output_toks")) {
        if (length.asInt() != outputLength) {
          throw wrong(
              "says that its output has "
                  + brief(length)
                  + " tokens; the tokenizer of this model makes it "
                  + outputLength
                  + ", so the file is about another model");
        }
      }
      for (int t = 0; t < tokens.size(); t++) {
        int sweep = sweep(sweeps.get(t));
        if (sweep >= 0 != tokens.get(t).isArray()) {
          throw wrong(
              "has the "
                  + name
                  + " "
                  + brief(tokens.get(t))
                  + " for the sweep "
                  + sweep
                  + " of success");
        }
        List<Integer> ids = sweep < 0 ? List.of() : ids(tokens.get(t));
        int start = reversal ? ids.size() : ids.size() - outputLength;
        if (sweep >= 0 && start < 1) {
          throw wrong(
              "has "
                  + ids.size()
                  + " tokens where the output takes "
                  + outputLength
                  + "; the prompt needs at least one token");
        }
        start = Math.max(start, 0);
        trials.add(
            new Trial(
                number,
                method,
                t,
                ids.subList(0, start),
                reversal ? output : ids.subList(start, ids.size()),
                sweep,
                seconds.path(t).asLong()));
      }
    }

    private JsonNode list(String method, JsonNode runs, String name) {
      JsonNode list = runs.get(name);
      if (list == null || !list.isArray()) {
        throw wrong("has no list " + name + " of " + method);
      }
      return list;
    }

    private int sweep(JsonNode node) {
      if (!node.isInt() || node.intValue() < -1) {
        throw wrong(
            "has the entry " + brief(node) + " in iters; sweeps count from 0, a failure is -1");
      }
      return node.intValue();
    }

    private List<Integer> ids(JsonNode array) {
      List<Integer> ids = new ArrayList<>();
      for (JsonNode id : array) {
        if (!id.isInt() || id.intValue() < 0) {
          throw wrong("has the token " + brief(id) + "; tokens are whole numbers from 0");
        }
        ids.add(id.intValue());
      }
      return List.copyOf(ids);
    }
  }

  // ---- writing ----

  /**
   * A run in the official form, as {@link #read} and the official readers take it: the options;
   * then for a reversal one line a target, for a joint search one line.
   *
   * <p>As there, a failure is a {@code null} text and the tokens and sweep -1, times are whole
   * seconds, {@code perplexity} is the negative mean log-probability of a prompt token, the least
   * and largest unigram probabilities stand for successes only, and the prompt's include the
   * prefix. So does the mean of the prompt where the output has a table too; else a mean is -1 for
   * a failure. A line of a reversal also has {@value #TARGET_IDS}.
   *
   * @param tokenizer of the model, or null: texts are then null
   */
  public static String text(ArcaSpec spec, ArcaResult result, Tokenizer tokenizer) {
    StringBuilder out = new StringBuilder();
    out.append(options(spec, tokenizer)).append('\n');
    for (int target = 0; target < spec.targets().size(); target++) {
      int index = target;
      List<ArcaResult.Audit> audits =
          result.audits().stream().filter(a -> a.target() == index).toList();
      ObjectNode line = JSON.createObjectNode();
      if (spec.isJoint()) {
        line.putObject(SHAPE)
            .put("prompt_length", spec.promptLength())
            .put("output_length", spec.outputLength());
      } else {
        List<Integer> ids = spec.targets().get(target);
        line.put(TARGET, decoded(tokenizer, ids));
        ids.forEach(line.putArray(TARGET_IDS)::add);
      }
      runs(line.putObject(method(spec)), spec, audits);
      out.append(line).append('\n');
    }
    return out.toString();
  }

  private static String method(ArcaSpec spec) {
    return spec.method().name().toLowerCase(Locale.ROOT);
  }

  private static String decoded(Tokenizer tokenizer, List<Integer> ids) {
    return tokenizer == null || ids.isEmpty()
        ? null
        : tokenizer.decode(ids.stream().mapToLong(Integer::longValue).toArray());
  }

  private static ObjectNode options(ArcaSpec spec, Tokenizer tokenizer) {
    ObjectNode options =
        JSON.createObjectNode()
            .put("model_id", spec.model())
            .put("arca_batch_size", spec.k())
            .put("batch_size", spec.q())
            .put("arca_iters", spec.sweeps())
            .put("n_trials", spec.restarts())
            .put("prompt_length", spec.promptLength())
            .put("prompt_prefix", decoded(tokenizer, spec.prefix()))
            .put("lam_perp", spec.lambdaF())
            .put("unigram_input_constraint", name(spec.promptUnigram()))
            .put("unigram_output_constraint", name(spec.outputUnigram()))
            .put("unigram_weight", spec.w())
            .put("autoprompt", spec.method() == ArcaSpec.Method.AUTOPROMPT)
            .put("seed", spec.seed());
    if (spec.isJoint()) {
      options.put("output_length", spec.outputLength());
    }
    options.putArray("opts_to_run").add(method(spec));
    return options;
  }

  private static String name(UnigramTable table) {
    return table == null ? null : table.name();
  }

  private static void runs(ObjectNode runs, ArcaSpec spec, List<ArcaResult.Audit> audits) {
    boolean joint = spec.isJoint();
    ArrayNode texts = runs.putArray(joint ? "prompt_output_pairs" : "prompts");
    ArrayNode tokens = runs.putArray(joint ? "toks" : "prompt_toks");
    ArrayNode sweeps = runs.putArray("iters");
    ArrayNode times = runs.putArray("time");
    runs.put(
        "success_rate", audits.stream().mapToInt(a -> a.success() ? 1 : 0).average().orElse(0));
    ArrayNode lengths = joint ? null : runs.putArray("n_output_toks");
    ArrayNode perplexities = runs.putArray("perplexity");
    for (ArcaResult.Audit a : audits) {
      if (joint) {
        texts
            .addArray()
            .add(a.success() ? a.promptText() : null)
            .add(a.success() ? a.outputText() : null);
      } else {
        texts.add(a.success() ? a.promptText() : null);
        lengths.add(a.outputIds().size());
      }
      sweeps.add(a.success() ? a.sweep() : -1);
      times.add((long) a.seconds());
      if (a.success()) {
        ArrayNode ids = tokens.addArray();
        sequence(spec, a, joint).forEach(ids::add);
        perplexities.add(-a.FL());
      } else {
        tokens.add(-1);
        perplexities.addNull();
      }
    }
    if (joint) {
      unigrams(runs, "output_unigram", spec, audits, false);
      unigrams(runs, "input_unigram", spec, audits, true);
    }
  }

  /** Prefix and prompt, and the output if {@code whole}. */
  private static List<Integer> sequence(ArcaSpec spec, ArcaResult.Audit a, boolean whole) {
    List<Integer> ids = new ArrayList<>(spec.prefix());
    ids.addAll(a.promptIds());
    if (whole) {
      ids.addAll(a.outputIds());
    }
    return ids;
  }

  private static void unigrams(
      ObjectNode runs, String name, ArcaSpec spec, List<ArcaResult.Audit> audits, boolean prompt) {
    UnigramTable table = prompt ? spec.promptUnigram() : spec.outputUnigram();
    if (table == null) {
      return;
    }
    ArrayNode mean = runs.putArray(name);
    ArrayNode max = runs.putArray("max_" + name);
    ArrayNode min = runs.putArray("min_" + name);
    for (ArcaResult.Audit a : audits) {
      if (a.success()) {
        List<Integer> side = prompt ? sequence(spec, a, false) : a.outputIds();
        int[] ids = side.stream().mapToInt(Integer::intValue).toArray();
        ArcaResult.Unigram unigram = Problem.unigram(table, ids, 0, ids.length);
        mean.add(unigram.mean());
        max.add(unigram.max());
        min.add(unigram.min());
      } else if (!prompt || spec.outputUnigram() == null) {
        mean.add(-1);
      }
    }
  }
}
