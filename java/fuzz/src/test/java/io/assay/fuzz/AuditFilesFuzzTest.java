package io.assay.fuzz;

import static java.nio.charset.StandardCharsets.US_ASCII;

import com.code_intelligence.jazzer.junit.DictionaryEntries;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.assay.audit.arca.OfficialResults;
import io.assay.audit.arca.UnigramTable;
import io.assay.audit.grok.GrokCheckpoint;
import io.assay.audit.grok.GrokLabels;
import io.assay.audit.grok.GrokModel;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokSource;
import io.assay.audit.grok.GrokTask;
import io.assay.audit.ioi.TaskFiles;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Model;
import io.assay.engine.model.Tokenizer;
import io.assay.engine.patch.PairsFile;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.params.provider.MethodSource;

/** Files that audits read: token properties, results of the official code, pairs of prompts. */
class AuditFilesFuzzTest {
  private static final Path FOLDER = Parsers.folder();
  private static final LanguageModel MODEL = LanguageModel.of(Model.load(new TinyFolder().path()));
  private static final Tokenizer TOKENIZER = MODEL.tokenizer().orElseThrow();

  /** What Python's pickle.dumps makes of numpy.array([-1, -2, 0], "<f4"), protocol 2. */
  private static final String PICKLE =
      "8002636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a71"
          + "00636e756d70790a6e6461727261790a71014b00857102635f636f646563730a656e636f64650a71"
          + "03580100000062710458060000006c6174696e317105867106527107877108527109284b014b0385"
          + "710a636e756d70790a64747970650a710b58020000006634710c898887710d52710e284b03580100"
          + "00003c710f4e4e4e4affffffff4affffffff4b0074711062896803580f0000000000c280c2bf0000"
          + "00c3800000000071116805867112527113747114622e";

