package io.assay.app;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The options that every command has. */
@Command(
    versionProvider = Version.class,
    optionListHeading = "%nOptions:%n",
    parameterListHeading = "%nArguments:%n",
    commandListHeading = "Commands:%n",
    sortOptions = false)
final class Help {
  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this text and end.")
  boolean wanted;

  @Option(names = "--version", versionHelp = true, description = "Show the version and end.")
  boolean version;
}
