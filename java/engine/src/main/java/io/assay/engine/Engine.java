package io.assay.engine;

import io.assay.engine.graph.Evaluator;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Device;
import io.assay.engine.session.OrtLibrary;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionOptions;
import java.util.ArrayList;
import java.util.List;

/**
 * The place where everything runs: a device, a number of threads, and what was opened on them.
 *
 * <p>Any number of engines may be open at once, and one engine may be used from several threads.
 * Closing it closes the sessions that it compiled.
 */
public final class Engine implements AutoCloseable {
  private final EngineOptions options;
  private final List<Session> sessions = new ArrayList<>();
  private boolean closed;

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
    requireOpen();
    Session session =
        Session.compile(graph, new SessionOptions(device(), threads(), prepack));
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
   * Runs graphs once, on one thread of the processor: what {@link Graph#specialise} folds constants
   * with. It needs no closing and may be used after the engine.
   */
  public Evaluator evaluator() {
    return (graph, inputs) -> {
      try (Session session = Session.compile(graph, SessionOptions.cpu(1))) {
        return session.run(inputs);
      }
    };
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
   * Closes the sessions that were compiled here, after their runs under way; a second call does
   * nothing.
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
  }
}
