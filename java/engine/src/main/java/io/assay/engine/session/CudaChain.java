package io.assay.engine.session;

import io.assay.engine.device.CudaDriver;
import io.assay.engine.kernel.CudaKernels;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * What has to hold, part by part, before graphs and kernels run on a CUDA device: driver, devices,
 * the access to their memory and streams, ONNX Runtime's CUDA provider and the libraries that it
 * uses, Assay's own kernels, and the lowest driver that each part accepts. Looking changes nothing
 * and takes no memory of a device.
 */
public final class CudaChain {
  /**
   * One part of the chain.
   *
   * @param part what it is: {@code driver}
   * @param holds whether it is as it has to be
   * @param text what was found, and where it does not hold, the remedy; one line
   */
  public record Link(String part, boolean holds, String text) {}

  /** A device as the driver names it, and its compute capability, such as 9.0. */
  record Gpu(String name, int major, int minor) {}

  /** What is asked of the machine. */
  interface Machine {
    /** Whether the system finds and loads a library of this name. */
    boolean opens(String library);

    /**
     * The CUDA version that the driver serves, 1000 times the major and 10 times the minor number.
     *
     * @throws DriverException if the driver refuses
     */
    int cudaVersion();

    /**
     * The devices that the driver shows to this process.
     *
     * @throws DriverException if the driver refuses
     */
    List<Gpu> gpus();

    /** Why memory and streams of devices cannot be used, or null where they can. */
    String withoutMemory();

    /** Why ONNX Runtime has no CUDA provider, with the remedy, or null where it has. */
    String withoutProvider();

    /** Why the library of Assay's CUDA kernels cannot be used, or null where it can. */
    String withoutKernels();
  }

  /** The driver's refusal, in its words. */
  static final class DriverException extends RuntimeException {
    private static final long serialVersionUID = 1;

    DriverException(String text) {
      super(text);
    }
  }

  private static final String DRIVER = "libcuda.so.1";
  private static final String WITHOUT_DRIVER = "not known without a driver";

  // NVIDIA's compatibility tables: the first Linux drivers of CUDA 12 and 13.
  private static final int CUDA_12 = 12000;
  private static final int CUDA_13 = 13000;
  private static final String DRIVER_12 = "525.60.13";
  private static final String DRIVER_13 = "580.65.06";

  /**
   * What libonnxruntime_providers_cuda.so, built for CUDA 12 and cuDNN 9, is linked to; cuFFT and
   * cuDNN it opens when a graph needs them (1.29.0).
   */
  private static final List<String> CUDA_LIBRARIES =
      List.of(
          "libcudart.so.12",
          "libcublasLt.so.12",
          "libcublas.so.12",
          "libcurand.so.10",
          "libcufft.so.11");

  private static final String CUDNN = "libcudnn.so.9";

  /** The oldest devices that Assay's kernels are compiled for. */
  private static final int LOWEST_CAPABILITY = 8;

  private CudaChain() {}

  /** The parts in the order in which they need each other. */
  public static List<Link> examine() {
    return examine(new ThisMachine());
  }

  static List<Link> examine(Machine machine) {
    List<Link> links = new ArrayList<>();
    int version = driver(machine, links);
    links.add(devices(machine, version));
    links.add(memory(machine));
    String provider = machine.withoutProvider();
    String text = provider == null ? "ONNX Runtime has it" : provider;
    String needs = "; it needs driver " + DRIVER_12 + " or later";
    links.add(new Link("provider", provider == null, text + needs));
    List<String> missing =
        Stream.concat(CUDA_LIBRARIES.stream(), Stream.of(CUDNN))
            .filter(library -> !machine.opens(library))
            .toList();
    links.add(libraries(missing));
    links.add(kernels(version, machine.withoutKernels()));
    return List.copyOf(links);
  }

  /** Returns the CUDA version that the driver serves, or 0. */
  private static int driver(Machine machine, List<Link> links) {
    if (!machine.opens(DRIVER)) {
      links.add(
          new Link(
              "driver",
              false,
              DRIVER
                  + " was not found on the system's library path; install NVIDIA's driver,"
                  + " version "
                  + DRIVER_12
                  + " or later (in a container: start it with the devices of the host)"));
      return 0;
    }
    try {
      int version = machine.cudaVersion();
      boolean enough = version >= CUDA_12;
      String serves = "serves CUDA " + version / 1000 + "." + version % 1000 / 10;
      String needs =
          "; ONNX Runtime's CUDA provider needs CUDA 12: install driver " + DRIVER_12 + " or later";
      links.add(new Link("driver", enough, enough ? serves : serves + needs));
      return version;
    } catch (DriverException e) {
      links.add(new Link("driver", false, DRIVER + " was found, but " + e.getMessage()));
      return 0;
    }
  }

