package io.assay.audit.ioi;

import java.util.List;

/**
 * A prompt of the task with its corrupted partner.
 *
 * @param template index of the template
 * @param io the name that is the answer
 * @param s the name of the one who acts
 * @param abc the names of the partner, in the order of the slots of io, the first s, the second s
 * @param place null where the template has none
 * @param object null where the template has none
 * @param text the prompt, which ends before the answer
 * @param corrupt the same with the names of {@code abc}
 * @param ids tokens of {@code text}
 * @param corruptIds tokens of {@code corrupt}, as many
 * @param answer token of {@code io}
 * @param wrong token of {@code s}
 * @param positions of both
 */
public record IoiPrompt(
    int template,
    Form form,
    String io,
    String s,
    List<String> abc,
    String place,
    String object,
    String text,
    String corrupt,
    long[] ids,
    long[] corruptIds,
    long answer,
    long wrong,
    Positions positions) {
  public IoiPrompt {
    abc = List.copyOf(abc);
  }
}
