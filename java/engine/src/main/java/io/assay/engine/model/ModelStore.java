package io.assay.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import io.assay.engine.UserData;
import io.assay.engine.internal.EditDistance;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Models by name: those that the user imported, and the organisms that come with Assay.
 *
 * <p>An imported model is a folder {@code models/NAME} of the user's data folder: a GPT-2 folder,
 * or an ONNX file {@code NAME.onnx} with its data files, hook map and tokenizer; beside them
 * {@value #RECORD} says where it came from. A folder appears whole or not at all.
 */
public final class ModelStore {
  /** The property that names the folder of the organisms, GPT-2 folders; the launcher sets it. */
  public static final String ORGANISMS = "assay.organisms";

  private static final String RECORD = "import.json";

  /** How the folder of an import under way begins, before the number of its process and a dot. */
  private static final String PARTIAL = ".import-";

  private static final String NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";

  /** Files that belong to a model without changing what it computes, beside its tokenizer. */
  private static final List<String> COMPANIONS = List.of("generation_config.json", "card.json");

  /**
   * A model that has a name.
   *
   * @param path what {@link Model#load(Path)} takes
   * @param bundled whether it is an organism that comes with Assay
   * @param sha256 {@link Model#sha256} as it was on import; null for an organism
   * @param bytes size of its files
   * @param check what running it on import said; null for an organism
   */
  public record Entry(
      String name, Path path, boolean bundled, String sha256, long bytes, ModelCheck check) {}

  private final Path imported;
  private final Path organisms;

  private ModelStore(Path data) {
    imported = data.resolve("models");
    String bundled = System.getProperty(ORGANISMS);
    organisms = bundled == null ? null : Path.of(bundled);
  }

  /** The store in the user's data folder ({@link UserData}). */
  public static ModelStore ofUser() {
    return in(UserData.folder());
  }

  /** A store in another data folder, which need not exist yet. */
  public static ModelStore in(Path data) {
    return new ModelStore(data);
  }

  /** All models, by name; where an imported one has an organism's name, that one. */
  public List<Entry> list() {
    Map<String, Entry> found = new LinkedHashMap<>();
    for (Path folder : folders(imported)) {
      found.put(folder.getFileName().toString(), entry(folder, false));
    }
    for (Path folder : folders(organisms)) {
      found.putIfAbsent(folder.getFileName().toString(), entry(folder, true));
    }
    return found.values().stream().sorted(Comparator.comparing(Entry::name)).toList();
  }

  /** The folders in {@code parent} that hold a model; hidden ones are imports under way. */
  private static List<Path> folders(Path parent) {
    if (parent == null || !Files.isDirectory(parent)) {
      return List.of();
    }
    try (Stream<Path> children = Files.list(parent)) {
      return children
          .filter(p -> p.getFileName().toString().matches(NAME) && Files.exists(modelIn(p)))
          .toList();
    } catch (IOException e) {
      throw new InputException("the folder " + parent + " of models cannot be read", e);
    }
  }

  /** What to load from a folder of the store. */
  private static Path modelIn(Path folder) {
    Path onnx = folder.resolve(folder.getFileName() + ".onnx");
    return Files.exists(folder.resolve("config.json")) ? folder : onnx;
  }

  private static Entry entry(Path folder, boolean bundled) {
    Path record = folder.resolve(RECORD);
    JsonNode json =
        Files.exists(record) ? JsonFiles.object(record) : JsonNodeFactory.instance.objectNode();
    String sha256 = json.path("sha256").asText(null);
    try (Stream<Path> files = Files.walk(folder)) {
      long bytes = files.filter(Files::isRegularFile).mapToLong(p -> p.toFile().length()).sum();
      String name = folder.getFileName().toString();
      ModelCheck check = ModelCheck.ofJson(json).orElse(null);
      return new Entry(name, modelIn(folder), bundled, sha256, bytes, check);
    } catch (IOException | UncheckedIOException e) {
      throw new InputException("the folder " + folder + " of a model cannot be read", e);
    }
  }

  /**
   * The path of a model: {@code model} itself where there is a file or folder of that path, else
   * that of the model of this name.
   *
   * @throws InputException if there is neither; the message names what is near
   */
  public Path find(String model) {
    Path path;
    try {
      path = Path.of(model);
    } catch (InvalidPathException e) {
      throw new InputException("the model's path is not a path: " + e.getMessage(), e);
    }
    if (model.isEmpty() || Files.exists(path)) {
      return path;
    }
    for (Path parent : new Path[] {imported, organisms}) {
      if (parent != null && model.matches(NAME)) {
        Path found = modelIn(parent.resolve(model));
        if (Files.exists(found)) {
          return found;
        }
      }
    }
    throw new InputException(unknown(model));
  }

  private String unknown(String model) {
    List<String> names = list().stream().map(Entry::name).toList();
    String near =
        names.stream().filter(name -> isNear(name, model)).collect(Collectors.joining(" and "));
    return "there is no folder, .onnx file or model named "
        + model
        + (near.isEmpty() ? "" : "; near it is " + near)
        + "; `models list` shows "
        + (names.isEmpty() ? "no model yet" : String.join(", ", names))
        + (organisms == null
            ? "; organisms have names where the Java property "
                + ORGANISMS
                + " names their folder, onnx-models/organisms of Assay"
            : "");
  }

  /** Whether one name holds the other, or at most a third of its letters differ. */
  private static boolean isNear(String a, String b) {
    String x = a.toLowerCase(Locale.ROOT);
    String y = b.toLowerCase(Locale.ROOT);
    return x.contains(y)
        || y.contains(x)
        || EditDistance.between(x, y) <= Math.max(x.length(), y.length()) / 3;
  }

  /**
   * Copies a model into the store and checks the copy: it loads, and its {@link Model#sha256} is
   * that of the source. Runs it on drawn inputs and keeps what they say ({@link ModelCheck}); a
   * model that fails a check is imported all the same, since not all that is done with models needs
   * it to hold.
   *
   * @param name null for the source's own
   * @throws InputException if the source is no model, the runtime refuses it, the name is taken or
   *     no name, or the store cannot be written
   */
  public Entry add(Path source, String name) {
    try (Model model = Model.load(source)) {
      String as = name == null ? model.name() : name;
      if (!as.matches(NAME)) {
        throw new InputException(
            "the name "
                + as
                + " is not one for a model; give --name with letters, digits, dots, dashes and"
                + " underscores, 64 at most");
      }
      Path target = imported.resolve(as);
      if (Files.exists(target)) {
        throw new InputException(
            "there is a model named "
                + as
                + " already; give another --name, or `models remove "
                + as
                + "` first");
      }
      ModelCheck check = ModelCheck.of(model.graph());
      Path partial = null;
      try {
        Files.createDirectories(imported);
        deleteAbandoned();
        partial = partial();
        Path whole = Files.createDirectory(partial.resolve(as));
        copy(source, model, whole);
        check(model, whole);
        record(source, model, check, whole);
        Files.move(whole, target, StandardCopyOption.ATOMIC_MOVE);
      } catch (FileSystemException e) {
        throw new InputException("the model cannot be written to " + e.getMessage(), e);
      } catch (IOException e) {
        throw new InputException("the model cannot be copied: " + e.getMessage(), e);
      } finally {
        delete(partial);
      }
      return entry(target, false);
    }
  }

  /**
   * Removes an imported model.
   *
   * @throws InputException if none of this name was imported, or its files cannot be removed
   */
  public Entry remove(String name) {
    Path folder = name.matches(NAME) ? imported.resolve(name) : null;
    if (folder == null || !Files.isDirectory(folder)) {
      throw new InputException(
          "no model named "
              + name
              + " was imported; those that were are "
              + list().stream()
                  .filter(entry -> !entry.bundled())
                  .map(Entry::name)
                  .collect(
                      Collectors.collectingAndThen(
                          Collectors.joining(", "), s -> s.isEmpty() ? "none" : s)));
    }
    Entry entry = entry(folder, false);
    try {
      // Out of sight at once, so that nobody meets half a model.
      Path hidden = partial();
      Files.move(folder, hidden.resolve(name), StandardCopyOption.ATOMIC_MOVE);
      delete(hidden);
    } catch (IOException e) {
      throw new InputException("the folder " + folder + " cannot be removed: " + e.getMessage(), e);
    }
    return entry;
  }

  /** A new hidden folder that bears the number of this process. */
  private Path partial() throws IOException {
    return Files.createTempDirectory(imported, PARTIAL + ProcessHandle.current().pid() + ".");
  }

  /** Deletes what imports left behind whose process has ended. */
  private void deleteAbandoned() throws IOException {
    try (Stream<Path> children = Files.list(imported)) {
      children.filter(ModelStore::isAbandoned).forEach(ModelStore::delete);
    }
  }

  private static boolean isAbandoned(Path folder) {
    String name = folder.getFileName().toString();
    if (!name.matches(Pattern.quote(PARTIAL) + "\\d{1,18}\\..*")) {
      return false;
    }
    long pid = Long.parseLong(name.substring(PARTIAL.length(), name.indexOf('.', 1)));
    return ProcessHandle.of(pid).isEmpty();
  }

  private static void copy(Path source, Model model, Path to) throws IOException {
    boolean isFolder = Files.isDirectory(source);
    Path folder = isFolder ? source.toAbsolutePath() : source.toAbsolutePath().getParent();
    Map<Path, Path> copies = new LinkedHashMap<>();
    for (Path file : model.files()) {
      copies.put(file.toAbsolutePath(), to.resolve(folder.relativize(file.toAbsolutePath())));
    }
    Stream.concat(TokenizerFiles.NAMES.stream(), COMPANIONS.stream())
        .forEach(file -> copies.put(folder.resolve(file), to.resolve(file)));
    if (!isFolder) {
      copies.put(source.toAbsolutePath(), modelIn(to));
      copies.computeIfPresent(
          HookMap.fileFor(source.toAbsolutePath()), (_, _) -> HookMap.fileFor(modelIn(to)));
    }
    for (Map.Entry<Path, Path> e : copies.entrySet()) {
      if (Files.exists(e.getKey())) {
        Files.createDirectories(e.getValue().getParent());
        Files.copy(e.getKey(), e.getValue());
        try (FileChannel file = FileChannel.open(e.getValue(), StandardOpenOption.WRITE)) {
          file.force(true);
        }
      }
    }
  }

  private static void check(Model model, Path copy) {
    try (Model copied = Model.load(modelIn(copy))) {
      if (!copied.sha256().equals(model.sha256())) {
        throw new InputException(
            "the files of the model "
                + model.name()
                + " changed while they were copied; try again");
      }
    }
  }

  private static void record(Path source, Model model, ModelCheck check, Path folder)
      throws IOException {
    ObjectNode json =
        JsonNodeFactory.instance
            .objectNode()
            .put("source", source.toAbsolutePath().normalize().toString())
            .put("sha256", model.sha256())
            .put("imported", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
    json.set("checks", check.toJson());
    Files.writeString(folder.resolve(RECORD), json.toPrettyString() + "\n");
  }

  /** What was found on import of the model in {@code folder}; null where it was not imported. */
  static ModelCheck checkIn(Path folder) {
    Path record = folder.resolve(RECORD);
    return Files.exists(record) ? ModelCheck.ofJson(JsonFiles.object(record)).orElse(null) : null;
  }

  /** Removes what is left of an import; what cannot be removed stays hidden. */
  private static void delete(Path folder) {
    if (folder == null) {
      return;
    }
    List<Path> paths = new ArrayList<>();
    try (Stream<Path> all = Files.walk(folder)) {
      all.forEach(paths::addFirst);
      for (Path path : paths) {
        Files.deleteIfExists(path);
      }
    } catch (IOException | UncheckedIOException e) {
      // The folder's name begins with a dot, so that nothing takes it for a model.
    }
  }
}
