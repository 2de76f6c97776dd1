package io.assay.engine.model;

import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * A model: its graph, the names of its hook points, and its tokenizer if it has one.
 *
 * <p>Weights are mapped from their files and stay so as long as a graph or a session uses them.
 */
public final class Model implements AutoCloseable {
  private final String name;
  private final List<Path> files;
  private final Graph graph;
  private final Hooks hooks;
  private final Tokenizer tokenizer;
  private final int widened;
  private ModelCheck check;
  private Decoder decoder;
  private String sha256;

  private Model(
      String name,
      List<Path> files,
      Graph graph,
      Hooks hooks,
      Tokenizer tokenizer,
      Decoder decoder,
      int widened) {
    this.name = name;
    this.files = List.copyOf(files);
    this.graph = graph;
    this.hooks = hooks;
    this.tokenizer = tokenizer;
    this.decoder = decoder;
    this.widened = widened;
  }

  /**
   * Loads a model in its own float type: float64 for an ONNX file of float64, float32 for all
   * others; see {@link #load(Path, DType)}.
   */
  public static Model load(Path path) {
    return open(path, null);
  }

  /**
   * Loads a Hugging Face folder of the GPT-2 family, or an ONNX file with, if there is one, its
   * hook map beside it: {@code NAME.hooks.json} for {@code NAME.onnx}.
   *
   * <p>Values of 16 bits, weights or not, become values of {@code dtype}: neither the runtime's
   * kernels nor gradients are for 16 bits. An ONNX graph of float32 that uses float64 here and
   * there keeps it.
   *
   * @param dtype float type to compute in, {@code F32} or {@code F64}
   * @throws InputException if the path holds no model that Assay can read
   */
  public static Model load(Path path, DType dtype) {
    if (dtype != DType.F32 && dtype != DType.F64) {
      throw new InputException("models compute in F32 or F64, not in " + dtype);
    }
    return open(path, dtype);
  }

  private static Model open(Path path, DType dtype) {
    if (Files.isDirectory(path)) {
      Model model = loadFolder(path, dtype == null ? DType.F32 : dtype);
      model.check = ModelStore.checkIn(path);
      return model;
    }
    if (!Files.isRegularFile(path)) {
      throw new InputException(
          "there is no model at " + path + "; give a folder, an .onnx file or a name");
    }
    if (!path.getFileName().toString().endsWith(".onnx")) {
      throw new InputException(path + " is neither a folder nor an .onnx file");
    }
    Model model = loadOnnx(path, dtype);
    model.check = ModelStore.checkIn(path.toAbsolutePath().getParent());
    return model;
  }

  private static Model loadFolder(Path folder, DType dtype) {
    Path file = folder.resolve("config.json");
    if (!Files.exists(file)) {
      throw new InputException("the folder " + folder + " has no config.json");
    }
    Gpt2Config config = Gpt2Config.read(file);
    Gpt2Weights weights = Gpt2Weights.read(folder, config, dtype);
    Tokenizer tokenizer = TokenizerFiles.find(folder).orElse(null);
    List<Path> files = new ArrayList<>(weights.files());
    files.addFirst(file);
    return gpt2(nameOf(folder), files, config, weights, tokenizer);
  }

  private static Model loadOnnx(Path file, DType dtype) {
    List<Path> files = new ArrayList<>(List.of(file));
    Graph read = Graph.read(file, files);
    boolean narrowed = dtype == DType.F32 && isDouble(read);
    Graph graph = dtype == DType.F64 || narrowed ? read.withFloat(dtype) : read.widened();
    int widened = (int) read.constants().values().stream().filter(Model::isHalf).count();
    Optional<HookMap> map = HookMap.beside(file);
    Graph named = map.isPresent() ? map.get().rename(graph) : graph;
    Gpt2Export.Recognised known =
        Gpt2Export.recognise(named)
            .orElseGet(() -> new Gpt2Export.Recognised(named, new Hooks(Map.of())));
    if (map.isPresent()) {
      known = map.get().bind(known);
      files.add(map.get().file());
    }
    Path folder = file.toAbsolutePath().getParent();
    Tokenizer tokenizer = TokenizerFiles.find(folder).orElse(null);
    return new Model(nameOf(file), files, known.graph(), known.hooks(), tokenizer, null, widened);
  }

