package io.assay.audit.ioi;

import java.util.List;
import java.util.Map;

/**
 * A sentence with slots: {@code {A}} and {@code {B}} for the names, {@code {P}} for a place, {@code
 * {O}} for an object. The one who acts, S, is in both slots {@code {B}}; the answer, IO, in {@code
 * {A}}, of which the last ends the sentence and is not part of the prompt.
 *
 * @param index place in the published list (arXiv 2211.00593, appendix)
 * @param text in the BABA form
 */
public record Template(int index, String text) {
  private static final String FIRST_CLAUSE = "{B} and {A}";
  private static final String ANSWER = " {A}";

  private static final List<String> TEXTS =
      List.of(
          "Then, {B} and {A} went to the {P}. {B} gave a {O} to {A}",
          "Then, {B} and {A} had a lot of fun at the {P}. {B} gave a {O} to {A}",
          "Then, {B} and {A} were working at the {P}. {B} decided to give a {O} to {A}",
          "Then, {B} and {A} were thinking about going to the {P}. {B} wanted to give a {O} to {A}",
          "Then, {B} and {A} had a long argument, and afterwards {B} said to {A}",
          "After {B} and {A} went to the {P}, {B} gave a {O} to {A}",
          "When {B} and {A} got a {O} at the {P}, {B} decided to give it to {A}",
          "When {B} and {A} got a {O} at the {P}, {B} decided to give the {O} to {A}",
          "While {B} and {A} were working at the {P}, {B} gave a {O} to {A}",
          "While {B} and {A} were commuting to the {P}, {B} gave a {O} to {A}",
          "After the lunch, {B} and {A} went to the {P}. {B} gave a {O} to {A}",
          "Afterwards, {B} and {A} went to the {P}. {B} gave a {O} to {A}",
          "Then, {B} and {A} had a long argument. Afterwards {B} said to {A}",
          "The {P} {B} and {A} went to had a {O}. {B} gave it to {A}",
          "Friends {B} and {A} found a {O} at the {P}. {B} gave it to {A}");

  /** Number of templates. */
  public static final int COUNT = TEXTS.size();

  /** The published template of this index, 0 to 14. */
  public static Template of(int index) {
    return new Template(index, TEXTS.get(index));
  }

  /** Whether the sentence has a place; otherwise {@code place} is not used. */
  public boolean hasPlace() {
    return text.contains("{P}");
  }

  /** Whether the sentence has an object. */
  public boolean hasObject() {
    return text.contains("{O}");
  }

  /**
   * The prompt, which ends before the answer.
   *
   * @param io the name in the slot {@code {A}} of the first clause
   * @param s1 the name in its slot {@code {B}}
   * @param s2 the name in the slot {@code {B}} of the second clause: {@code s1} but in corrupted
   *     prompts
   */
  public String prompt(Form form, String io, String s1, String s2, String place, String object) {
    String clause = form == Form.BABA ? FIRST_CLAUSE : "{A} and {B}";
    int first = text.indexOf(FIRST_CLAUSE);
    int second = first + FIRST_CLAUSE.length();
    int end = text.length() - ANSWER.length();
    return fill(text.substring(0, first) + clause, Map.of("{A}", io, "{B}", s1), place, object)
        + fill(text.substring(second, end), Map.of("{B}", s2), place, object);
  }

  private static String fill(String part, Map<String, String> names, String place, String object) {
    String filled = part.replace("{P}", place).replace("{O}", object);
    for (Map.Entry<String, String> name : names.entrySet()) {
      filled = filled.replace(name.getKey(), name.getValue());
    }
    return filled;
  }
}
