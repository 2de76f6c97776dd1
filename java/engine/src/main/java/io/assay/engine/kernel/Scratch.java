package io.assay.engine.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;

/**
 * Off-heap memory of one native call at a time, kept for the next one: a small part for the structs
 * of its arguments, and a workspace that grows to the largest asked for. Not for several threads at
 * once, but for one after the other.
 */
final class Scratch implements SegmentAllocator, AutoCloseable {
  /** Enough for the largest call: its parameters, a matrix or four, the size of the workspace. */
  private static final long STRUCT_BYTES = 1024;

  private static final long ALIGNMENT = 64;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment structs = arena.allocate(STRUCT_BYTES, ALIGNMENT);
  private SegmentAllocator free;
  private Arena workspaceArena = Arena.ofShared();
  private MemorySegment workspace = MemorySegment.NULL;

  /** Forgets what was allocated for the call before. */
  void begin() {
    structs.fill((byte) 0);
    free = SegmentAllocator.slicingAllocator(structs);
  }

  /** Zeroed memory for a struct of this call. */
  @Override
  public MemorySegment allocate(long bytes, long alignment) {
    return free.allocate(bytes, alignment);
  }

  /** The workspace of this call, its content unspecified; NULL where it needs none. */
  MemorySegment workspace(long bytes) {
    if (workspace.byteSize() < bytes) {
      long grown = Math.max(bytes, 2 * workspace.byteSize());
      workspace = MemorySegment.NULL;
      workspaceArena.close();
      workspaceArena = Arena.ofShared();
      workspace = workspaceArena.allocate(grown, ALIGNMENT);
    }
    return workspace.asSlice(0, bytes);
  }

  @Override
  public void close() {
    workspaceArena.close();
    arena.close();
  }
}
