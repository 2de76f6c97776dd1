package io.assay.engine.kernel;

import io.assay.engine.InputException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
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

  /** Why the library could not be loaded, or null if it was. */
  private static final String REASON = load();

  private NativeLibrary() {}

  /** Null where the library is loaded and fits, else why not. */
  static String reason() {
    return REASON;
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
      return NativeApi.mismatch();
    } catch (IOException | UnsatisfiedLinkError | SecurityException e) {
      String reason = "the native library cannot be loaded: " + e.getMessage();
      if (named != null) {
        throw new InputException(reason + "; correct or remove the property " + PROPERTY, e);
      }
      return reason;
    }
  }

  private static Path unpacked() throws IOException {
    byte[] content;
    String resource = "/native/" + platform() + "/libassay.so";
    try (InputStream in = NativeLibrary.class.getResourceAsStream(resource)) {
      if (in == null) {
        return null;
      }
      content = in.readAllBytes();
    }
    Path folder = cache().resolve("assay").resolve("kernels-" + hash(content));
    Path file = folder.resolve("libassay.so");
    if (Files.exists(file) && Files.size(file) == content.length) {
      return file;
    }
    FileAttribute<?> ownerOnly =
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
    Files.createDirectories(folder, ownerOnly);
    Path partial = Files.createTempFile(folder, "libassay", ".partial", ownerOnly);
    Files.write(partial, content);
    Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    return file;
  }

  private static Path cache() {
    String cache = System.getenv("XDG_CACHE_HOME");
    return cache != null && Path.of(cache).isAbsolute()
        ? Path.of(cache)
        : Path.of(System.getProperty("user.home"), ".cache");
  }

  private static String hash(byte[] content) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(content);
      return HexFormat.of().formatHex(digest, 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  /** As {@code uname} names it: {@code linux-x86_64}. */
  static String platform() {
    String arch = System.getProperty("os.arch");
    return System.getProperty("os.name").toLowerCase(Locale.ROOT)
        + "-"
        + (arch.equals("amd64") ? "x86_64" : arch);
  }
}
