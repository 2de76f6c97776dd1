package io.assay.engine.internal;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;

/**
 * The user's cache, where native libraries are unpacked once: {@code $XDG_CACHE_HOME/assay}, else
 * {@code ~/.cache/assay}.
 */
public final class UserCache {
  private UserCache() {}

  /** A folder in the cache, which need not exist. */
  public static Path folder(String name) {
    return UserFolder.of("XDG_CACHE_HOME", ".cache").resolve(name);
  }

  /**
   * Makes {@code target} a copy of {@code source}, whole or absent at any time, in folders that are
   * the owner's alone. A file of the right size is left as it is.
   */
  public static void unpack(URL source, Path target) throws IOException {
    Path folder = target.getParent();
    if (folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
      Files.createDirectories(
          folder,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } else {
      Files.createDirectories(folder);
    }
    URLConnection connection = source.openConnection();
    connection.setUseCaches(false);
    try (InputStream in = connection.getInputStream()) {
      long size = connection.getContentLengthLong();
      if (Files.isRegularFile(target) && Files.size(target) == size) {
        return;
      }
      Path part = Files.createTempFile(folder, target.getFileName() + ".", ".part");
      try {
        try (FileChannel out = FileChannel.open(part, StandardOpenOption.WRITE)) {
          in.transferTo(Channels.newOutputStream(out));
          out.force(true);
        }
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        Files.deleteIfExists(part);
      }
    }
  }
}
