package io.assay.engine.session;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtProvider;
import ai.onnxruntime.OrtSession;
import io.assay.engine.InputException;
import io.assay.engine.internal.UserCache;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Loads ONNX Runtime, once for the process.
 *
 * <p>Left to itself the runtime unpacks its libraries (28 MB) into the temporary folder at each
 * start and leaves them there when the process is killed. Here they are unpacked once per version
 * into {@code $XDG_CACHE_HOME/assay} (else {@code ~/.cache/assay}), and the runtime is pointed
 * there. A property {@code onnxruntime.native.path} set by the user comes first; a cache that
 * cannot be written leaves the runtime to its own way.
 */
public final class OrtLibrary {
  private static final String PATH_PROPERTY = "onnxruntime.native.path";
  private static final String CUDA_PROVIDER = System.mapLibraryName("onnxruntime_providers_cuda");
  private static final String[] LIBRARIES = {"onnxruntime", "onnxruntime4j_jni"};

  private static final long STACK_BYTES = 1 << 20;
  private static final long STACK_BYTES_PER_CHARACTER = 512;

  /** {@code int malloc_trim(size_t)} of the GNU C library, or null. */
  private static final MethodHandle TRIM = findTrim();

  private static OrtEnvironment environment;

  private OrtLibrary() {}

  /** The runtime's version, such as {@code 1.29.0}. */
  public static String version() {
    return environment().getVersion();
  }

  /** The runtime's one environment; it lives as long as the process and logs errors only. */
  static synchronized OrtEnvironment environment() {
    if (environment == null) {
      boolean mine = System.getProperty(PATH_PROPERTY) == null;
      Path cache = mine ? cacheFolder() : null;
      Path folder = cache == null ? null : unpack(cache);
      if (folder != null) {
        System.setProperty(PATH_PROPERTY, folder.toString());
      }
      try {
        environment = makeEnvironment();
      } finally {
        if (folder != null) {
          System.clearProperty(PATH_PROPERTY);
        }
      }
    }
    return environment;
  }

  /**
   * Makes the environment on a thread of its own. The runtime then matches the command line of this
   * process with a regular expression by recursion, some 270 bytes of stack for each character:
   * 4,000 characters overflow a stack of 1 MB, which ends the process without a word.
   */
  private static OrtEnvironment makeEnvironment() {
    long stack = STACK_BYTES + STACK_BYTES_PER_CHARACTER * commandLine();
    try {
      return CompletableFuture.supplyAsync(
              () -> OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "assay"),
              run -> new Thread(null, run, "assay-runtime", stack).start())
          .join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof Error error) {
        throw error;
      }
      throw e;
    }
  }

  /** Length of this process's command line, or 0 where the system does not show it as a file. */
  private static long commandLine() {
    try {
      return Files.readAllBytes(Path.of("/proc/self/cmdline")).length;
    } catch (IOException e) {
      return 0;
    }
  }

  /**
   * Checks that graphs can run on {@code device}.
   *
   * @throws InputException if not: it names each missing library and where it was looked for
   */
  public static void require(Device device) {
    if (device.kind() == Device.Kind.CPU) {
      return;
    }
    List<String> missing = new ArrayList<>();
    if (!canOpen("libcuda.so.1")) {
      missing.add("the driver library libcuda.so.1 (looked for on the system's library path)");
    }
    String remedy = "install what is missing";
    if (!hasCuda()) {
      String path = System.getenv("LD_LIBRARY_PATH");
      missing.add(
          "the library "
              + CUDA_PROVIDER
              + " with a runtime built for it (looked for in the onnxruntime jar, in "
              + PATH_PROPERTY
              + " ("
              + System.getProperty(PATH_PROPERTY, "not set")
              + ") and in LD_LIBRARY_PATH ("
              + (path == null || path.isEmpty() ? "not set" : path)
              + "))");
      remedy += " and set " + PATH_PROPERTY + " to the folder of a CUDA build of ONNX Runtime";
    } else if (missing.isEmpty()) {
      try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
        options.addCUDA(device.index());
      } catch (OrtException e) {
        missing.add("a library that the CUDA provider needs (" + Session.words(e) + ")");
      }
    }
    if (!missing.isEmpty()) {
      throw new InputException(
          "the device "
              + device
              + " cannot be used without "
              + String.join(" and without ", missing)
              + "; "
              + remedy
              + " (assay doctor says how), or use the device cpu");
    }
  }

  /** Whether the runtime that was loaded has its CUDA provider beside it. */
  private static boolean hasCuda() {
    environment();
    return OrtEnvironment.getAvailableProviders().contains(OrtProvider.CUDA);
  }

  /** Why this runtime has no CUDA provider, with the remedy, in one line, or null where it has. */
  static String withoutCuda() {
    return hasCuda()
        ? null
        : "ONNX Runtime "
            + version()
            + " was loaded without "
            + CUDA_PROVIDER
            + "; unpack the libraries of onnxruntime_gpu-"
            + version()
            + ".jar (Maven Central, for CUDA 12) into a folder and set "
            + PATH_PROPERTY
            + " to it (ASSAY_JAVA_OPTS=-D"
            + PATH_PROPERTY
            + "=FOLDER)";
  }

  static boolean canOpen(String library) {
    try (Arena arena = Arena.ofConfined()) {
      SymbolLookup.libraryLookup(library, arena);
      return true;
    } catch (IllegalArgumentException e) {
      return false;
    }
  }

  /**
   * Returns memory that native code has freed to the system. The GNU C library otherwise keeps much
   * of what lay between live blocks; elsewhere this does nothing.
   */
  static void trim() {
    if (TRIM != null) {
      try {
        int released = (int) TRIM.invokeExact(0L);
      } catch (Throwable e) {
        throw new AssertionError("malloc_trim throws nothing", e);
      }
    }
  }

  private static MethodHandle findTrim() {
    Linker linker = Linker.nativeLinker();
    return linker
        .defaultLookup()
        .find("malloc_trim")
        .map(
            f ->
                linker.downcallHandle(
                    f, FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG)))
        .orElse(null);
  }

  /** {@code <cache>/assay/onnxruntime-<version>-<os-arch>}, or null where no version is known. */
  static Path cacheFolder() {
    String version = jarVersion();
    if (version == null) {
      return null;
    }
    return UserCache.folder("onnxruntime-" + version + "-" + platform());
  }

  /** From the jar's manifest, or as a module from its name. */
  private static String jarVersion() {
    Module module = OrtEnvironment.class.getModule();
    return module.isNamed()
        ? module.getDescriptor().rawVersion().orElse(null)
        : OrtEnvironment.class.getPackage().getImplementationVersion();
  }

  /** Name of the platform's folder in the runtime's jar: {@code linux-x64}. */
  private static String platform() {
    String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    String arch = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
    return (os.contains("mac") ? "osx" : os.contains("win") ? "win" : "linux")
        + "-"
        + (arch.equals("amd64") || arch.equals("x86_64") ? "x64" : arch);
  }

  /**
   * Makes sure that {@code folder} holds the runtime's libraries, each whole or absent at any time.
   *
   * @return the folder, or null where the libraries or the folder cannot be had
   */
  static Path unpack(Path folder) {
    try {
      for (String library : LIBRARIES) {
        String file = System.mapLibraryName(library);
        URL source =
            OrtEnvironment.class.getResource("/ai/onnxruntime/native/" + platform() + "/" + file);
        if (source == null) {
          return null;
        }
        UserCache.unpack(source, folder.resolve(file));
      }
      return folder;
    } catch (IOException | UncheckedIOException | SecurityException e) {
      return null;
    }
  }
}