  private static Link devices(Machine machine, int version) {
    if (version == 0) {
      return new Link("devices", false, WITHOUT_DRIVER);
    }
    try {
      List<Gpu> gpus = machine.gpus();
      if (gpus.isEmpty()) {
        return new Link(
            "devices", false, "none is shown to this process; look at CUDA_VISIBLE_DEVICES");
      }
      List<String> texts = new ArrayList<>();
      for (int i = 0; i < gpus.size(); i++) {
        Gpu gpu = gpus.get(i);
        texts.add(
            "cuda:"
                + i
                + " "
                + gpu.name()
                + ", compute capability "
                + gpu.major()
                + "."
                + gpu.minor());
      }
      return new Link("devices", true, String.join("; ", texts));
    } catch (DriverException e) {
      return new Link("devices", false, e.getMessage());
    }
  }

  private static Link memory(Machine machine) {
    if (!machine.opens(DRIVER)) {
      return new Link("memory", false, WITHOUT_DRIVER);
    }
    String refused = machine.withoutMemory();
    String usable = "memory, streams and events of the devices are usable, by JCuda";
    return new Link("memory", refused == null, refused == null ? usable : refused);
  }

  private static Link libraries(List<String> missing) {
    if (missing.isEmpty()) {
      return new Link("libraries", true, "those of CUDA 12 and cuDNN 9 were found");
    }
    List<String> remedies = new ArrayList<>();
    if (!missing.equals(List.of(CUDNN))) {
      remedies.add("the runtime libraries of CUDA 12");
    }
    if (missing.contains(CUDNN)) {
      remedies.add("cuDNN 9 for CUDA 12");
    }
    return new Link(
        "libraries",
        false,
        String.join(", ", missing)
            + (missing.size() == 1 ? " was" : " were")
            + " not found; install "
            + String.join(" and ", remedies)
            + " and put their folders on LD_LIBRARY_PATH");
  }

  /** The kernels of cuda/ are built with the static runtime of CUDA 13.0. */
  private static Link kernels(int version, String refused) {
    String text =
        (refused == null ? "their library fits" : refused)
            + "; they need driver "
            + DRIVER_13
            + " or later and compute capability "
            + LOWEST_CAPABILITY
            + ".0"
            + (version == 0 ? "" : version >= CUDA_13 ? "; this driver will do" : "; it is older");
    return new Link("kernels", refused == null && version >= CUDA_13, text);
  }

  /** The machine this runs on, by the driver's own interface. */
  private static final class ThisMachine implements Machine {
    private static final int MAJOR = 75; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    private static final int MINOR = 76;
    private static final int NAME_BYTES = 256;
    private static final int NO_DEVICE = 100; // CUDA_ERROR_NO_DEVICE

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;

    @Override
    public boolean opens(String library) {
      return OrtLibrary.canOpen(library);
    }

    @Override
    public int cudaVersion() {
      return number("cuDriverGetVersion");
    }

    @Override
    public List<Gpu> gpus() {
      int status = call("cuInit", FunctionDescriptor.of(INT, INT), 0);
      if (status == NO_DEVICE) {
        return List.of();
      }
      check("cuInit", status);
      List<Gpu> gpus = new ArrayList<>();
      int count = number("cuDeviceGetCount");
      for (int i = 0; i < count; i++) {
        int device = number("cuDeviceGet", i);
        try (Arena arena = Arena.ofConfined()) {
          MemorySegment name = arena.allocate(NAME_BYTES);
          FunctionDescriptor types = FunctionDescriptor.of(INT, ValueLayout.ADDRESS, INT, INT);
          check("cuDeviceGetName", call("cuDeviceGetName", types, name, NAME_BYTES, device));
          gpus.add(
              new Gpu(
                  name.getString(0, StandardCharsets.UTF_8),
                  number("cuDeviceGetAttribute", MAJOR, device),
                  number("cuDeviceGetAttribute", MINOR, device)));
        }
      }
      return gpus;
    }

    @Override
    public String withoutMemory() {
      return CudaDriver.reason();
    }

    @Override
    public String withoutProvider() {
      return OrtLibrary.withoutCuda();
    }

    @Override
    public String withoutKernels() {
      return CudaKernels.libraryReason();
    }

    /** Calls {@code name(int *out, arguments...)} and returns what it writes. */
    private static int number(String name, int... arguments) {
      ValueLayout[] types = new ValueLayout[arguments.length + 1];
      Object[] values = new Object[arguments.length + 1];
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment out = arena.allocate(INT);
        types[0] = ValueLayout.ADDRESS;
        values[0] = out;
        for (int i = 0; i < arguments.length; i++) {
          types[i + 1] = INT;
          values[i + 1] = arguments[i];
        }
        check(name, call(name, FunctionDescriptor.of(INT, types), values));
        return out.get(INT, 0);
      }
    }

    /** The driver stays loaded: it cannot be closed once it was begun with. */
    private static int call(String name, FunctionDescriptor types, Object... arguments) {
      MemorySegment function =
          SymbolLookup.libraryLookup(DRIVER, Arena.global())
              .find(name)
              .orElseThrow(() -> new DriverException("it has no function " + name));
      MethodHandle handle = Linker.nativeLinker().downcallHandle(function, types);
      try {
        return (int) handle.invokeWithArguments(arguments);
      } catch (Throwable e) {
        throw new AssertionError("the driver throws nothing", e);
      }
    }

    private static void check(String name, int status) {
      if (status != 0) {
        throw new DriverException(name + " gives error " + status);
      }
    }
  }
}
