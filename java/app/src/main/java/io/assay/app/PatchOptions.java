package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.Metric;
import io.assay.engine.patch.Pair;
import io.assay.engine.patch.PairsFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What all commands of patching take: a model, pairs of prompts, a direction. */
final class PatchOptions {
  @Parameters(paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
  private String model;

  @Option(
      names = "--pairs",
      required = true,
      paramLabel = "FILE.jsonl",
      description =
          "Pairs of prompts, one a line: clean and corrupt (or clean_ids, corrupt_ids), answer,"
              + " wrong.")
  private Path pairs;

  @Option(
      names = "--direction",
      required = true,
      paramLabel = "denoise|noise",
      description =
          "denoise: the corrupt prompt runs and takes values of the clean one. noise: the other"
              + " way.")
  private Direction direction;

  @Option(
      names = "--metric",
      paramLabel = "logit-diff|logit",
      defaultValue = "logit-diff",
      description =
          "What is read at the last position: logit(answer) - logit(wrong), or logit(answer) alone"
              + " (default: ${DEFAULT-VALUE}).")
  private String metric;

  @Option(names = "--bos", description = "Put the token that begins a text before each prompt.")
  private boolean bos;

  @Option(names = "--per-pair", description = "Also print the values of each pair (--json).")
  private boolean perPair;

  @Mixin private RunFolder folder;

  String model() {
    return model;
  }

  Direction direction() {
    return direction;
  }

  Metric metric() {
    return choice(Metric.class, "--metric", metric);
  }

  /**
   * The constant that an option names, hyphens standing for underscores.
   *
   * @throws InputException if there is none; the message names all
   */
  static <E extends Enum<E>> E choice(Class<E> type, String option, String text) {
    String name = text.replace('-', '_').toUpperCase(Locale.ROOT);
    List<E> constants = List.of(type.getEnumConstants());
    return constants.stream()
        .filter(constant -> constant.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new InputException(
                    "there is no %s %s; there are %s"
                        .formatted(
                            option,
                            text,
                            constants.stream()
                                .map(c -> c.name().toLowerCase(Locale.ROOT).replace('_', '-'))
                                .collect(Collectors.joining(", ")))));
  }

  boolean perPair() {
    return perPair;
  }

  /** The folder of ledger and report. */
  Path folder(Common common) {
    return folder.of(common);
  }

  List<Pair> pairs(LanguageModel of) {
    return PairsFile.read(pairs, of, bos);
  }

  /** Adds what decides the result. */
  void describe(ObjectNode spec, int count) {
    spec.put("model", model).put("pairs", pairs.toString()).put("pairs_sha256", hash());
    spec.put("count", count).put("direction", direction.name()).put("bos", bos);
    spec.put("metric", metric().id());
  }

  /** Which prompt runs, in words. */
  String directionWords() {
    return direction == Direction.DENOISE
        ? "denoising: the corrupt prompt runs and takes values of the clean one"
        : "noising: the clean prompt runs and takes values of the corrupt one";
  }

  /** The prompts, in words. */
  String setWords(int count) {
    return count + " pairs of " + pairs.getFileName() + (bos ? ", with a beginning token" : "");
  }

  private String hash() {
    try {
      return HexFormat.of().formatHex(Sha256.digest().digest(Files.readAllBytes(pairs)));
    } catch (IOException e) {
      throw new InputException("the file of pairs " + pairs + " cannot be read", e);
    }
  }
}
