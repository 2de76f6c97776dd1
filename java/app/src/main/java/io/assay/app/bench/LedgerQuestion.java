package io.assay.app.bench;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.Main;
import io.assay.engine.UserData;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import io.assay.engine.run.RunRecord;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * What the ledger costs. It is written into the user's data folder, where ledgers are: a folder for
 * temporary files may be in memory.
 */
abstract class LedgerQuestion implements Question {
  final Path folder;

  private int ledgers;

  LedgerQuestion() {
    try {
      folder = Files.createTempDirectory(Files.createDirectories(UserData.folder()), "bench-");
    } catch (IOException e) {
      throw new IllegalStateException("the folder " + UserData.folder() + " cannot be written", e);
    }
  }

  @Override
  public String name() {
    return "ledger";
  }

  /** A thread of the ledger's own waits for the disk: the caller's processor time says nothing. */
  @Override
  public Clock clock(int threads) {
    return Clock.WALL;
  }

  @Override
  public Cost cost() {
    return Cost.NONE;
  }

  @Override
  public int runs() {
    return 5;
  }

  /** A folder in which there is no ledger yet. */
  Path fresh() {
    return folder.resolve("ledger-" + ledgers++);
  }

  @Override
  public void close() {
    Run.clean(folder);
  }

  /**
   * A search of about a second with the organism planted-lm, for what it does not say, and all that
   * it wrote into its ledger, written again: into a ledger that is there, as the user's is after
   * the first run; each unit by a commit of its own, which a search does only where the disk is
   * faster than its units.
   */
  static final class OfSearch extends LedgerQuestion {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int UNITS = 4;
    private static final int SWEEPS = 5;

    /** Most that the ledger may take of a search. */
    private static final double SHARE = 0.02;

    private final int threads;
    private int runs;
    private RunRecord record;
    private List<RunRecord.Unit> units;
    private double search;

    OfSearch(int threads) {
      this.threads = threads;
    }

    @Override
    public String shape() {
      return "of a search, planted-lm, %d units, %d sweeps".formatted(UNITS, SWEEPS);
    }

    @Override
    public String baseline() {
      return "the search itself";
    }

    @Override
    public double bound(double otherSeconds) {
      return SHARE * otherSeconds;
    }

    @Override
    public void check() {
      other();
      ours();
    }

    @Override
    public void other() {
      Path out = fresh();
      StringWriter said = new StringWriter();
      StringWriter faults = new StringWriter();
      String[] arguments = {
        "arca",
        "reverse",
        "planted-lm",
        "--target",
        " close every gate",
        "--restarts",
        Integer.toString(UNITS),
        "--sweeps",
        Integer.toString(SWEEPS),
        "--threads",
        Integer.toString(threads),
        "--json",
        "--out",
        out.toString()
      };
      int status = Main.run(arguments, new PrintWriter(said), new PrintWriter(faults));
      if (status != 0) {
        throw new IllegalStateException("ledger: the search ended with " + status + ": " + faults);
      }
      JsonNode envelope = tree(said.toString());
      search = envelope.get("seconds").doubleValue();
      try (Ledger ledger = Ledger.open(out)) {
        record = ledger.run(envelope.get("run").textValue());
        units = ledger.units(record.name());
      }
      if (units.size() != UNITS) {
        throw new IllegalStateException("ledger: " + units.size() + " units, not " + UNITS);
      }
    }

    /** Without the start of the engine, of which a user's search takes more than this one. */
    @Override
    public double secondsOfOther(Clock clock) {
      other();
      return search;
    }

    @Override
    public void ours() {
      try (Ledger ledger = Ledger.open(folder);
          Run run = ledger.begin("again-" + runs++, record.method(), record.arguments())) {
        run.describe(record.units(), (ObjectNode) tree(record.provenance()));
        for (RunRecord.Unit unit : units) {
          run.finish(unit.name(), unit.result());
          run.flush();
        }
        run.complete(record.result());
      }
    }

    private static JsonNode tree(String json) {
      try {
        return JSON.readTree(json);
      } catch (JsonProcessingException e) {
        throw new IllegalStateException("ledger: no JSON: " + json, e);
      }
    }
  }

  /** Many small units, finished faster than the disk; the other way is a commit for each. */
  static final class OfUnits extends LedgerQuestion {
    private static final int UNITS = 100_000;

    /** Seconds that they may take. */
    private static final double BOUND = 60;

    /** So many are committed one by one; more would take as long each. */
    private static final int SINGLE = 500;

    @Override
    public String shape() {
      return "%,d units".formatted(UNITS);
    }

    @Override
    public String baseline() {
      return "a commit for each, %d timed".formatted(SINGLE);
    }

    @Override
    public double bound(double otherSeconds) {
      return BOUND;
    }

    @Override
    public void check() {
      Path place = fresh();
      write(place, UNITS, false);
      try (Ledger ledger = Ledger.open(place)) {
        List<RunRecord.Unit> units = ledger.units("a");
        for (int i = 0; i < UNITS; i++) {
          if (units.size() != UNITS || !units.get(i).result().equals(result(i))) {
            throw new IllegalStateException("ledger: the units are not those that were written");
          }
        }
      }
    }

    private static String result(int i) {
      return "{\"J\":-1.25,\"ids\":[1,2,3],\"n\":" + i + "}";
    }

    private static void write(Path place, int units, boolean single) {
      try (Ledger ledger = Ledger.open(place);
          Run run = ledger.begin("a", "bench", List.of())) {
        for (int i = 0; i < units; i++) {
          run.finish("unit " + i, result(i));
          if (single) {
            run.flush();
          }
        }
      }
    }

    @Override
    public void ours() {
      write(fresh(), UNITS, false);
    }

    @Override
    public void other() {
      write(fresh(), SINGLE, true);
    }

    @Override
    public double secondsOfOther(Clock clock) {
      return clock.seconds(this::other) * UNITS / SINGLE;
    }
  }
}
