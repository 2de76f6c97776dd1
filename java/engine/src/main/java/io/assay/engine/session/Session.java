package io.assay.engine.session;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.PaddedProducts;
import io.assay.engine.graph.TensorType;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Collection;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.stream.Collectors;

/**
 * A graph compiled for a device by ONNX Runtime.
 *
 * <p>Constants of 1 KiB and more are read where the graph holds them: all sessions of one model
 * share its weights, which must stay mapped until the last of them is closed. Operators run one
 * after the other, each on the threads of the options; results do not depend on time.
 *
 * <p>A session may be used from several threads. {@link #close} waits for runs under way.
 */
public final class Session implements AutoCloseable {
  /** What the session knows of an input or output; a dimension of -1 is free. */
  private record Slot(DType dtype, long[] shape) {
    boolean isFixed() {
      return Arrays.stream(shape).allMatch(d -> d >= 0);
    }

    /** The same with free dimensions. */
    Slot free() {
      long[] any = new long[shape.length];
      Arrays.fill(any, -1);
      return new Slot(dtype, any);
    }

    boolean accepts(Tensor t) {
      if (t.dtype() != dtype || t.rank() != shape.length) {
        return false;
      }
      for (int i = 0; i < shape.length; i++) {
        if (shape[i] >= 0 && shape[i] != t.dim(i)) {
          return false;
        }
      }
      return true;
    }

    @Override
    public String toString() {
      return dtype + Arrays.toString(shape).replace("-1", "?");
    }
  }

  /** The native objects, the weights that they point at, and how long these live. */
  private record Native(
      OrtSession session,
      OrtSession.SessionOptions options,
      Map<String, OnnxTensor> weights,
      Map<String, Tensor> memory,
      Set<MemorySegment.Scope> scopes) {}

  /**
   * While it compiles, the runtime copies the weights of a graph and frees the copies; from this
   * size on the C library is then told to give them back to the system.
   */
  private static final long TRIM_BYTES = 1 << 20;

  private final Graph graph;
  private final Map<String, Slot> inputs;
  private final Map<String, Slot> outputs;

  /**
   * Outputs that are an input or a constant itself. The runtime leaves their pinned memory as it
   * is, so they are copied here.
   */
  private final Set<String> direct = new LinkedHashSet<>();

  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();

  /** Null once closed. */
  private Native handles;

  private Session(Graph graph, Native handles) throws OrtException {
    this.graph = graph;
    this.handles = handles;
    this.inputs = slots(graph, handles.session().getInputInfo());
    this.outputs = slots(graph, handles.session().getOutputInfo());
    if (graph.nodes().stream().anyMatch(n -> n.integer("ceil_mode", 0) != 0)) {
      // The runtime may count a window that it leaves out when it runs.
      outputs.replaceAll((_, slot) -> slot.free());
    }
    outputs.keySet().stream().filter(v -> graph.producer(v) == null).forEach(direct::add);
  }

  /**
   * Compiles a graph.
   *
   * @throws InputException if the device cannot be used, if the runtime refuses the graph (its
   *     message is kept), or if a constant has more than 2 GB
   */
  public static Session compile(Graph graph, SessionOptions options) {
    OrtLibrary.require(options.device());
    Graph ready = graph.withConstantFilters((part, _) -> once(part, options)).forRuntime();
    if (hasOwnOperators(options)) {
      ready = ready.withOwnOperators();
    }
    if (!options.prepack() || options.device().kind() != Device.Kind.CPU) {
      return create(ready, options);
    }
    try (Arena arena = Arena.ofConfined()) {
      return create(PaddedProducts.pad(ready, arena), options, ready.constants().keySet());
    }
  }

  /** Whether the runtime can take operators from the native library. */
  private static boolean hasOwnOperators(SessionOptions options) {
    return options.device().kind() == Device.Kind.CPU && CpuKernels.library() != null;
  }

  /** The outputs of a graph without inputs. */
  private static Map<String, Tensor> once(Graph graph, SessionOptions options) {
    try (Session session = create(graph, options)) {
      return session.run(Map.of());
    }
  }

  /**
   * Runs a graph once, on one thread of the processor: what {@link Graph#specialise} folds
   * constants with.
   *
   * @throws InputException as {@link #compile} and {@link #run(Map)} do
   * @throws SessionException if the runtime fails, with its message
   */
  public static Map<String, Tensor> evaluate(Graph graph, Map<String, Tensor> inputs) {
    try (Session session = compile(graph, SessionOptions.cpu(1))) {
      return session.run(inputs);
    }
  }

  /** Compiles a graph as it is. */
  static Session create(Graph graph, SessionOptions options) {
    return create(graph, options, graph.constants().keySet());
  }

