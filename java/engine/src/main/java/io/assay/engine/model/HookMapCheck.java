package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.model.TransformerBlocks.Block;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the structure of a graph says against an entry of its hook map. Where it says nothing, the
 * entry is taken as it is.
 */
final class HookMapCheck {
  /** Fits no axis of a model by chance. */
  private static final long ROWS = 5;

  private static final Pattern BLOCK = Pattern.compile("blocks\\.(\\d{1,9})\\..*");
  private static final Pattern BY_HEAD = Pattern.compile(".*attn.*\\.hook_([qkvz])");

  private final TransformerBlocks structure;

  /** Number of blocks; 0 where it is not known. */
  private final int blocks;

  private HookMapCheck(Graph fixed) {
    structure = new TransformerBlocks(fixed);
    List<Block> found = structure.find();
    blocks = structure.areAll(found) ? found.size() : 0;
  }

  /** The check of a graph's hook map; empty where no drawn inputs fix the graph's shapes. */
  static Optional<HookMapCheck> of(Graph graph) {
    return DrawnInputs.specialised(graph, ROWS).map(HookMapCheck::new);
  }

  /**
   * What is wrong with an entry, as the predicate of a sentence about the hook map; null if nothing
   * is known to be.
   *
   * @param rows null where the value is not split like another
   * @param heads 0 where it is not split in heads
   */
  String wrong(String hook, String value, String rows, int heads, List<Long> transpose) {
    Matcher block = BLOCK.matcher(hook);
    if (blocks > 0 && block.matches() && Integer.parseInt(block.group(1)) >= blocks) {
      return "binds "
          + hook
          + ", but the graph has "
          + blocks
          + (blocks == 1
              ? " block, which is blocks.0"
              : " blocks, blocks.0 to blocks." + (blocks - 1));
    }
    long[] shape = structure.shape(value);
    if (shape == null) {
      return null;
    }
    if (rows != null) {
      long[] whole = structure.shape(rows);
      if (whole != null
          && (whole.length < 2 || shape.length == 0 || shape[0] != whole[0] * whole[1])) {
        return "splits "
            + hook
            + " like "
            + rows
            + ", but the first axis of "
            + value
            + " does not hold the first two of that";
      }
    }
    int rank = shape.length + (rows == null ? 0 : 1) + (heads == 0 ? 0 : 1);
    if (!transpose.isEmpty() && transpose.size() != rank) {
      return "transposes "
          + hook
          + " by "
          + transpose
          + ", but it has "
          + rank
          + " axes; give each once";
    }
    return heads == 0 ? null : wrongHeads(hook, value, shape, heads);
  }

  private String wrongHeads(String hook, String value, long[] shape, int heads) {
    long last = shape.length == 0 ? 1 : shape[shape.length - 1];
    Matcher part = BY_HEAD.matcher(hook);
    long width = part.matches() ? structure.headWidth(value, part.group(1).charAt(0)) : -1;
    if (width > 0 && last % width == 0 && last / width != heads) {
      return splits(hook, heads)
          + ", but its attention has heads of "
          + width
          + " entries; give "
          + last / width;
    }
    return last % heads == 0
        ? null
        : splits(hook, heads)
            + ", but the last axis of "
            + value
            + " has "
            + last
            + " entries; give a number that divides it";
  }

  private static String splits(String hook, int heads) {
    return "splits " + hook + " in " + heads + (heads == 1 ? " head" : " heads");
  }
}
