package io.assay.audit.ioi;

/** At which position of a prompt a head counts. */
public enum Place {
  /** All of them. */
  ALL,
  IO,
  S1,
  /** The token behind S1. */
  S1_NEXT,
  S2,
  END;

  /** The position in a prompt; -1 for all. */
  int in(Positions at) {
    return switch (this) {
      case ALL -> -1;
      case IO -> at.io();
      case S1 -> at.s1();
      case S1_NEXT -> at.s1Next();
      case S2 -> at.s2();
      case END -> at.end();
    };
  }
}