  private static boolean isHalf(Tensor t) {
    return t.dtype() == DType.F16 || t.dtype() == DType.BF16;
  }

  /** Whether the floats that go in and the weights are of 64 bits. */
  private static boolean isDouble(Graph graph) {
    Set<DType> types = EnumSet.noneOf(DType.class);
    graph.inputs().forEach(v -> types.add(graph.type(v).dtype()));
    graph.constants().values().stream()
        .filter(t -> t.rank() > 0)
        .forEach(t -> types.add(t.dtype()));
    types.removeIf(type -> !type.isFloat());
    return types.equals(EnumSet.of(DType.F64));
  }

  private static String nameOf(Path path) {
    String name = path.toAbsolutePath().normalize().getFileName().toString();
    return name.endsWith(".onnx") ? name.substring(0, name.length() - ".onnx".length()) : name;
  }

  private static Model gpt2(
      String name, List<Path> files, Gpt2Config config, Gpt2Weights weights, Tokenizer tokenizer) {
    Graph graph = Gpt2Graph.whole(name, config, weights);
    return new Model(
        name,
        files,
        graph,
        Hooks.ofNames(graph),
        tokenizer,
        new Decoder.Gpt2(name, config, weights),
        weights.widened());
  }

  /** See {@link LanguageModel#of(String, int, Map)}. */
  static Model of(String name, int heads, Map<String, Tensor> tensors) {
    Gpt2Weights weights = Gpt2Weights.of(name, tensors);
    return gpt2(name, List.of(), weights.config(name, heads), weights, null);
  }

  /** See {@link LanguageModel#of(Graph)}. */
  static Model of(Graph graph) {
    return new Model(
        graph.name(),
        List.of(),
        graph,
        Hooks.ofNames(graph),
        null,
        ExportedDecoder.of(graph, Hooks.ofNames(graph)),
        0);
  }

  /** See {@link LanguageModel#of(String, Tensor, Tensor)}. */
  static Model table(String name, Tensor embedding, Tensor head) {
    if (embedding.rank() != 2 || embedding.dtype() != head.dtype()) {
      throw new InputException(
          "the embedding of "
              + name
              + " is "
              + embedding
              + " and its head "
              + head
              + "; give two matrices of one type");
    }
    Gpt2Weights.requireShape(name, "head", head, embedding.shape());
    Decoder.Table decoder = new Decoder.Table(name, embedding, head);
    Graph graph = TableGraph.whole(decoder);
    return new Model(name, List.of(), graph, Hooks.ofNames(graph), null, decoder, 0);
  }

  public String name() {
    return name;
  }

  /** The files that define what the model computes and how its hooks are called. */
  List<Path> files() {
    return files;
  }

  /**
   * SHA-256, in hexadecimal, of the files that define the model, one after the other: configuration
   * and weights of a folder; an ONNX file, its data files and its hook map. Of a model in memory,
   * of its weights in the order of their names.
   */
  public synchronized String sha256() {
    if (sha256 == null) {
      sha256 = hash();
    }
    return sha256;
  }

