package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.ChildJava;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

/** How the runtime is started. */
class OrtLibraryTest {
  /**
   * The runtime reads the command line by recursion when it starts: one of 100,000 characters takes
   * 27 MB of stack. In a process of its own, for a stack that overflows ends the process.
   */
  @Test
  void startsUnderALongCommandLine() throws IOException, InterruptedException {
    List<String> command = ChildJava.command(Start.class, "-Xss256k");
    for (int i = 0; i < 1000; i++) {
      command.add("a".repeat(100));
    }
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes());
    assertEquals(0, process.waitFor(), said);
    assertEquals(OrtLibrary.version(), said.strip().lines().toList().getLast());
  }

  /** Starts the runtime and says its version. */
  static final class Start {
    private Start() {}

    public static void main(String[] args) {
      System.out.println(OrtLibrary.version());
    }
  }
}
