package io.assay.engine.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafetensorsTest {
  @TempDir Path folder;

  @Test
  void readsWhatItWrites() {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    tensors.put("ids", Tensor.ofLongs(new long[] {3, -1, Long.MAX_VALUE}, 3));
    tensors.put("x", Tensor.ofFloats(new float[] {1.5f, Float.NaN, -0f, 1e-40f}, 2, 2));
    tensors.put("y", Tensor.scalar(DType.F64, Math.PI));
    tensors.put("none", Tensor.ofFloats(new float[0], 0, 4));
    Path file = folder.resolve("t.safetensors");
    Safetensors.write(file, tensors, Map.of("made by", "a test \"quoted\""));
    Safetensors read = Safetensors.read(file);
    assertEquals(tensors.keySet(), read.tensors().keySet());
    assertEquals("a test \"quoted\"", read.metadata().get("made by"));
    tensors.forEach(
        (name, want) -> {
          Tensor got = read.tensors().get(name);
          assertEquals(want.dtype(), got.dtype());
          assertArrayEquals(want.shape(), got.shape());
          assertEquals(-1, want.data().mismatch(got.data()), name);
        });
  }

  @Test
  void readsAFileMadeByHand() {
    // Made by hand after the format: bfloat16 and bool, with metadata and a padded header.
    Path file =
        write(
            "{\"__metadata__\":{\"format\":\"pt\"},"
                + "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                + "\"m\":{\"dtype\":\"BOOL\",\"shape\":[1,2],\"data_offsets\":[4,6]}}   ",
            new byte[] {(byte) 0x80, 0x3f, 0x00, (byte) 0xc0, 1, 0});
    Safetensors read = Safetensors.read(file);
    assertArrayEquals(new double[] {1, -2}, read.tensors().get("b").toDoubles());
    assertArrayEquals(new double[] {1, 0}, read.tensors().get("m").toDoubles());
  }

  /** Each header stands before eight bytes of data. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}|not JSON",
        "[1]|not a JSON object",
        "{} {}|something follows",
        "{\"a\":3}|not a JSON object",
        "{}|but it holds 8",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}|lacks one of",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}|unknown field x",
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}|the type F31",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}|holds -2",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}|holds 2.0",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}|not a list",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}|takes 12 bytes",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}|takes 8 bytes",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}|cut off",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}|there is a hole",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}|but it holds 8",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}|claims"
            + " the size",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}|not an"
            + " integer",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\","
            + "\"shape\":[1],\"data_offsets\":[4,8]}}|they overlap",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\","
            + "\"shape\":[0],\"data_offsets\":[8,8]}}|Duplicate",
        "{\"__metadata__\":{\"a\":1}}|not a text"
      })
  void refusesABadHeader(String header, String why) {
    InputException e =
        assertThrows(InputException.class, () -> Safetensors.read(write(header, new byte[8])));
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(1, e.getMessage().lines().count());
  }

  @ParameterizedTest
  @CsvSource({"-1", "1152921504606846976", "100000001", "9"})
  void refusesAHeaderLongerThanTheFile(long claimed) throws IOException {
    Path file = folder.resolve("claimed.safetensors");
    Files.write(file, bytes(claimed, "{}", new byte[6]));
    InputException e = assertThrows(InputException.class, () -> Safetensors.read(file));
    assertTrue(e.getMessage().contains("claims a header of"), e.getMessage());
  }

  @Test
  void refusesFilesWithoutHeader() throws IOException {
    Path file = Files.write(folder.resolve("short.safetensors"), new byte[7]);
    assertThrows(InputException.class, () -> Safetensors.read(file));
    assertThrows(InputException.class, () -> Safetensors.read(folder.resolve("absent")));
    assertThrows(InputException.class, () -> Safetensors.read(folder));
  }

  private Path write(String header, byte[] data) {
    try {
      byte[] all = bytes(header.getBytes(StandardCharsets.UTF_8).length, header, data);
      return Files.write(folder.resolve("made.safetensors"), all);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static byte[] bytes(long claimed, String header, byte[] data) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(8 + text.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(claimed)
        .put(text)
        .put(data)
        .array();
  }
}
