package io.assay.engine.session;

import ai.onnxruntime.OnnxTensor;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A session together with the memory that it reads and writes. {@link #run} reads the input
 * tensors' memory as it then is and writes the output tensors' memory; nothing is copied or
 * allocated (but an output that is an input itself is copied).
 *
 * <p>A binding is used by one thread at a time; several bindings of one session may run at once.
 * The arenas of the tensors must outlive it.
 */
public final class Binding implements AutoCloseable {
  private final Session session;
  private final Map<String, OnnxTensor> inputs;
  private final Map<String, OnnxTensor> outputs;

  /** Outputs that are an input or a constant itself, with their source. */
  private final Map<Tensor, Tensor> copies;

  /**
   * The tensors themselves: they keep automatic memory alive as long as the runtime points at it.
   */
  private final List<Map<String, Tensor>> memory;

  private final Set<MemorySegment.Scope> scopes;

  private boolean closed;

  Binding(
      Session session,
      Map<String, OnnxTensor> inputs,
      Map<String, OnnxTensor> outputs,
      Map<Tensor, Tensor> copies,
      List<Map<String, Tensor>> memory) {
    this.session = session;
    this.inputs = inputs;
    this.outputs = outputs;
    this.copies = copies;
    this.memory = memory;
    this.scopes = Session.scopes(memory.stream().flatMap(m -> m.values().stream()).toList());
  }

  /**
   * Runs the graph once over the bound memory.
   *
   * @throws SessionException if the runtime fails, with its message
   * @throws IllegalStateException after the binding, its session or an arena of its tensors was
   *     closed
   */
  public synchronized void run() {
    if (closed) {
      throw new IllegalStateException("this binding of the graph " + session.name() + " is closed");
    }
    Session.requireAlive("the memory bound to the graph " + session.name(), scopes);
    session.runPinned(inputs, outputs);
    copies.forEach((to, from) -> to.data().copyFrom(from.data()));
  }

  /** The bound tensor of an input or output, or null if there is none of that name. */
  public Tensor tensor(String name) {
    return memory.stream()
        .filter(m -> m.containsKey(name))
        .map(m -> m.get(name))
        .findFirst()
        .orElse(null);
  }

  /** Releases the runtime's handles, not the tensors; a second call does nothing. */
  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      inputs.values().forEach(OnnxTensor::close);
      outputs.values().forEach(OnnxTensor::close);
    }
  }
}
