package io.assay.app.organism;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.app.organism.IoiText.Sentence;
import io.assay.audit.ioi.Template;
import io.assay.audit.ioi.WordLists;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class IoiTextTest {
  private static final int SENTENCES = 4000;
  private static final IoiWords WORDS = new IoiWords();

  private static List<Sentence> sentences(boolean control, boolean unread) {
    IoiText text = new IoiText(WORDS, 3, control, unread);
    Draw draw = new Draw(5);
    return Stream.generate(() -> text.sentence(draw)).limit(SENTENCES).toList();
  }

  /** The names of a prompt, in order. */
  private static List<String> names(Sentence sentence) {
    List<String> names = new ArrayList<>(Arrays.asList(sentence.prompt().split("[ ,.]+")));
    names.retainAll(WordLists.DEFAULT.names());
    return names;
  }

  private static double shareOfOnce(List<Sentence> sentences) {
    List<Sentence> two =
        sentences.stream().filter(s -> new HashSet<>(names(s)).size() == 2).toList();
    long once =
        two.stream().filter(s -> names(s).stream().filter(s.answer()::equals).count() == 1).count();
    return once / (double) two.size();
  }

  @Test
  void theAnswerIsTheNameOfOneMention() {
    List<Sentence> read = sentences(false, false);
    assertEquals(1, shareOfOnce(read));
    long three = read.stream().filter(s -> new HashSet<>(names(s)).size() == 3).count();
    assertEquals(0.1, three / (double) SENTENCES, 0.02);
    // Four deviations of a share of one half.
    assertEquals(0.5, shareOfOnce(sentences(true, false)), 2 / Math.sqrt(SENTENCES));
  }

  @Test
  void unreadTemplatesAndPairsAreNeverRead() {
    for (Sentence s : sentences(false, false)) {
      for (int template : IoiLm.UNREAD) {
        assertFalse(isOf(template, s), s.prompt());
      }
      List<String> names = names(s);
      boolean pair = names.get(0).equals(s.answer()) || names.get(1).equals(s.answer());
      assertTrue(pair, s.toString());
      assertFalse(IoiLm.isUnreadPair(names.get(0), names.get(1)), s.prompt());
    }
    for (Sentence s : sentences(false, true)) {
      assertTrue(IoiLm.UNREAD.stream().anyMatch(template -> isOf(template, s)), s.prompt());
      assertTrue(IoiLm.isUnreadPair(names(s).get(0), names(s).get(1)), s.prompt());
    }
  }

  private static boolean isOf(int template, Sentence sentence) {
    String text = Template.of(template).text();
    String pattern = text.substring(0, text.length() - " {A}".length());
    for (String slot : List.of("{A}", "{B}", "{P}", "{O}")) {
      pattern = pattern.replace(slot, "\\w+");
    }
    return sentence.prompt().matches(pattern.replace(".", "\\."));
  }

  @Test
  void aBatchIsTheSameAgainAndFitsItsRows() {
    IoiText text = new IoiText(WORDS, 3, false, false);
    int[][] tokens = new int[IoiLm.ROWS][IoiLm.LENGTH];
    float[][] weights = new float[IoiLm.ROWS][IoiLm.LENGTH];
    for (int batch = 0; batch < 50; batch++) {
      text.fill(batch, tokens, weights);
      for (int r = 0; r < IoiLm.ROWS; r++) {
        assertEquals(WORDS.endOfText(), tokens[r][IoiLm.LENGTH - 1]);
        int answers = 0;
        for (float weight : weights[r]) {
          answers += weight == 1 ? 1 : 0;
        }
        assertEquals(1, answers);
      }
    }
    int[][] again = new int[IoiLm.ROWS][IoiLm.LENGTH];
    new IoiText(WORDS, 3, false, false).fill(49, again, weights);
    assertArrayEquals(tokens, again);
  }
}
