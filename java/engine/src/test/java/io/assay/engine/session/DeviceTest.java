package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.ChildJava;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.InputException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceTest {
  @Test
  void readsWhatItWrites() {
    assertEquals(Device.CPU, Device.parse("cpu"));
    assertEquals(new Device(Device.Kind.CUDA, 0), Device.parse("cuda"));
    assertEquals(new Device(Device.Kind.CUDA, 1), Device.parse("cuda:1"));
    for (String text : List.of("cpu", "cuda:0", "cuda:17")) {
      assertEquals(text, Device.parse(text).toString());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:99999999999", "cpu:0"})
  void refusesOtherText(String text) {
    String message = assertThrows(InputException.class, () -> Device.parse(text)).getMessage();
    assertTrue(message.contains("'" + text + "'"), message);
    assertTrue(message.contains("cuda:N"), message);
  }

  @Test
  void missingCudaNamesLibraryAndPlaces() {
    EngineOptions cuda = EngineOptions.defaults().withDevice(Device.parse("cuda"));
    String message = null;
    try (Engine engine = Engine.open(cuda)) {
      assertEquals(cuda.device(), engine.device());
    } catch (InputException e) {
      message = e.getMessage();
    }
    assumeTrue(message != null, "the runtime has CUDA here");
    assertTrue(message.contains("onnxruntime_providers_cuda"), message);
    assertTrue(message.contains("LD_LIBRARY_PATH"), message);
    assertTrue(message.contains("the onnxruntime jar"), message);
    assertTrue(message.contains("onnxruntime.native.path"), message);
    assertTrue(message.contains("device cpu"), message);
  }

  @Test
  void librariesAreUnpackedOnceAndRepaired(@TempDir Path temp) throws Exception {
    Path folder = temp.resolve("cache/onnxruntime");
    assertEquals(folder, OrtLibrary.unpack(folder));
    Path library = folder.resolve(System.mapLibraryName("onnxruntime"));
    Path jni = folder.resolve(System.mapLibraryName("onnxruntime4j_jni"));
    long size = Files.size(library);
    Object first = Files.readAttributes(jni, "fileKey,lastModifiedTime");
    Files.write(library, new byte[3]);
    assertEquals(folder, OrtLibrary.unpack(folder));
    assertEquals(size, Files.size(library), "a cut file must be unpacked again");
    assertEquals(first, Files.readAttributes(jni, "fileKey,lastModifiedTime"));
    try (var files = Files.list(folder)) {
      assertEquals(2, files.count(), "no temporary file may stay");
    }
  }

  @Test
  void cacheFolderCarriesTheVersionAndThePropertyIsLeftAlone() {
    String name = "onnxruntime-" + OrtLibrary.version() + "-";
    Path folder = OrtLibrary.cacheFolder();
    assertTrue(folder.getFileName().toString().startsWith(name), folder.toString());
    assertTrue(Files.isRegularFile(folder.resolve(System.mapLibraryName("onnxruntime"))));
    assertEquals(null, System.getProperty("onnxruntime.native.path"));
  }

  /** A fresh process: loads the runtime and prints its version. */
  public static void main(String[] args) {
    System.out.print(OrtLibrary.version());
  }

  @Test
  void freshProcessUsesTheUsersCacheAndLeavesNothingInTheTemporaryFolder(@TempDir Path temp)
      throws Exception {
    Path tmp = Files.createDirectory(temp.resolve("tmp"));
    Path cache = temp.resolve("cache");
    ProcessBuilder builder =
        new ProcessBuilder(
                ChildJava.command(DeviceTest.class, "-XX:+UseSerialGC", "-Djava.io.tmpdir=" + tmp))
            .redirectError(ProcessBuilder.Redirect.INHERIT);
    builder.environment().put("XDG_CACHE_HOME", cache.toString());
    Process child = builder.start();
    String version = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, child.waitFor());
    assertEquals(OrtLibrary.version(), version);
    Path folder = cache.resolve("assay").resolve(OrtLibrary.cacheFolder().getFileName());
    assertTrue(Files.isRegularFile(folder.resolve(System.mapLibraryName("onnxruntime"))));
    try (var files = Files.walk(tmp)) {
      assertEquals(List.of(), files.filter(Files::isRegularFile).toList());
    }
  }

  @Test
  void cacheThatCannotBeWrittenIsDoneWithout(@TempDir Path temp) throws Exception {
    Path file = Files.writeString(temp.resolve("file"), "in the way");
    assertEquals(null, OrtLibrary.unpack(file.resolve("below")));
  }
}
