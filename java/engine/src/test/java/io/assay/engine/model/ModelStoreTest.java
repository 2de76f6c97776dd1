package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models by name. */
class ModelStoreTest {
  private static final Path ONNX = TinyGpt2.folder().resolveSibling("onnx");

  @TempDir Path data;

  @AfterEach
  void forgetOrganisms() {
    System.clearProperty(ModelStore.ORGANISMS);
  }

  private ModelStore store() {
    return ModelStore.in(data);
  }

  @Test
  void aFolderIsTheSameModelUnderItsName() throws IOException {
    ModelStore.Entry entry = store().add(TinyGpt2.folder(), "tiny");
    assertEquals(List.of(entry), store().list());
    assertEquals(data.resolve("models/tiny"), store().find("tiny"));
    try (Model source = Model.load(TinyGpt2.folder());
        Model copy = Model.load(store().find("tiny"))) {
      assertEquals("tiny", copy.name());
      assertEquals(source.sha256(), copy.sha256());
      assertEquals(source.sha256(), entry.sha256());
      assertEquals(512, copy.tokenizer().orElseThrow().size());
    }
    // The stored numbers beside the model are no part of it, and no partial copy is left.
    assertFalse(Files.exists(entry.path().resolve("reference.safetensors")));
    try (Stream<Path> left = Files.list(data.resolve("models"))) {
      assertEquals(List.of(entry.path()), left.toList());
    }
    assertEquals(TinyGpt2.folder(), store().find(TinyGpt2.folder().toString()));
  }

  @Test
  void anOnnxFileTakesItsDataAndHookMapAlong() throws IOException {
    Path source = Files.createDirectory(data.resolve("source"));
    for (String suffix : List.of("", ".data")) {
      String file = "gpt2-sdpa.external.onnx" + suffix;
      Files.copy(ONNX.resolve(file), source.resolve(file));
    }
    Files.writeString(
        source.resolve("gpt2-sdpa.external.hooks.json"),
        "{\"hooks\": {\"extra.hook_ids\": \"input_ids\"}}");
    Path file = source.resolve("gpt2-sdpa.external.onnx");
    ModelStore.Entry entry = store().add(file, "other");
    assertEquals(data.resolve("models/other/other.onnx"), entry.path());
    try (Model original = Model.load(file);
        Model copy = Model.load(store().find("other"))) {
      assertEquals(original.sha256(), copy.sha256());
      assertEquals("input_ids", copy.hooks().values().get("extra.hook_ids"));
      assertEquals(original.hooks().names(), copy.hooks().names());
    }
    // The hash covers the data file.
    try (Model plain = Model.load(ONNX.resolve("gpt2-sdpa.external.onnx"))) {
      byte[] bytes = Files.readAllBytes(source.resolve("gpt2-sdpa.external.onnx.data"));
      bytes[bytes.length - 1] ^= 1;
      Files.delete(source.resolve("gpt2-sdpa.external.hooks.json"));
      Files.write(source.resolve("gpt2-sdpa.external.onnx.data"), bytes);
      try (Model changed = Model.load(file)) {
        assertFalse(plain.sha256().equals(changed.sha256()));
      }
    }
  }

  @Test
  void organismsHaveNamesToo() throws IOException {
    Path organisms = Files.createDirectory(data.resolve("organisms"));
    ModelStore.in(organisms).add(TinyGpt2.folder(), "planted-tiny");
    System.setProperty(ModelStore.ORGANISMS, organisms.resolve("models").toString());
    ModelStore.Entry organism = store().list().getFirst();
    assertTrue(organism.bundled());
    assertEquals(organism.path(), store().find("planted-tiny"));
    // An import of that name is the user's choice.
    ModelStore.Entry own = store().add(TinyGpt2.folder(), "planted-tiny");
    assertEquals(List.of(own), store().list());
    assertEquals(own.path(), store().find("planted-tiny"));
  }

  @Test
  void whatAKilledImportLeftGoesWithTheNext() throws Exception {
    Process ended = new ProcessBuilder("true").start();
    ended.waitFor();
    Path models = Files.createDirectories(data.resolve("models"));
    Path left = Files.createDirectories(models.resolve(".import-" + ended.pid() + ".1/tiny"));
    Files.writeString(left.resolve("config.json"), "{}");
    Path underWay =
        Files.createDirectory(models.resolve(".import-" + ProcessHandle.current().pid() + ".1"));
    store().add(TinyGpt2.folder(), "tiny");
    assertFalse(Files.exists(left.getParent()), "its process has ended");
    assertTrue(Files.exists(underWay), "its process lives");
  }

  @Test
  void aRemovedModelIsGone() throws IOException {
    assertRefused("those that were are none", () -> store().remove("tiny"));
    store().add(TinyGpt2.folder(), "tiny");
    store().add(TinyGpt2.folder(), "other");
    assertRefused("those that were are other, tiny", () -> store().remove("tinny"));
    assertRefused("no model named ../models/tiny", () -> store().remove("../models/tiny"));
    assertEquals("tiny", store().remove("tiny").name());
    assertEquals(List.of("other"), store().list().stream().map(ModelStore.Entry::name).toList());
    try (Stream<Path> left = Files.list(data.resolve("models"))) {
      assertEquals(List.of(data.resolve("models/other")), left.toList());
    }
  }

  @Test
  void whoEmbedsIsToldHowOrganismsGetTheirNames() {
    assertRefused("property assay.organisms", () -> store().find("planted-lm"));
    System.setProperty(ModelStore.ORGANISMS, data.toString());
    InputException e = assertThrows(InputException.class, () -> store().find("planted-lm"));
    assertFalse(e.getMessage().contains("property"), e.getMessage());
  }

  @Test
  void whatIsNoModelLeavesNothing() throws IOException {
    assertRefused("has no config.json", () -> store().add(data, "empty"));
    assertRefused("no model at", () -> store().add(data.resolve("absent"), "absent"));
    assertRefused("../x", () -> store().add(TinyGpt2.folder(), "../x"));
    assertRefused(".hidden", () -> store().add(TinyGpt2.folder(), ".hidden"));
    store().add(TinyGpt2.folder(), "tiny");
    assertRefused("a model named tiny already", () -> store().add(TinyGpt2.folder(), "tiny"));
    assertEquals(1, store().list().size());
    Path file = Files.writeString(data.resolve("file"), "");
    assertRefused("cannot be written", () -> ModelStore.in(file).add(TinyGpt2.folder(), "tiny"));
  }

  @Test
  void unknownNamesAreAnsweredWithNearOnes() {
    assertRefused("shows no model yet", () -> store().find("gpt2"));
    store().add(TinyGpt2.folder(), "gpt2-small");
    store().add(TinyGpt2.folder(), "otherwise");
    assertRefused("near it is gpt2-small;", () -> store().find("gpt2-smal"));
    assertRefused("near it is gpt2-small;", () -> store().find("GPT2"));
    assertRefused(
        "named zebra; `models list` shows gpt2-small, otherwise", () -> store().find("zebra"));
    assertRefused("no/such/path", () -> store().find("no/such/path"));
    assertRefused("not a path", () -> store().find("a\0b"));
  }

  private static void assertRefused(String why, org.junit.jupiter.api.function.Executable call) {
    InputException e = assertThrows(InputException.class, call);
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(1, e.getMessage().lines().count());
  }
}
