package io.assay.audit.arca;

/** A token put at a position of a sequence. */
record Swap(int position, int token) {
  /** Puts each of {@code tokens} at one position. */
  static Swap[] all(int position, int... tokens) {
    Swap[] swaps = new Swap[tokens.length];
    for (int i = 0; i < tokens.length; i++) {
      swaps[i] = new Swap(position, tokens[i]);
    }
    return swaps;
  }

  /** Token t of the sequence that this swap makes of {@code ids}. */
  int at(int t, int[] ids) {
    return t == position ? token : ids[t];
  }

  /** The sequence that this swap makes of {@code ids}. */
  int[] in(int[] ids) {
    int[] swapped = ids.clone();
    swapped[position] = token;
    return swapped;
  }
}
