package io.assay.audit.ioi;

/**
 * A prompt as a model reads it, with its corrupted partner.
 *
 * @param ids tokens of the prompt
 * @param corruptIds tokens of the partner, as many
 * @param answer token of the name that is right
 * @param wrong token of the other
 * @param positions in both
 * @param group prompts of one group have their names in the same places: a template
 */
public record Example(
    long[] ids, long[] corruptIds, long answer, long wrong, Positions positions, int group) {
  /** A drawn prompt; its group is its template. */
  static Example of(IoiPrompt p) {
    return new Example(p.ids(), p.corruptIds(), p.answer(), p.wrong(), p.positions(), p.template());
  }
}
