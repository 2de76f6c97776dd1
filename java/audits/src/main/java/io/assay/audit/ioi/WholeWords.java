package io.assay.audit.ioi;

import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A tokenizer for self-tests: each word, with the space before it, and each other character is a
 * token, numbered in the order in which they are met; id 0 begins a text.
 */
final class WholeWords implements Tokenizer {
  private static final Pattern PART = Pattern.compile(" ?\\p{L}+|.", Pattern.DOTALL);

  private final Map<String, Long> ids = new LinkedHashMap<>(Map.of("<s>", 0L));
  private final List<String> tokens = new ArrayList<>(List.of("<s>"));

  @Override
  public synchronized long[] encode(String text) {
    Matcher parts = PART.matcher(text);
    return parts.results().mapToLong(part -> id(part.group())).toArray();
  }

  private long id(String part) {
    return ids.computeIfAbsent(
        part,
        p -> {
          tokens.add(p);
          return tokens.size() - 1L;
        });
  }

  @Override
  public String decode(long... list) {
    StringBuilder text = new StringBuilder();
    for (long id : list) {
      text.append(id == 0 ? "" : token(id));
    }
    return text.toString();
  }

  @Override
  public synchronized String token(long id) {
    if (id < 0 || id >= tokens.size()) {
      throw new InputException("there is no token " + id);
    }
    return tokens.get((int) id);
  }

  @Override
  public boolean isSpecial(long id) {
    return id == 0;
  }

  @Override
  public OptionalLong bos() {
    return OptionalLong.of(0);
  }

  @Override
  public synchronized int size() {
    return tokens.size();
  }
}
