package io.assay.engine.device;

import static jcuda.driver.JCudaDriver.*;

import io.assay.engine.internal.UserCache;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.net.URL;
import java.nio.file.Path;
import jcuda.JCudaVersion;
import jcuda.LibUtils;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/** The installed driver, by JCuda. */
public final class CudaDriver implements Driver {
  private static final String LIBRARY = "libcuda.so.1";
  private static final String TEMPORARY = "java.io.tmpdir";

  /** Why the driver cannot be used, or null where it can. */
  private static final String REASON = load();

  private CudaDriver() {}

  /** Null where the driver can be used, else why not, in one line. */
  public static String reason() {
    return REASON;
  }

  /**
   * The driver.
   *
   * @throws DeviceException if it cannot be used, with the reason
   */
  public static CudaDriver open() {
    if (REASON != null) {
      throw new DeviceException(REASON);
    }
    return new CudaDriver();
  }

  /**
   * JCuda's class fails for good if it is touched where there is no driver: so that comes first.
   */
  private static String load() {
    try (Arena arena = Arena.ofConfined()) {
      SymbolLookup.libraryLookup(LIBRARY, arena);
    } catch (IllegalArgumentException e) {
      return LIBRARY + " was not found on the system's library path";
    }
    String name = LibUtils.createPlatformLibraryName("JCudaDriver-" + JCudaVersion.get());
    String file = LibUtils.createLibraryFileName(name);
    URL carried = LibUtils.class.getClassLoader().getResource("lib/" + file);
    if (carried == null) {
      return "JCuda carries no " + file;
    }
    Path folder = UserCache.folder("jcuda-" + JCudaVersion.get());
    try {
      UserCache.unpack(carried, folder.resolve(file));
    } catch (IOException e) {
      return "JCuda's library cannot be unpacked into " + folder + ": " + e.getMessage();
    }
    String before = System.setProperty(TEMPORARY, folder.toString());
    try {
      JCudaDriver.setExceptionsEnabled(false);
      int status = cuInit(0);
      return status == CUresult.CUDA_SUCCESS ? null : "cuInit gives " + CUresult.stringFor(status);
    } catch (UnsatisfiedLinkError e) {
      return "JCuda's library cannot be loaded from " + folder + ": " + cause(e);
    } finally {
      System.setProperty(TEMPORARY, before);
    }
  }

  /** The last of the loader's words: JCuda puts two whole stack traces into the message. */
  private static String cause(UnsatisfiedLinkError e) {
    return e.getMessage()
        .lines()
        .filter(line -> line.contains(UnsatisfiedLinkError.class.getSimpleName()))
        .reduce((first, last) -> last)
        .orElse("no reason is given")
        .strip();
  }

  private static void check(String function, int status) {
    if (status != CUresult.CUDA_SUCCESS) {
      throw new DeviceException(
          function + " gives " + CUresult.stringFor(status),
          status == CUresult.CUDA_ERROR_OUT_OF_MEMORY);
    }
  }

  @Override
  public int devices() {
    int[] count = new int[1];
    check("cuDeviceGetCount", cuDeviceGetCount(count));
    return count[0];
  }

  @Override
  public Context open(int device) {
    CUdevice of = new CUdevice();
    check("cuDeviceGet", cuDeviceGet(of, device));
    CUcontext context = new CUcontext();
    check("cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRetain(context, of));
    return new Primary(of, context);
  }

  /** A call of the driver, which gives its status. */
  private interface Call {
    int make();
  }

  /** The device's primary context, which CUDA's runtime uses too. */
  private record Primary(CUdevice device, CUcontext context) implements Context {
    /** Makes a call in this context and leaves the thread's as it was. */
    void run(String function, Call call) {
      check("cuCtxPushCurrent", cuCtxPushCurrent(context));
      int status;
      try {
        status = call.make();
      } finally {
        cuCtxPopCurrent(new CUcontext());
      }
      check(function, status);
    }

    @Override
    public Memory allocate(long bytes) {
      DeviceMemory memory = new DeviceMemory(this);
      run("cuMemAlloc", () -> cuMemAlloc(memory, bytes));
      return memory;
    }

    @Override
    public Pinned pin(long bytes) {
      Arena arena = Arena.ofShared();
      MemorySegment data = arena.allocate(bytes, 4096);
      Registered pinned = new Registered(this, arena, data, Pointer.to(data.asByteBuffer()));
      try {
        run("cuMemHostRegister", () -> cuMemHostRegister(pinned.pointer, bytes, 0));
      } catch (DeviceException e) {
        arena.close();
        throw e;
      }
      return pinned;
    }

    @Override
    public Stream stream() {
      Queue stream = new Queue(this);
      run("cuStreamCreate", () -> cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
      return stream;
    }

    @Override
    public Event event() {
      Point event = new Point(this);
      run(
          "cuEventCreate",
          () ->
              cuEventCreate(
                  event,
                  CUevent_flags.CU_EVENT_DISABLE_TIMING | CUevent_flags.CU_EVENT_BLOCKING_SYNC));
      return event;
    }

    @Override
    public void upload(Pinned from, Memory to, long offset, long bytes, Stream stream) {
      CUdeviceptr target = ((DeviceMemory) to).withByteOffset(offset);
      Pointer source = ((Registered) from).pointer;
      run("cuMemcpyHtoDAsync", () -> cuMemcpyHtoDAsync(target, source, bytes, (Queue) stream));
    }

    @Override
    public void download(Memory from, long offset, Pinned to, long bytes, Stream stream) {
      CUdeviceptr source = ((DeviceMemory) from).withByteOffset(offset);
      Pointer target = ((Registered) to).pointer;
      run("cuMemcpyDtoHAsync", () -> cuMemcpyDtoHAsync(target, source, bytes, (Queue) stream));
    }

    @Override
    public void close() {
      check("cuDevicePrimaryCtxRelease", cuDevicePrimaryCtxRelease(device));
    }
  }

  private static final class DeviceMemory extends CUdeviceptr implements Memory {
    private final Primary context;

    DeviceMemory(Primary context) {
      this.context = context;
    }

    @Override
    public long address() {
      return getNativePointer();
    }

    @Override
    public void close() {
      context.run("cuMemFree", () -> cuMemFree(this));
    }
  }

  private record Registered(Primary context, Arena arena, MemorySegment data, Pointer pointer)
      implements Pinned {
    @Override
    public void close() {
      context.run("cuMemHostUnregister", () -> cuMemHostUnregister(pointer));
      arena.close();
    }
  }

  private static final class Queue extends CUstream implements Stream {
    private final Primary context;

    Queue(Primary context) {
      this.context = context;
    }

    @Override
    public long handle() {
      return getNativePointer();
    }

    @Override
    public void waitFor(Event event) {
      context.run("cuStreamWaitEvent", () -> cuStreamWaitEvent(this, (Point) event, 0));
    }

    @Override
    public void close() {
      context.run("cuStreamDestroy", () -> cuStreamDestroy(this));
    }
  }

  private static final class Point extends CUevent implements Event {
    private final Primary context;

    Point(Primary context) {
      this.context = context;
    }

    @Override
    public void record(Stream stream) {
      context.run("cuEventRecord", () -> cuEventRecord(this, (Queue) stream));
    }

    @Override
    public void await() {
      context.run("cuEventSynchronize", () -> cuEventSynchronize(this));
    }

    @Override
    public void close() {
      context.run("cuEventDestroy", () -> cuEventDestroy(this));
    }
  }
}
