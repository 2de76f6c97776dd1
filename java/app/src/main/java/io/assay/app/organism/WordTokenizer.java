package io.assay.app.organism;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** The {@code tokenizer.json} of an organism: byte-level, each of its words whole. */
final class WordTokenizer {
  /** Ids of the bytes, which every GPT-2 tokenizer has, come before those of the words. */
  static final int FIRST_WORD = 256;

  private static final String END_OF_TEXT = "<|endoftext|>";

  private WordTokenizer() {}

  /**
   * The file's text.
   *
   * @param words with the space before them, if they have one; behind them comes the end of text
   */
  static String json(List<String> words) {
    int endOfText = FIRST_WORD + words.size();
    ObjectNode json = new ObjectMapper().createObjectNode().put("version", "1.0");
    json.putArray("added_tokens")
        .addObject()
        .put("id", endOfText)
        .put("content", END_OF_TEXT)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", true);
    json.putObject("pre_tokenizer")
        .put("type", "ByteLevel")
        .put("add_prefix_space", false)
        .put("trim_offsets", true)
        .put("use_regex", true);
    json.putObject("decoder")
        .put("type", "ByteLevel")
        .put("add_prefix_space", true)
        .put("trim_offsets", true)
        .put("use_regex", true);
    // Words are taken whole, so that there is nothing to merge.
    ObjectNode model = json.putObject("model").put("type", "BPE").put("ignore_merges", true);
    ObjectNode vocabulary = model.putObject("vocab");
    String[] bytes = byteTexts();
    for (int b = 0; b < bytes.length; b++) {
      vocabulary.put(bytes[b], b);
    }
    for (int i = 0; i < words.size(); i++) {
      StringBuilder word = new StringBuilder();
      for (byte b : words.get(i).getBytes(StandardCharsets.UTF_8)) {
        word.append(bytes[b & 0xff]);
      }
      vocabulary.put(word.toString(), FIRST_WORD + i);
    }
    vocabulary.put(END_OF_TEXT, endOfText);
    model.putArray("merges");
    return json + "\n";
  }

  /**
   * How GPT-2's tokenizer writes each byte: those that Latin 1 shows as themselves, the others as
   * the characters from 256 on.
   */
  private static String[] byteTexts() {
    String[] texts = new String[256];
    int next = 256;
    for (int b = 0; b < 256; b++) {
      boolean shown = b > ' ' && b < 127 || b > 160 && b != 173;
      texts[b] = Character.toString(shown ? b : next++);
    }
    return texts;
  }
}
