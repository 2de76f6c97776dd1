package io.assay.audit.arca;

import java.util.BitSet;

/**
 * Token ids with a name for the record.
 *
 * @param name what was asked for, as in {@code letters and not_special}
 * @param ids a copy is kept
 */
public record TokenSet(String name, BitSet ids) {
  public TokenSet {
    ids = (BitSet) ids.clone();
  }

  /** A copy of the ids. */
  @Override
  public BitSet ids() {
    return (BitSet) ids.clone();
  }

  public boolean contains(int id) {
    return ids.get(id);
  }

  /** Number of ids. */
  public int size() {
    return ids.cardinality();
  }

  /** The ids of both sets. */
  public TokenSet and(TokenSet other) {
    BitSet both = ids();
    both.and(other.ids);
    return new TokenSet(name + " and " + other.name, both);
  }

  /** The ids below {@code vocabulary} that are not here. */
  public TokenSet not(int vocabulary) {
    BitSet rest = ids();
    rest.flip(0, vocabulary);
    return new TokenSet("not_" + name, rest);
  }
}
