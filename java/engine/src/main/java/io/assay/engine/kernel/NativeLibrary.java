package io.assay.engine.kernel;

import io.assay.engine.InputException;
import io.assay.engine.internal.UserCache;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Locale;

/**
 * Finds and loads {@code libassay}: the file that the property {@value #PROPERTY} names, else the
 * one in the jar, unpacked once per content into the user's cache.
 */
final class NativeLibrary {
  static final String PROPERTY = "assay.native.library";

  /** The library, or null before it is loaded. */
  private static Path loaded;

  /** Why the library named or carried cannot be used, or null where it is loaded. */
  private static final String REASON = load();

  private NativeLibrary() {}

  /**
   * Null where the library is loaded and fits, else why not.
   *
   * @throws InputException if the property names a library that cannot be used
   */
  static String reason() {
    String named = System.getProperty(PROPERTY);
    if (REASON != null && named != null) {
      throw new InputException("the property " + PROPERTY + " names " + named + ", but " + REASON);
    }
    return REASON;
  }

  /** The file of the library, or null where it is not loaded or does not fit. */
  static Path file() {
    return REASON == null ? loaded : null;
  }

  private static String load() {
    String named = System.getProperty(PROPERTY);
    try {
      Path file = named != null ? Path.of(named).toAbsolutePath() : unpacked();
      if (file == null) {
        return "this build carries no native library for "
            + platform()
            + " (no C++ compiler or CMake was found when it was built)";
      }
      System.load(file.toString());
      loaded = file;
      return NativeApi.mismatch();
    } catch (IOException | InvalidPathException | UnsatisfiedLinkError | SecurityException e) {
      return "the native library cannot be loaded: " + e.getMessage();
    }
  }

  /** The jar's library as a file named by its content, or null where there is none. */
  private static Path unpacked() throws IOException {
    URL resource = NativeLibrary.class.getResource("/native/" + platform() + "/libassay.so");
    if (resource == null) {
      return null;
    }
    String hash;
    try (InputStream in = resource.openStream()) {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(in.readAllBytes());
      hash = HexFormat.of().formatHex(digest, 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
    Path file = UserCache.folder("kernels-" + hash).resolve("libassay.so");
    UserCache.unpack(resource, file);
    return file;
  }

  /** As {@code uname} names it: {@code linux-x86_64}. */
  static String platform() {
    String arch = System.getProperty("os.arch");
    return System.getProperty("os.name").toLowerCase(Locale.ROOT)
        + "-"
        + (arch.equals("amd64") ? "x86_64" : arch);
  }
}