  static Stream<byte[]> tables() {
    byte[] header =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n"
            .getBytes(StandardCharsets.ISO_8859_1);
    ByteBuffer npy = ByteBuffer.allocate(10 + header.length + 12).order(ByteOrder.LITTLE_ENDIAN);
    npy.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0})
        .putShort((short) header.length);
    npy.put(header).putFloat(-1).putFloat(-2).putFloat(0);
    return Stream.of(
        npy.array(),
        HexFormat.of().parseHex(PICKLE),
        "token,value\na,-1.5\nb,-2e-3\nc,nan\n".getBytes(StandardCharsets.UTF_8));
  }

  @MethodSource("tables")
  @DictionaryEntries({"'<f8'", "'shape': (", "-inf", "1e400"})
  @FuzzTest
  void unigramTable(byte[] bytes) {
    Path file = FOLDER.resolve("table");
    Parsers.check(file, bytes, () -> UnigramTable.read(file, null).not());
  }

  static Stream<byte[]> results() {
    return Stream.of(
        """
        {"model_id": "gpt2", "batch_size": 32, "seed": 0}
        {"output_target": "ab", "arca": {"prompt_toks": [[0, 1], -1], "time": [1, 2]}}
        {"hparams": {"output_length": 1}, "autoprompt": {"toks": [[0, 1, 2]]}}
        """
            .getBytes(StandardCharsets.UTF_8));
  }

  @MethodSource("results")
  @DictionaryEntries({"output_target", "prompt_toks", "output_length", "toks", "gbda"})
  @FuzzTest
  void officialResults(byte[] bytes) {
    Path file = FOLDER.resolve("results.jsonl");
    Parsers.check(file, bytes, () -> OfficialResults.read(file, TOKENIZER));
  }

  static Stream<byte[]> pairs() {
    return Stream.of(
        """
        {"clean": "ab", "corrupt": "ba", "answer": "a", "wrong": "b", "positions": {"END": 1}}
        {"clean_ids": [1, 2], "corrupt_ids": [2, 1], "answer": 1, "wrong": 2}
        """
            .getBytes(StandardCharsets.UTF_8));
  }

  @MethodSource("pairs")
  @DictionaryEntries({"clean", "corrupt_ids", "answer", "wrong", "positions"})
  @FuzzTest
  void pairsOfPrompts(byte[] bytes) {
    Path file = FOLDER.resolve("pairs.jsonl");
    Parsers.check(file, bytes, () -> PairsFile.read(file, MODEL, false));
  }

  /** What torch.save writes of {"embed.W_E": a 2 x 2 tensor}, its pickle by hand. */
  static Stream<byte[]> runs() throws IOException {
    ByteArrayOutputStream pickle = new ByteArrayOutputStream();
    pickle.writeBytes(new byte[] {(byte) 0x80, 2, '}', 'X', 9, 0, 0, 0});
    pickle.writeBytes("embed.W_Ectorch._utils\n_rebuild_tensor_v2\n((".getBytes(US_ASCII));
    pickle.writeBytes(new byte[] {'X', 7, 0, 0, 0});
    pickle.writeBytes("storagectorch\nFloatStorage\n".getBytes(US_ASCII));
    pickle.writeBytes(new byte[] {'X', 1, 0, 0, 0, '0', 'X', 3, 0, 0, 0, 'c', 'p', 'u'});
    pickle.writeBytes(new byte[] {'K', 4, 't', 'Q', 'K', 0, 'K', 2, 'K', 2, (byte) 0x86});
    pickle.writeBytes(new byte[] {'K', 2, 'K', 1, (byte) 0x86, (byte) 0x89});
    pickle.writeBytes("ccollections\nOrderedDict\n)RtRs.".getBytes(US_ASCII));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      stored(zip, "archive/data.pkl", pickle.toByteArray());
      stored(zip, "archive/data/0", new byte[16]);
    }
    return Stream.of(bytes.toByteArray());
  }

  private static void stored(ZipOutputStream zip, String name, byte[] bytes) throws IOException {
    CRC32 sum = new CRC32();
    sum.update(bytes);
    ZipEntry entry = new ZipEntry(name);
    entry.setMethod(ZipEntry.STORED);
    entry.setSize(bytes.length);
    entry.setCrc(sum.getValue());
    zip.putNextEntry(entry);
    zip.write(bytes);
  }

  @MethodSource("runs")
  @DictionaryEntries({"FloatStorage", "collections\\x0aOrderedDict\\x0a", "embed.W_E", "config"})
  @FuzzTest
  void publishedRun(byte[] bytes) {
    Path file = FOLDER.resolve("run.pth");
    Parsers.check(file, bytes, () -> GrokSource.open(file).modulus());
  }

  /** The smallest network's checkpoint, and logits of all pairs. */
  static Stream<byte[]> checkpoints() throws IOException {
    Path weights = FOLDER.resolve("weights.safetensors");
    new GrokCheckpoint(
            GrokModel.initial(new GrokShape(3, 1, 1, 1, 1, 4, true), 0),
            GrokTask.addition(3, 0.5, 0),
            OptionalLong.of(0),
            OptionalLong.of(7))
        .write(weights);
    Path logits = FOLDER.resolve("logits.safetensors");
    Safetensors.write(
        logits, Map.of("logits", Tensor.ofFloats(new float[27], 3, 3, 3)), Map.of("epoch", "7"));
    return Stream.of(Files.readAllBytes(weights), Files.readAllBytes(logits));
  }

  @MethodSource("checkpoints")
  @DictionaryEntries({"embed.W_E", "logits", "splitSeed", "epoch", "__metadata__"})
  @FuzzTest
  void checkpoint(byte[] bytes) {
    Path file = FOLDER.resolve("run.safetensors");
    Parsers.check(file, bytes, () -> GrokSource.open(file).modulus());
  }

  static Stream<byte[]> labels() {
    return Stream.of("0 1 2\n1 2 0\n2 0 1\n", "0,1,2,1,2,0,2,0,3")
        .map(text -> text.getBytes(US_ASCII));
  }

  @MethodSource("labels")
  @FuzzTest
  void labelsOfPairs(byte[] bytes) {
    Path file = FOLDER.resolve("labels");
    Parsers.check(file, bytes, () -> GrokLabels.read(file, 3));
  }

  static Stream<byte[]> prompts() {
    return Stream.of(
            """
            [{"text": "Then, A and B went. B gave it to A", "IO": "A", "S": "B"},
             {"text": "Then, C and D went. D gave it to C", "IO": "C", "S": "D"},
             {"text": "Then, E and A went. A gave it to E", "IO": "E", "S": "A"}]
            """,
            """
            {"word_idxs": {"IO": 2, "end": 9}, "prompts": [{"clean": "A and B", "corrupt": "C and D",
              "answers": [" A"], "wrong_answers": [" B"]}]}
            """,
            """
            ,clean,corrupted,corrupted_hard
            0,"A and B, B to","A and B, C to","A and B, A to"
            """)
        .map(text -> text.getBytes(StandardCharsets.UTF_8));
  }

  @MethodSource("prompts")
  @DictionaryEntries({"word_idxs", "prompts", "corrupted_hard", "\"IO\"", "\"S\""})
  @FuzzTest
  void taskPrompts(byte[] bytes) {
    Path file = FOLDER.resolve("prompts");
    Parsers.check(
        file, bytes, () -> TaskFiles.read(file, 1).forEach(pair -> pair.check(TOKENIZER)));
  }
}