  /**
   * Compiles a graph as it is.
   *
   * @param shared constants that are read where they lie; of the others the runtime makes copies,
   *     and drops those that it packs
   */
  private static Session create(Graph graph, SessionOptions options, Set<String> shared) {
    OrtEnvironment environment = OrtLibrary.environment();
    Map<String, Tensor> memory = new LinkedHashMap<>();
    byte[] proto = graph.toProto(memory);
    memory.replaceAll((name, t) -> OrtTensors.alignedWeight(t));
    Map<String, OnnxTensor> weights = new LinkedHashMap<>();
    OrtSession.SessionOptions settings = new OrtSession.SessionOptions();
    OrtSession session = null;
    try {
      configure(settings, options);
      for (Map.Entry<String, Tensor> e : memory.entrySet()) {
        weights.put(e.getKey(), OrtTensors.wrap(environment, e.getKey(), e.getValue()));
      }
      share(settings, weights, shared);
      session = environment.createSession(proto, settings);
      for (String name : List.copyOf(weights.keySet())) {
        if (!shared.contains(name)) {
          weights.remove(name).close();
          memory.remove(name);
        }
      }
      if (memory.values().stream().mapToLong(t -> t.data().byteSize()).sum() > TRIM_BYTES) {
        OrtLibrary.trim();
      }
      return new Session(
          graph, new Native(session, settings, weights, memory, scopes(memory.values())));
    } catch (OrtException e) {
      release(session, settings, weights);
      boolean wide = graph.types().values().stream().anyMatch(t -> t.dtype() == DType.F64);
      String remedy =
          wide && e.getCode() == OrtException.OrtErrorCode.ORT_NOT_IMPLEMENTED
              ? "; the runtime lacks float64 for some operators: compute in float32 (--dtype f32)"
              : "";
      throw new InputException(
          "the graph " + graph.name() + " cannot be compiled: " + words(e) + remedy, e);
    } catch (RuntimeException | Error e) {
      release(session, settings, weights);
      throw e;
    }
  }

  /** The distinct lifetimes of tensors. */
  static Set<MemorySegment.Scope> scopes(Collection<Tensor> tensors) {
    return tensors.stream().map(t -> t.data().scope()).collect(Collectors.toUnmodifiableSet());
  }

  /**
   * Refuses memory that is gone, which native code would read all the same.
   *
   * @throws IllegalStateException if an arena was closed
   */
  static void requireAlive(String what, Set<MemorySegment.Scope> scopes) {
    for (MemorySegment.Scope scope : scopes) {
      if (!scope.isAlive()) {
        throw new IllegalStateException(
            "the arena of " + what + " was closed too early; close it after the session");
      }
    }
  }

  /**
   * Hands the weights over. Two calls are needed: the first gives a constant without data its
   * value, of which the runtime would then make a copy for this session; the second lets it use the
   * value where it lies.
   */
  private static void share(
      OrtSession.SessionOptions settings, Map<String, OnnxTensor> weights, Set<String> shared)
      throws OrtException {
    if (!weights.isEmpty()) {
      settings.addExternalInitializers(Map.copyOf(weights));
    }
    for (Map.Entry<String, OnnxTensor> e : weights.entrySet()) {
      if (shared.contains(e.getKey())) {
        settings.addInitializer(e.getKey(), e.getValue());
      }
    }
  }

