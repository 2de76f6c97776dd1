package io.assay.app;

import io.assay.audit.grok.GrokMeter;
import io.assay.audit.grok.GrokModel;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokTask;
import io.assay.engine.Engine;
import java.io.PrintWriter;
import java.io.Writer;
import java.util.List;

/**
 * What the launcher runs once after a build, with Java's option that writes down which classes were
 * loaded and linked, and what their methods met: later runs find them ready, and Java's better
 * compiler begins with what is hot. It prints nothing.
 */
final class FirstRun {
  private static final List<String> COMMANDS =
      List.of(
          "--version",
          "--help",
          "models list",
          "models info planted-lm",
          "models hooks planted-lm --json",
          "arca reverse --help",
          "doctor");

  /** Measures of a network after which Java knows which of their loops are hot. */
  private static final int MEASURES = 40;

  private FirstRun() {}

  public static void main(String[] args) {
    PrintWriter nowhere = new PrintWriter(Writer.nullWriter());
    for (String command : COMMANDS) {
      Main.run(command.split(" "), nowhere, nowhere);
    }
    measureNetworks();
  }

  /**
   * The measures of a grokking network: a folder of checkpoints is done in a second or two, most of
   * which Java's compiler would else have one of two cores.
   */
  private static void measureNetworks() {
    GrokModel model = GrokModel.initial(GrokShape.of(113), 1);
    boolean[] train = GrokTask.addition(113, 0.3, 0).trainMask();
    try (Engine engine = Engine.open();
        GrokMeter meter = new GrokMeter(engine, model)) {
      for (int i = 0; i < MEASURES; i++) {
        meter.measure(0, model, train, List.of(14, 35, 41, 42, 52), false);
      }
    }
  }
}
