package io.assay.app;

import io.assay.engine.InputException;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.ToIntFunction;
import org.jline.utils.Signals;

/**
 * One command under a ledger: begun or gone on with, ended by Ctrl-C, SIGTERM or an error in such a
 * way that it can go on, and the one who called is told how.
 */
final class Recording {
  /** Seconds that a first Ctrl-C gives the step under way. */
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
    CountDownLatch ended = new CountDownLatch(1);
    try (Ledger ledger = Ledger.open(folder);
        Run run =
            resumed != null
                ? ledger.resume(resumed)
                : ledger.begin(Envelope.name(method), method, common.arguments())) {
      warnOfDamage(ledger, common.err());
      return new Guard(common, folder, run, ended).guarded(body);
    } finally {
      ended.countDown();
    }
  }

  /**
   * Completes a run and tells its result.
   *
   * @param report where it is
   * @param table prints the result for people
   * @return the exit status
   */
  static int complete(Common common, Run run, Envelope envelope, Path report, Runnable table) {
    String text = envelope.text(report);
    run.complete(text);
    if (common.json()) {
      common.out().println(text);
    } else {
      table.run();
      common.out().printf(Locale.ROOT, "%.1f s in all%nreport: %s%n", envelope.seconds(), report);
    }
    return 0;
  }

  /** Says that a ledger was rescued, if it was. */
  static void warnOfDamage(Ledger ledger, PrintWriter err) {
    ledger
        .damaged()
        .ifPresent(
            file ->
                err.println(
                    "assay: the ledger was damaged; what could be read of it goes on, and the"
                        + " damaged file is kept as "
                        + file));
  }

  /** The command that goes on with a run. */
  static String command(Path folder, boolean named, String run) {
    return "assay runs resume " + run + (named ? " --out " + folder : "");
  }

  private record Guard(Common common, String command, Run run, CountDownLatch ended) {
    Guard(Common common, Path folder, Run run, CountDownLatch ended) {
      this(
          common,
          Recording.command(folder, !folder.equals(Common.userFolder()), run.name()),
          run,
          ended);
    }

    int guarded(ToIntFunction<Run> body) {
      // Not a shutdown hook: those run together, and ONNX Runtime's would close what still runs.
      Object usualInt = Signals.register("INT", this::interrupted);
      Object usualTerm = Signals.register("TERM", this::interrupted);
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
        Signals.unregister("INT", usualInt);
        Signals.unregister("TERM", usualTerm);
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

    /**
     * Ctrl-C or SIGTERM: lets the step under way end, so that little is done twice. Comes it again,
     * or takes that long, the process ends at once.
     */
    private void interrupted() {
      try {
        if (!run.isCancelled()) {
          run.cancel();
          if (ended.await(GRACE, TimeUnit.SECONDS)) {
            return;
          }
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      say();
      Runtime.getRuntime().halt(INTERRUPTED);
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
