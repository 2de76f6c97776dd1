package io.assay.engine;

import io.assay.engine.graph.Evaluator;
import io.assay.engine.graph.Graph;
import io.assay.engine.kernel.CudaKernels;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Model;
import io.assay.engine.model.ModelStore;
import io.assay.engine.session.Device;
import io.assay.engine.session.OrtLibrary;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionOptions;
import io.assay.engine.tensor.DType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * The place where everything runs: a device, a number of threads, and what was opened on them.
 *
 * {@snippet :
 * try (Engine engine = Engine.open()) {
 *   LanguageModel model = engine.languageModel("models/gpt2");
 *   ...
 * }
 * }
 *
 * <p>Any number of engines may be open at once, and one engine may be used from several threads.
 * Closing it closes the sessions that it compiled, its kernels and the models that it loaded.
 */
public final class Engine implements AutoCloseable {
  private final EngineOptions options;
  private final List<Session> sessions = new ArrayList<>();
  private final Map<Source, Model> models = new HashMap<>();
  private Kernels kernels;
  private boolean closed;

  /** What a model was loaded from, and as what; null for its own type. */
  private record Source(Path path, DType dtype) {}

  private Engine(EngineOptions options) {
    this.options = options;
  }

  /** An engine on the processor, with a thread for each of its cores. */
  public static Engine open() {
    return open(EngineOptions.defaults());
  }

  /**
   * An engine of the given settings.
   *
   * @throws InputException if the device cannot be used: the message says what is missing and where
   *     it was looked for
   */
  public static Engine open(EngineOptions options) {
    OrtLibrary.require(options.device());
    return new Engine(options);
  }

  public EngineOptions options() {
    return options;
  }

  public Device device() {
    return options.device();
  }

  public int threads() {
    return options.threads();
  }

  /**
   * The best kernels that this engine's device has, else those of the processor, on the threads of
   * this engine; closed with it.
   *
   * @throws IllegalStateException after {@link #close}
   */
  public synchronized Kernels kernels() {
    requireOpen();
    if (kernels == null) {
      boolean cuda = device().kind() == Device.Kind.CUDA && CudaKernels.reason() == null;
      kernels = cuda ? CudaKernels.open(device().index(), threads()) : Kernels.open(threads());
    }
    return kernels;
  }

  /**
   * Compiles a graph whose session shares the weights with all others of the model.
   *
   * @throws InputException if the runtime refuses the graph
   * @throws IllegalStateException after {@link #close}
   */
  public Session compile(Graph graph) {
    return compile(graph, false);
  }

  /**
   * Compiles a graph.
   *
   * @param prepack whether the session keeps packed copies of the weights, for faster products; see
   *     {@link SessionOptions}
   * @throws InputException if the runtime refuses the graph
   * @throws IllegalStateException after {@link #close}
   */
  public Session compile(Graph graph, boolean prepack) {
    return compile(graph, options -> options.withPrepack(prepack));
  }

  /**
   * Compiles a graph.
   *
   * @param changes what is to be different from a session that shares the weights and spins
   * @throws InputException if the runtime refuses the graph
   * @throws IllegalStateException after {@link #close}
   */
  public Session compile(Graph graph, UnaryOperator<SessionOptions> changes) {
    requireOpen();
    SessionOptions usual = new SessionOptions(device(), threads(), false, true);
    Session session = Session.compile(graph, changes.apply(usual));
    synchronized (this) {
      if (!closed) {
        sessions.removeIf(Session::isClosed);
        sessions.add(session);
        return session;
      }
    }
    session.close();
    throw closedError();
  }

  /**
   * {@link #model(Path, DType)} in the model's own float type: that of an ONNX file, or float32.
   *
   * @param model a path, or the name of an imported model or a bundled organism
   */
  public Model model(String model) {
    Path path = ModelStore.ofUser().find(model);
    return model(new Source(path.toAbsolutePath().normalize(), null), () -> Model.load(path));
  }

  /**
   * The model at a path: a Hugging Face folder of the GPT-2 family, or an ONNX file. It is loaded
   * once, and closed with the engine.
   *
   * @param dtype float type to compute in, {@code F32} or {@code F64}
   * @throws InputException if the path holds no model that Assay can read
   * @throws IllegalStateException after {@link #close}
   */
  public Model model(Path path, DType dtype) {
    Source source = new Source(path.toAbsolutePath().normalize(), dtype);
    return model(source, () -> Model.load(path, dtype));
  }

  private Model model(Source source, Supplier<Model> load) {
    synchronized (models) {
      requireOpen();
      return models.computeIfAbsent(source, s -> load.get());
    }
  }

  /**
   * {@link #languageModel(Path, DType)} in the model's own float type.
   *
   * @param model a path, or the name of an imported model or a bundled organism
   */
  public LanguageModel languageModel(String model) {
    return LanguageModel.of(model(model));
  }

  /**
   * The decoder at a path, as audits of language models use it; see {@link #model(Path, DType)}.
   *
   * @throws InputException if the path holds no model, or none that is a decoder
   * @throws IllegalStateException after {@link #close}
   */
  public LanguageModel languageModel(Path path, DType dtype) {
    return LanguageModel.of(model(path, dtype));
  }

  /**
   * Runs graphs once, on one thread of the processor: what {@link Graph#specialise} folds constants
   * with. It needs no closing and may be used after the engine.
   */
  public Evaluator evaluator() {
    return Session::evaluate;
  }

  private synchronized void requireOpen() {
    if (closed) {
      throw closedError();
    }
  }

  private static IllegalStateException closedError() {
    return new IllegalStateException("this engine is closed");
  }

  /**
   * Closes the sessions that were compiled here, after their runs under way, the kernels and the
   * models; a second call does nothing.
   */
  @Override
  public void close() {
    List<Session> children;
    synchronized (this) {
      closed = true;
      children = List.copyOf(sessions);
      sessions.clear();
    }
    children.forEach(Session::close);
    synchronized (this) {
      if (kernels != null) {
        kernels.close();
      }
    }
    synchronized (models) {
      models.values().forEach(Model::close);
      models.clear();
    }
  }
}
