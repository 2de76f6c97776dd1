package io.assay.engine.kernel;

import io.assay.engine.InputException;
import io.assay.engine.device.CudaDriver;
import io.assay.engine.device.DeviceException;
import io.assay.engine.device.DeviceTensor;
import io.assay.engine.device.Driver;
import io.assay.engine.device.Gpu;
import io.assay.engine.kernel.KernelStructs.Use;
import io.assay.engine.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * The kernels on a CUDA device. Arguments are the host's: inputs are copied to the device, beside
 * kernels of other threads, outputs back; {@link #keep} spares that. What the CUDA library lacks,
 * the network of grokking, is done by other kernels.
 */
public final class CudaKernels implements Kernels {
  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
  private final CudaLibrary library;
  private final Gpu gpu;
  private final Kernels host;

  /**
   * A table of the host and its copy, which serves as long as the host's memory is that table's:
   * where it has ended, something else may lie at its address.
   */
  private record Kept(MemorySegment table, DeviceTensor copy) {
    boolean serves(long bytes) {
      return table.scope().isAlive() && copy.bytes() >= bytes;
    }
  }

  /** By the address of the host's memory. */
  private final Map<Long, Kept> kept = new ConcurrentHashMap<>();

  /** Null once closed. */
  private MemorySegment stream;

  /**
   * Opens the kernels on a part of a device.
   *
   * @param gpu the part; closed with these kernels
   * @param host for what the CUDA library lacks; closed with these kernels
   * @throws InputException if there is no CUDA library that can be used, with the reason
   */
  CudaKernels(Gpu gpu, Kernels host) {
    library = CudaLibrary.get();
    this.gpu = gpu;
    this.host = host;
    gpu.run(stream -> this.stream = library.create(gpu.device(), stream.handle()));
  }

  /** Why there are none on this machine, in one line, or null where there are. */
  public static String reason() {
    return CudaDriver.reason() != null ? CudaDriver.reason() : libraryReason();
  }

  /** Why there is no CUDA library that can be used, in one line, or null where there is. */
  public static String libraryReason() {
    try {
      CudaLibrary.get();
      return null;
    } catch (InputException e) {
      return e.getMessage();
    }
  }

  /**
   * Opens the kernels on a device.
   *
   * @param device its number, from 0
   * @param threads most threads of the host that a call uses of what the CUDA library lacks
   * @throws InputException if there is no such device, driver or library, with the reason
   */
  public static CudaKernels open(int device, int threads) {
    try {
      return open(CudaDriver.open(), device, threads);
    } catch (DeviceException e) {
      throw new InputException("there are no cuda kernels: " + e.getMessage(), e);
    }
  }

  static CudaKernels open(Driver driver, int device, int threads) {
    CudaLibrary.get();
    Gpu gpu = new Gpu(driver, device);
    try {
      return new CudaKernels(gpu, Kernels.open(threads));
    } catch (RuntimeException e) {
      gpu.close();
      throw e;
    }
  }

  @Override
  public String implementation() {
    return "cuda";
  }

  @Override
  public String tier() {
    return "device " + gpu.device();
  }

  @Override
  public void keep(Matrix table) {
    lock.readLock().lock();
    try {
      requireOpen();
      MemorySegment data = table.data().asSlice(0, table.bytes());
      kept.compute(
          data.address(),
          (address, there) ->
              there != null && there.serves(data.byteSize())
                  ? there
                  : new Kept(data, gpu.upload(data)));
    } finally {
      lock.readLock().unlock();
    }
  }

  @Override
  public void tokenSwapTopk(TokenSwap a) {
    KernelArguments.check(a);
    if (a.gradient().rows() == 0) {
      return;
    }
    run(
        library.tokenSwapTopk,
        call -> {
          MemorySegment s = KernelStructs.swap(call.memory, call, a, null);
          Launch kernel =
              (w, bytes, on) -> (int) library.tokenSwapTopk.call().invokeExact(s, w, bytes, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void headRows(
      HeadRows a,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin) {
    KernelArguments.checkOutputs(a, logProb, lse, argMax, margin);
    long rows = a.hidden().rows();
    if (rows == 0) {
      return;
    }
    long reals = rows * a.hidden().dtype().bytes();
    run(
        library.headRows,
        call -> {
          MemorySegment s = KernelStructs.head(call.memory, call, a);
          MemorySegment p = call.of("logProb", logProb, reals, Use.WRITES);
          MemorySegment l = call.of("lse", lse, reals, Use.WRITES);
          MemorySegment best = call.of("argMax", argMax, rows * Integer.BYTES, Use.WRITES);
          MemorySegment m = call.of("margin", margin, reals, Use.WRITES);
          Launch kernel =
              (w, bytes, on) ->
                  (int) library.headRows.call().invokeExact(s, p, l, best, m, w, bytes, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void headBackward(HeadRows a, MemorySegment lse, MemorySegment weight, Matrix gradient) {
    KernelArguments.checkBackward(a, lse, weight, gradient);
    long reals = a.hidden().rows() * a.hidden().dtype().bytes();
    if (reals == 0) {
      return;
    }
    run(
        library.headBackward,
        call -> {
          MemorySegment s = KernelStructs.head(call.memory, call, a);
          MemorySegment l = call.of("lse", lse, reals, Use.READS);
          MemorySegment w = call.of("weight", weight, reals, Use.READS);
          MemorySegment g =
              KernelStructs.matrix(call.memory, call, "gradient", gradient, Use.WRITES);
          Launch kernel =
              (work, bytes, on) ->
                  (int) library.headBackward.call().invokeExact(s, l, w, g, work, bytes, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void adamw(Matrix p, Matrix g, Matrix m, Matrix v, AdamW settings, long step) {
    KernelArguments.checkAdamw(p, g, m, v, settings, step);
    run(
        library.adamw,
        call -> {
          MemorySegment s = KernelStructs.adamw(call.memory, settings, step);
          MemorySegment gradients =
              KernelStructs.matrix(call.memory, call, "gradients", g, Use.READS);
          MemorySegment parameters =
              KernelStructs.matrix(call.memory, call, "parameters", p, Use.CHANGES);
          MemorySegment first =
              KernelStructs.matrix(call.memory, call, "firstMoments", m, Use.CHANGES);
          MemorySegment second =
              KernelStructs.matrix(call.memory, call, "secondMoments", v, Use.CHANGES);
          Launch kernel =
              (w, bytes, on) ->
                  (int)
                      library
                          .adamw
                          .call()
                          .invokeExact(s, gradients, parameters, first, second, w, bytes, on);
          call.launch(parameters, kernel);
        });
  }

  @Override
  public void fourierAblate(FourierAblate a) {
    KernelArguments.check(a);
    long losses = (long) a.familyCount() * a.groupCount() * Double.BYTES;
    run(
        library.fourierAblate,
        call -> {
          MemorySegment s = KernelStructs.fourier(call.memory, call, a, MemorySegment.NULL);
          MemorySegment loss = call.of("loss", a.loss(), losses, Use.WRITES);
          Launch kernel =
              (w, bytes, on) ->
                  (int) library.fourierAblate.call().invokeExact(s, loss, w, bytes, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void suffixAttention(SuffixAttention a, Matrix out) {
    KernelArguments.check(a, out);
    run(
        library.suffixAttention,
        call -> {
          MemorySegment s = KernelStructs.attention(call.memory, call, a);
          MemorySegment to = KernelStructs.matrix(call.memory, call, "out", out, Use.WRITES);
          Launch kernel =
              (w, bytes, on) ->
                  (int) library.suffixAttention.call().invokeExact(s, to, w, bytes, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void patchRows(PatchRows a, Matrix middle) {
    KernelArguments.check(a, middle);
    run(
        library.patchRows,
        call -> {
          MemorySegment s = KernelStructs.patch(call.memory, call, a);
          MemorySegment to = KernelStructs.matrix(call.memory, call, "middle", middle, Use.WRITES);
          MemorySegment normed = KernelStructs.normed(call.memory, call, a);
          Launch kernel =
              (w, bytes, on) ->
                  (int) library.patchRows.call().invokeExact(s, to, normed, w, bytes, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void edgeScores(EdgeScores a) {
    KernelArguments.check(a);
    long bytes = a.changes().rows() * a.gradients().rows() * Double.BYTES;
    run(
        library.edgeScores,
        call -> {
          MemorySegment s = KernelStructs.edges(call.memory, call, a);
          MemorySegment scores = call.of("scores", a.scores(), bytes, Use.WRITES);
          Launch kernel =
              (w, size, on) -> (int) library.edgeScores.call().invokeExact(s, scores, w, size, on);
          call.launch(s, kernel);
        });
  }

  @Override
  public void grok(GrokPairs args) {
    host.grok(args);
  }

  @Override
  public void grokGrid(GrokGrid args) {
    host.grokGrid(args);
  }

  /** A kernel's downcall. */
  private interface Launch {
    int with(MemorySegment workspace, long bytes, MemorySegment stream) throws Throwable;
  }

  private interface Body {
    void with(Call call) throws Throwable;
  }

  private void run(CudaLibrary.Kernel kernel, Body body) {
    lock.readLock().lock();
    try (Call call = new Call(kernel)) {
      requireOpen();
      body.with(call);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("the library throws nothing", e);
    } finally {
      lock.readLock().unlock();
    }
  }

  private void requireOpen() {
    if (stream == null) {
      throw new IllegalStateException("these kernels are closed");
    }
  }

  /** One call: its structs, its arrays on the device, and where they go back to. */
  private final class Call implements KernelStructs.Addresses, AutoCloseable {
    private final CudaLibrary.Kernel kernel;
    private final Arena memory = Arena.ofConfined();
    private final List<DeviceTensor> all = new ArrayList<>();
    private final List<DeviceTensor> own = new ArrayList<>();
    private final List<Runnable> back = new ArrayList<>();

    Call(CudaLibrary.Kernel kernel) {
      this.kernel = kernel;
    }

    @Override
    public MemorySegment of(String name, MemorySegment array, long bytes, Use use) {
      if (array == null) {
        return MemorySegment.NULL;
      }
      Kept there = use == Use.READS ? kept.get(array.address()) : null;
      if (there != null && there.serves(bytes) && array.isNative()) {
        all.add(there.copy());
        return there.copy().address();
      }
      DeviceTensor copy = own(bytes);
      MemorySegment part = array.asSlice(0, bytes);
      if (use != Use.WRITES) {
        copy.upload(part);
      }
      if (use != Use.READS) {
        back.add(() -> copy.download(part));
      }
      return copy.address();
    }

    private DeviceTensor own(long bytes) {
      DeviceTensor made = gpu.allocate(DType.U8, bytes);
      own.add(made);
      all.add(made);
      return made;
    }

    /** Queues the kernel, and waits for what it writes. */
    void launch(MemorySegment sizes, Launch call) throws Throwable {
      MemorySegment size = memory.allocate(ValueLayout.JAVA_LONG);
      library.require((int) kernel.workspace().invokeExact(sizes, size));
      long bytes = size.get(ValueLayout.JAVA_LONG, 0);
      MemorySegment workspace = bytes == 0 ? MemorySegment.NULL : own(bytes).address();
      Throwable[] failed = new Throwable[1];
      gpu.run(
          queue -> {
            try {
              library.require(call.with(workspace, bytes, stream));
            } catch (Throwable e) {
              failed[0] = e;
            }
          },
          all.toArray(DeviceTensor[]::new));
      if (failed[0] != null) {
        throw failed[0];
      }
      back.forEach(Runnable::run);
    }

    @Override
    public void close() {
      own.forEach(DeviceTensor::close);
      memory.close();
    }
  }

  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      if (stream != null) {
        library.destroy(stream);
        stream = null;
        gpu.close();
        host.close();
      }
    } finally {
      lock.writeLock().unlock();
    }
  }
}