  private String hash() {
    MessageDigest digest = Sha256.digest();
    for (Path file : files) {
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ);
          Arena arena = Arena.ofConfined()) {
        update(digest, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena));
      } catch (IOException e) {
        throw new InputException("the file " + file + " cannot be read: " + e.getMessage(), e);
      }
    }
    if (files.isEmpty()) {
      graph.constants().entrySet().stream()
          .sorted(Map.Entry.comparingByKey())
          .forEach(e -> update(digest, e.getValue().data()));
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  private static void update(MessageDigest digest, MemorySegment data) {
    long chunk = 1 << 26;
    for (long at = 0; at < data.byteSize(); at += chunk) {
      digest.update(data.asSlice(at, Math.min(chunk, data.byteSize() - at)).asByteBuffer());
    }
  }

  /**
   * The whole computation: of a model that Assay builds, {@code input_ids} I64 [batch, sequence] to
   * {@code logits} [batch, sequence, vocabulary].
   */
  public Graph graph() {
    return graph;
  }

  /**
   * The whole computation with a cache of keys and values: further inputs {@code past.L.key} and
   * {@code past.L.value} [row, head, position, head width], which may have no positions, and
   * outputs {@code present.L.key} and {@code present.L.value}, the past followed by the new
   * positions. Empty for a model that Assay does not build.
   */
  public Optional<Graph> cached() {
    return decoder instanceof Decoder.Gpt2 g
        ? Optional.of(Gpt2Graph.cached(name, g.config(), g.weights()))
        : Optional.empty();
  }

  public Hooks hooks() {
    return hooks;
  }

  public Optional<Tokenizer> tokenizer() {
    return Optional.ofNullable(tokenizer);
  }

  /** Number of weights that were stored in 16 bits and are held in more. */
  public int widened() {
    return widened;
  }

  /** What running it on import said, of a model that was imported. */
  public Optional<ModelCheck> check() {
    return Optional.ofNullable(check);
  }

  /**
   * The same model with layer norms and biases of values folded into the weights that read them,
   * and weights centred, as TransformerLens loads it (specs/ioi.md 2.7). Logits move by one number
   * per position; what heads and MLPs compute is comparable with that of models loaded so.
   *
   * @throws InputException if Assay does not build the model
   */
  public Model folded() {
    if (!(decoder instanceof Decoder.Gpt2 g)) {
      throw new InputException(
          "the weights of " + name + " cannot be folded; give a folder of the GPT-2 family");
    }
    return gpt2(
        name + " folded",
        List.of(),
        g.config().untied(),
        FoldedWeights.of(g.config(), g.weights()),
        tokenizer);
  }

  /** The model's shape, where Assay builds it. */
  public Optional<Gpt2Config> gpt2() {
    return decoder instanceof Decoder.Gpt2 g ? Optional.of(g.config()) : Optional.empty();
  }

  /**
   * The model in parts.
   *
   * @throws InputException if it is an exported graph that cannot be taken apart
   */
  synchronized Decoder decoder() {
    if (decoder == null) {
      decoder = ExportedDecoder.of(graph, hooks);
    }
    return decoder;
  }

  /**
   * What an input of an exported graph takes where there is no past: keys or values [rows, head, 0,
   * head width]. Empty for inputs of another kind.
   */
  public Optional<Tensor> emptyPast(String input, long rows) {
    if (!ExportedDecoder.isPast(graph, input)) {
      return Optional.empty();
    }
    TensorType type = graph.type(input);
    long[] shape = {rows, type.dims().get(1).size(), 0, type.dims().get(3).size()};
    return Optional.of(Tensor.allocate(Arena.ofAuto(), type.dtype(), shape));
  }

  /**
   * Rows of the table that an integer input is looked up in, the smallest if there are several: its
   * entries count from 0 or, where they are negative, from the table's end. Empty for an input that
   * is looked up in no table whose size is known.
   */
  public OptionalLong tableRows(String input) {
    return new DrawnInputs(graph).tableRows(input);
  }

  /**
   * Why a graph cannot have inputs of these shapes; empty where it can, or where no other shapes
   * that are tried are better.
   */
  public static Optional<String> misfit(Graph graph, Map<String, long[]> shapes) {
    try {
      graph.specialise(shapes, Session::evaluate);
      return Optional.empty();
    } catch (InputException e) {
      return DrawnInputs.specialised(graph, ModelCheck.BATCH).map(_ -> e.getMessage());
    }
  }

  /**
   * The type of every value of the graph: what the file states; where it states none, the shape in
   * a run as an import makes it, or null where that is not known either.
   */
  public Map<String, TensorType> valueTypes() {
    Optional<Graph> run = DrawnInputs.specialised(graph, ModelCheck.BATCH);
    Map<String, TensorType> types = new LinkedHashMap<>();
    for (String value : graph.values()) {
      TensorType stated = graph.type(value);
      types.put(value, stated != null ? stated : run.map(g -> g.type(value)).orElse(null));
    }
    return types;
  }

  /** Releases the tokenizer; a second call does nothing. */
  @Override
  public void close() {
    if (tokenizer instanceof TokenizerFiles t) {
      t.close();
    }
  }
}
