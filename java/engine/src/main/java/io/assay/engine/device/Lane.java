package io.assay.engine.device;

import java.lang.foreign.MemorySegment;

/**
 * Copies in one direction, in pieces by way of pinned memory: while the device copies one piece,
 * this side copies the next. One copy after the other, beside the kernels.
 */
final class Lane {
  private static final long PIECE_BYTES = 4 << 20;

  private final Driver.Context context;
  private final Driver.Stream stream;
  private final Driver.Pinned[] pieces = new Driver.Pinned[2];
  private final Driver.Event[] copied = new Driver.Event[2];

  Lane(Driver.Context context) {
    this.context = context;
    stream = context.stream();
    for (int i = 0; i < pieces.length; i++) {
      pieces[i] = context.pin(PIECE_BYTES);
      copied[i] = context.event();
    }
  }

  /** The host's memory may be changed when this returns. */
  synchronized void upload(MemorySegment from, Block to) {
    stream.waitFor(to.used);
    stream.waitFor(to.filled);
    for (long at = 0, i = 0; at < from.byteSize(); at += PIECE_BYTES, i ^= 1) {
      Driver.Pinned piece = pieces[(int) i];
      Driver.Event event = copied[(int) i];
      long bytes = Math.min(PIECE_BYTES, from.byteSize() - at);
      event.await();
      MemorySegment.copy(from, at, piece.data(), 0, bytes);
      context.upload(piece, to.memory, at, bytes, stream);
      event.record(stream);
    }
    to.filled.record(stream);
  }

  /** The host's memory holds everything when this returns. */
  synchronized void download(Block from, MemorySegment to) {
    stream.waitFor(from.used);
    stream.waitFor(from.filled);
    long bytes = to.byteSize();
    begin(from, 0, bytes, 0);
    for (long at = 0, i = 0; at < bytes; at += PIECE_BYTES, i ^= 1) {
      begin(from, at + PIECE_BYTES, bytes, (int) i ^ 1);
      copied[(int) i].await();
      MemorySegment.copy(pieces[(int) i].data(), 0, to, at, Math.min(PIECE_BYTES, bytes - at));
    }
    from.used.record(stream);
  }

  private void begin(Block from, long at, long end, int piece) {
    if (at < end) {
      context.download(from.memory, at, pieces[piece], Math.min(PIECE_BYTES, end - at), stream);
      copied[piece].record(stream);
    }
  }

  /** After the last copy. */
  synchronized void close() {
    copied[0].record(stream);
    copied[0].await();
    for (int i = 0; i < pieces.length; i++) {
      pieces[i].close();
      copied[i].close();
    }
    stream.close();
  }
}
