package io.assay.app;

import io.assay.engine.InputException;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.ToIntFunction;

/**
 * One command under a ledger: begun or gone on with, ended by Ctrl-C or an error in such a way that
 * it can go on, and the one who called is told how.
 */
final class Recording {
  /** Seconds that Ctrl-C gives the step under way. */
  private static final int GRACE = 20;

  /** Exit status of a run that was interrupted and can be resumed. */
  static final int INTERRUPTED = 130;

  private Recording() {}

  /**
   * Runs a command.
   *
   * @param folder where the ledger is
   * @param method command and verb, such as {@code arca.reverse}
   * @param body gives the exit status; a run that it does not complete can be resumed
   */
  static int of(Common common, Path folder, String method, ToIntFunction<Run> body) {
    String resumed = common.resume();
    try (Ledger ledger = Ledger.open(folder);
        Run run =
            resumed != null
                ? ledger.resume(resumed)
                : ledger.begin(Envelope.name(method), method, common.arguments())) {
      ledger
          .damaged()
          .ifPresent(
              file ->
                  common.warn(
                      "the ledger was damaged; what could be read of it goes on, and the damaged"
                          + " file is kept as "
                          + file));
      return new Guard(common, folder, run).guarded(body);
    }
  }

  /** The command that goes on with a run. */
  static String command(Path folder, boolean named, String run) {
    return "assay runs resume " + run + (named ? " --out " + folder : "");
  }

  private record Guard(Common common, String command, Run run, CountDownLatch ended) {
    Guard(Common common, Path folder, Run run) {
      this(
          common,
          Recording.command(folder, !folder.equals(Common.userFolder()), run.name()),
          run,
          new CountDownLatch(1));
    }

    int guarded(ToIntFunction<Run> body) {
      Thread hook = new Thread(this::interrupted, "assay-interrupted");
      Runtime.getRuntime().addShutdownHook(hook);
      try {
        int status = body.applyAsInt(run);
        if (run.isCancelled() && status == INTERRUPTED) {
          say();
        }
        return status;
      } catch (InputException e) {
        // What cannot begin is no run; one that has finished something is not lost.
        if (run.finished() == 0) {
          run.withdraw();
        } else {
          run.fail(e.getMessage());
        }
        throw e;
      } catch (RuntimeException | Error e) {
        String text = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        fail(text, e);
        throw new IllegalStateException(text + "; `" + command + "` goes on with it", e);
      } finally {
        ended.countDown();
        try {
          Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
          // The hook is what runs.
        }
      }
    }

    private void fail(String text, Throwable cause) {
      try {
        run.fail(text);
      } catch (IllegalStateException e) {
        // Where the ledger itself cannot be written, the run stays as a killed one.
        cause.addSuppressed(e);
      }
    }

    /** Ctrl-C: lets the step under way end, so that little is done twice. */
    private void interrupted() {
      run.cancel();
      try {
        if (!ended.await(GRACE, TimeUnit.SECONDS)) {
          say();
        }
      } catch (InterruptedException e) {
        say();
      }
    }

    private void say() {
      common.err().println("assay: interrupted; `" + command + "` goes on");
      common.err().flush();
    }
  }

  /** Options of a command line that decide how it talks, and no result. */
  static List<String> withoutTalk(List<String> arguments) {
    return arguments.stream().filter(a -> !a.equals("--json") && !a.equals("--quiet")).toList();
  }
}