  private static void configure(OrtSession.SessionOptions settings, SessionOptions options)
      throws OrtException {
    settings.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
    settings.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL);
    settings.setIntraOpNumThreads(options.threads());
    settings.setInterOpNumThreads(1);
    settings.setDeterministicCompute(true);
    settings.addConfigEntry("session.disable_prepacking", options.prepack() ? "0" : "1");
    // Folding would write a copy of each weight that is read through a Transpose or a Cast; graphs
    // fold their shape arithmetic themselves.
    // Scale fusion would round the scale of a float64 product to a float32 attribute.
    // The optimiser of transpositions turns a constant around under its own name, and then meets
    // the one that was handed over, which is not turned.
    settings.addConfigEntry(
        "optimization.disable_specified_optimizers",
        "ConstantFolding;MatMulScaleFusion;TransposeOptimizer;"
            + "TransposeOptimizer_CPUExecutionProvider");
    // Threads that wait for the next operator spin; between runs they must leave the processor to
    // the kernels.
    settings.addConfigEntry("session.force_spinning_stop", "1");
    settings.addConfigEntry("session.intra_op.allow_spinning", options.spin() ? "1" : "0");
    if (options.device().kind() == Device.Kind.CUDA) {
      settings.addCUDA(options.device().index());
    }
    if (hasOwnOperators(options)) {
      settings.registerCustomOpLibrary(CpuKernels.library().toString());
    }
  }

  private static void release(
      OrtSession session, OrtSession.SessionOptions settings, Map<String, OnnxTensor> weights) {
    if (session != null) {
      try {
        session.close();
      } catch (OrtException e) {
        throw new IllegalStateException("a session could not be released: " + words(e), e);
      }
    }
    settings.close();
    weights.values().forEach(OnnxTensor::close);
  }

  private static Map<String, Slot> slots(Graph graph, Map<String, NodeInfo> infos) {
    Map<String, Slot> slots = new LinkedHashMap<>();
    infos.forEach(
        (name, info) -> {
          DType dtype = info.getInfo() instanceof TensorInfo t ? OrtTensors.dtype(t.type) : null;
          if (dtype == null) {
            throw new InputException(
                "the graph "
                    + graph.name()
                    + " has the input or output "
                    + name
                    + " of an unsupported type ("
                    + info.getInfo()
                    + "); tensors of floats, integers and booleans can be run");
          }
          slots.put(name, new Slot(dtype, ((TensorInfo) info.getInfo()).getShape()));
        });
    return slots;
  }

  /** Name of the compiled graph. */
  public String name() {
    return graph.name();
  }

  /** Operations of one run: {@link Graph#operations} of the compiled graph. */
  public long operations() {
    return graph.operations();
  }

  /** Whether {@link #close} was called. */
  public boolean isClosed() {
    lock.readLock().lock();
    try {
      return handles == null;
    } finally {
      lock.readLock().unlock();
    }
  }

  /**
   * Runs the graph once.
   *
   * @param values all inputs, by name
   * @return all outputs, by name, in memory of their own
   * @throws InputException if an input is missing, unknown, or of another type or shape than the
   *     graph takes
   * @throws SessionException if the runtime fails, with its message
   * @throws IllegalStateException after {@link #close}
   */
  public Map<String, Tensor> run(Map<String, Tensor> values) {
    check(values, inputs, "input", inputs.keySet());
    Map<String, Tensor> aligned = new LinkedHashMap<>(values);
    aligned.replaceAll((name, t) -> OrtTensors.aligned(t));
    // Outputs of known shape are written where they will stay; the others are copied out. The
    // runtime shows an output whose rank it does not know like a scalar.
    Map<String, Tensor> results = new LinkedHashMap<>();
    Map<String, Tensor> pinned = new LinkedHashMap<>();
    Set<String> others = new LinkedHashSet<>();
    outputs.forEach(
        (name, slot) -> {
          Tensor t = null;
          if (direct.contains(name)) {
            t = OrtTensors.copy(source(name, values));
          } else if (slot.isFixed() && slot.shape().length > 0) {
            t = Tensor.allocate(Arena.ofAuto(), slot.dtype(), slot.shape());
            pinned.put(name, t);
          } else {
            others.add(name);
          }
          results.put(name, t);
        });
    Map<String, OnnxTensor> in = Map.of();
    Map<String, OnnxTensor> out = Map.of();
    lock.readLock().lock();
    try {
      OrtSession session = open();
      if (pinned.isEmpty() && others.isEmpty()) {
        return results;
      }
      in = wrap(aligned);
      out = wrap(pinned);
      try (OrtSession.Result result = session.run(in, others, out)) {
        for (String name : others) {
          results.put(name, OrtTensors.read((OnnxTensor) result.get(name).orElseThrow()));
        }
      }
      return results;
    } catch (OrtException e) {
      throw failure(e);
    } finally {
      lock.readLock().unlock();
      in.values().forEach(OnnxTensor::close);
      out.values().forEach(OnnxTensor::close);
    }
  }

  /** The input or constant that is the output {@code name} itself. */
  private Tensor source(String name, Map<String, Tensor> values) {
    Tensor input = values.get(name);
    return input != null ? input : graph.constant(name);
  }

  /**
   * Ties the graph to memory: each {@link Binding#run} reads {@code values} and writes {@code
   * results}, without a copy.
   *
   * @param values all inputs, by name; off-heap and aligned to their element
   * @param results the outputs wanted, by name; off-heap, aligned to their element, and apart from
   *     the inputs and from each other
   * @throws InputException if a name is missing or unknown, or a type or shape is not what the
   *     graph has
   * @throws IllegalArgumentException if memory is on the heap, misaligned, read-only (results) or
   *     overlaps
   */
  public Binding bind(Map<String, Tensor> values, Map<String, Tensor> results) {
    check(values, inputs, "input", inputs.keySet());
    check(results, outputs, "output", Set.of());
    if (results.isEmpty()) {
      throw new InputException(
          "no output of the graph " + name() + " is bound; bind one of " + outputs.keySet());
    }
    Map<String, Tensor> ins = new LinkedHashMap<>(values);
    Map<String, Tensor> outs = new LinkedHashMap<>(results);
    requireBindable(ins, outs);
    lock.readLock().lock();
    try {
      open();
      Map<String, Tensor> pinned = new LinkedHashMap<>(outs);
      pinned.keySet().removeAll(direct);
      Map<Tensor, Tensor> copies = new IdentityHashMap<>();
      outs.forEach(
          (name, t) -> {
            if (direct.contains(name)) {
              Tensor source = source(name, ins);
              if (!Arrays.equals(t.shape(), source.shape())) {
                throw new InputException(
                    "the output "
                        + name
                        + " of the graph "
                        + name()
                        + " is "
                        + source
                        + ", not "
                        + t);
              }
              copies.put(t, source);
            }
          });
      return new Binding(this, wrap(ins), wrap(pinned), copies, List.of(ins, outs));
    } catch (OrtException e) {
      throw failure(e);
    } finally {
      lock.readLock().unlock();
    }
  }

  private void requireBindable(Map<String, Tensor> ins, Map<String, Tensor> outs) {
    ins.forEach(this::requireInPlace);
    outs.forEach(
        (name, t) -> {
          requireInPlace(name, t);
          if (t.data().isReadOnly()) {
            throw new IllegalArgumentException("the memory bound to " + name + " is read-only");
          }
          requireApart(name, t, ins);
          requireApart(name, t, outs);
        });
  }

  private void requireInPlace(String name, Tensor t) {
    if (!OrtTensors.inPlace(t)) {
      throw new IllegalArgumentException(
          "the memory bound to "
              + name
              + " of the graph "
              + name()
              + " must be off-heap and aligned to "
              + t.dtype().bytes()
              + " bytes; use Tensor.allocate");
    }
  }

  private static void requireApart(String name, Tensor t, Map<String, Tensor> others) {
    others.forEach(
        (other, o) -> {
          if (o != t && t.elements() > 0 && t.data().asOverlappingSlice(o.data()).isPresent()) {
            throw new IllegalArgumentException(
                "the memory bound to the output " + name + " overlaps that of " + other);
          }
        });
  }

  /** The run of a {@link Binding}. */
  void runPinned(Map<String, OnnxTensor> in, Map<String, OnnxTensor> out) {
    lock.readLock().lock();
    try {
      OrtSession session = open();
      if (!out.isEmpty()) {
        session.run(in, Set.of(), out).close();
      }
    } catch (OrtException e) {
      throw failure(e);
    } finally {
      lock.readLock().unlock();
    }
  }

  /** Runtime values over {@code tensors}; none is left behind if one fails. */
  private static Map<String, OnnxTensor> wrap(Map<String, Tensor> tensors) throws OrtException {
    Map<String, OnnxTensor> wrapped = new LinkedHashMap<>();
    try {
      for (Map.Entry<String, Tensor> e : tensors.entrySet()) {
        wrapped.put(
            e.getKey(), OrtTensors.wrap(OrtLibrary.environment(), e.getKey(), e.getValue()));
      }
      return wrapped;
    } catch (OrtException | RuntimeException e) {
      wrapped.values().forEach(OnnxTensor::close);
      throw e;
    }
  }

  private void check(
      Map<String, Tensor> values,
      Map<String, Slot> slots,
      String what,
      Collection<String> required) {
    for (Map.Entry<String, Tensor> e : values.entrySet()) {
      Slot slot = slots.get(e.getKey());
      if (slot == null) {
        throw new InputException(
            "the graph "
                + name()
                + " has no "
                + what
                + " "
                + e.getKey()
                + "; it has "
                + slots.keySet());
      }
      if (!slot.accepts(e.getValue())) {
        TensorType type = graph.type(e.getKey());
        throw new InputException(
            "the "
                + what
                + " "
                + e.getKey()
                + " of the graph "
                + name()
                + " is "
                + (type == null ? slot : type)
                + ", not "
                + e.getValue());
      }
    }
    for (String name : required) {
      if (!values.containsKey(name)) {
        throw new InputException(
            "the "
                + what
                + " "
                + name
                + " of the graph "
                + name()
                + " is missing; give a "
                + slots.get(name));
      }
    }
  }

  private OrtSession open() {
    if (handles == null) {
      throw new IllegalStateException("the session of the graph " + name() + " is closed");
    }
    requireAlive("the weights of the graph " + name(), handles.scopes());
    return handles.session();
  }

  private SessionException failure(OrtException e) {
    return new SessionException(
        "the graph " + name() + " failed: " + words(e),
        e.getCode() == OrtException.OrtErrorCode.ORT_INVALID_ARGUMENT,
        e);
  }

  /** The runtime's message on one line. */
  static String words(OrtException e) {
    return String.valueOf(e.getMessage()).strip().replaceAll("\\s+", " ");
  }

  /**
   * Waits for runs under way, then releases the session, not the weights; a second call does
   * nothing.
   */
  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      if (handles != null) {
        Native h = handles;
        handles = null;
        release(h.session(), h.options(), h.weights());
      }
    } finally {
      lock.writeLock().unlock();
    }
  }
}
