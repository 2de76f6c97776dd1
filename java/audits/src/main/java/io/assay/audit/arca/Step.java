package io.assay.audit.arca;

/** One move of a search, made in all audits of a group together. */
interface Step extends AutoCloseable {
  /**
   * Changes one token in each audit and says which of them succeeded.
   *
   * @param slots audits, null where none takes part
   */
  boolean[] update(Slot[] slots);

  /** Multiplications and additions of what ran so far. */
  long operations();

  @Override
  void close();
}
