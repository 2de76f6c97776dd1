package io.assay.engine.patch;

import io.assay.engine.patch.PatchException.Reason;
import io.assay.engine.patch.SweepSpec.Per;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * The positions of a map: those of the prompts where all are equally long, else the named ones.
 *
 * @param labels name of each, where prompts are equally long behind its number; none where all
 *     positions are patched at once
 * @param at position of each in each pair
 */
record Places(List<String> labels, List<int[]> at) {
  /**
   * @throws PatchException if lengths differ and the pairs do not all name the same positions
   */
  static Places of(List<Pair> pairs, Per per) {
    if (per == Per.ALL) {
      int[] all = {Intervention.ALL};
      return new Places(List.of(), pairs.stream().map(p -> all).toList());
    }
    int length = pairs.getFirst().length();
    if (pairs.stream().allMatch(p -> p.length() == length)) {
      int[] all = IntStream.range(0, length).toArray();
      return new Places(
          IntStream.range(0, length).mapToObj(i -> label(i, pairs)).toList(),
          pairs.stream().map(p -> all).toList());
    }
    Set<String> names = pairs.getFirst().positions().keySet();
    for (int i = 1; i < pairs.size(); i++) {
      boolean unnamed = names.isEmpty() && pairs.get(i).length() != length;
      if (unnamed || !pairs.get(i).positions().keySet().equals(names)) {
        throw new PatchException(
            Reason.SHAPE,
            ("pairs[0] has %d tokens and names the positions %s, pairs[%d] has %d and names %s;"
                    + " pairs of different lengths need the same named positions, or --per all")
                .formatted(
                    length, names, i, pairs.get(i).length(), pairs.get(i).positions().keySet()));
      }
    }
    List<String> labels = new ArrayList<>(names);
    labels.sort(
        Comparator.comparingDouble(
            name -> pairs.stream().mapToInt(p -> p.positions().get(name)).average().orElse(0)));
    return new Places(
        labels,
        pairs.stream().map(p -> labels.stream().mapToInt(p.positions()::get).toArray()).toList());
  }

  /** A position's number, and the names that it has in every pair, such as {@code 9 S2}. */
  private static String label(int position, List<Pair> pairs) {
    return pairs.getFirst().positions().keySet().stream()
        .filter(name -> pairs.stream().allMatch(p -> named(p, name, position)))
        .reduce(Integer.toString(position), (label, name) -> label + " " + name);
  }

  private static boolean named(Pair pair, String name, int position) {
    return Integer.valueOf(position).equals(pair.positions().get(name));
  }

  /** Positions patched one after the other in each pair; 1 where all are patched at once. */
  int count() {
    return at.getFirst().length;
  }
}
