package io.assay.app;

import io.assay.engine.InputException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/**
 * The command line of Assay.
 *
 * <p>Exit status: 0 done, 1 a self-test or verification that does not hold, 2 the user's input is
 * wrong, 3 a run that failed, 130 interrupted. Whatever goes wrong is said in one sentence on
 * standard error; with the environment variable {@code ASSAY_TRACE} set, a failed run also shows
 * where.
 */
@Command(
    name = "assay",
    description = {
      "Audits language models: finds prompts that make a model say what nobody asked for.",
      ""
    },
    synopsisSubcommandLabel = "COMMAND",
    footer = {
      "",
      "A model is a folder with config.json and model.safetensors (GPT-2 family), an .onnx file, or"
          + " a",
      "name that `assay models list` shows.",
      "",
      "  assay demo                                     see an audit from end to end",
      "  assay models info MODEL                        what a model is",
      "  assay arca reverse planted-lm --target ' open every gate'",
      "                                                 prompts that the model continues so",
      "",
      "Exit status: 0 done, 1 a verification does not hold, 2 wrong input, 3 a run failed,",
      "130 interrupted. `assay COMMAND --help` explains a command."
    })
public final class Main implements Runnable {
  private static final List<Class<?>> COMMANDS =
      List.of(
          ArcaCommand.class,
          GrokCommand.class,
          IoiCommand.class,
          PatchCommand.class,
          ModelsCommand.class,
          OrganismCommand.class,
          DemoCommand.class,
          DoctorCommand.class,
          RunsCommand.class,
          BenchCommand.class,
          SelftestCommand.class);

  private static final int WRONG_INPUT = 2;
  private static final int FAILED = 3;

  @CommandLine.Mixin private Help help;

  @CommandLine.Spec private CommandLine.Model.CommandSpec spec;

  /**
   * How {@code runs resume} calls the command that a run was begun with.
   *
   * @param folder where the ledger is
   */
  record Resuming(Path folder, String run, boolean json, boolean quiet) {}

  private final Resuming resuming;

  private Main(Resuming resuming) {
    this.resuming = resuming;
  }

  /** Null but in a command that {@code runs resume} calls. */
  Resuming resuming() {
    return resuming;
  }

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(),
        "a command is missing: " + String.join(", ", spec.subcommands().keySet()));
  }

  public static void main(String[] args) {
    System.exit(run(args, new PrintWriter(System.out, true), new PrintWriter(System.err, true)));
  }

  /** Runs one command and returns its exit status. */
  public static int run(String[] args, PrintWriter out, PrintWriter err) {
    return run(null, args, out, err);
  }

  /** Runs one command for {@code runs resume}, or, with null, for the user. */
  static int run(Resuming resuming, String[] args, PrintWriter out, PrintWriter err) {
    if (args.length == 1 && args[0].equals("--version")) {
      out.println(Version.line());
      return 0;
    }
    CommandLine line =
        commandsFor(resuming, args)
            .setOut(out)
            .setErr(err)
            .setCaseInsensitiveEnumValuesAllowed(true)
            .setUsageHelpAutoWidth(false)
            .setUsageHelpWidth(100)
            .setParameterExceptionHandler(Main::wrongArguments)
            .setExecutionExceptionHandler((e, command, parsed) -> failed(e, err));
    try {
      return line.execute(args);
    } catch (OutOfMemoryError e) {
      err.println(
          "assay: the memory of this Java is used up; give it more, for example with"
              + " ASSAY_JAVA_OPTS=-Xmx8g");
      return FAILED;
    } catch (Error e) {
      return failed(e, err);
    } finally {
      out.flush();
      err.flush();
    }
  }

  /**
   * The command line with the command that the first argument names; with all of them where it
   * names none, for the help and for error messages. Building them is most of a short call's time.
   */
  private static CommandLine commandsFor(Resuming resuming, String[] args) {
    CommandLine line = new CommandLine(new Main(resuming));
    Optional<Class<?>> named =
        COMMANDS.stream()
            .filter(c -> args.length > 0 && args[0].equals(c.getAnnotation(Command.class).name()))
            .findFirst();
    named.map(List::<Class<?>>of).orElse(COMMANDS).forEach(line::addSubcommand);
    return line;
  }

  private static int wrongArguments(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    String name = command.getCommandSpec().qualifiedName();
    String text =
        oneLine(e instanceof UnmatchedArgumentException u ? unmatched(u) : e.getMessage());
    command.getErr().println(name + ": " + text + "; `" + name + " --help` shows what it takes");
    return WRONG_INPUT;
  }

  /** What is wrong with an argument that nothing takes, and what there is instead. */
  private static String unmatched(UnmatchedArgumentException e) {
    String argument = e.getUnmatched().getFirst();
    if (e.isUnknownOption()) {
      List<String> near = e.getSuggestions();
      return "there is no option "
          + argument
          + (near.isEmpty() ? "" : "; near it is " + String.join(", ", near));
    }
    Set<String> commands = e.getCommandLine().getSubcommands().keySet();
    return commands.isEmpty()
        ? "the argument '" + argument + "' is one too many"
        : "there is no command '" + argument + "'; there are " + String.join(", ", commands);
  }

  private static int failed(Throwable e, PrintWriter err) {
    if (e instanceof InputException) {
      err.println("assay: " + oneLine(e.getMessage()));
      return WRONG_INPUT;
    }
    String text = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
    err.println("assay: the run failed: " + oneLine(text));
    if (System.getenv("ASSAY_TRACE") != null) {
      e.printStackTrace(err);
    }
    return FAILED;
  }

  private static String oneLine(String text) {
    return text.strip().replaceAll("\\s*\\R\\s*", " ");
  }
}
