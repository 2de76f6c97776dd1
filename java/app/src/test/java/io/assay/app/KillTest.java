package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.Child.Life;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import io.assay.engine.run.RunRecord;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Runs that are killed with SIGKILL at seeded moments, that find no room on the disk, and whose
 * files lose their ends: {@code runs resume} ends with the bytes of a run that was left alone, and
 * no unit is lost or done twice. The property {@code assay.kills} says how many kills: half of that
 * of an ARCA search, of a training, of a grokking run and of a sweep of patches each.
 */
class KillTest {
  private static final int KILLS = Integer.getInteger("assay.kills", 4);

  /** Of so many kills, one also damages the end of a file. */
  private static final int DAMAGE = 3;

  /** Kilobytes that a file may have in a life without room. */
  private static final int ROOM = 40;

  /** Parts of a result that say what it cost and how it is called. */
  private static final List<String> COST = List.of("seconds", "run", "report", "operations");

  @TempDir Path folder;

  private record Job(Path ledger, Path product, List<String> begin) {}

  @Test
  void anArcaSearch() throws Exception {
    Path model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7);
    Path out = folder.resolve("out");
    String line =
        "arca reverse %s --target-ids 5 --target-ids 6,7 --prompt-length 2 --sweeps 12 --restarts 6"
            + " --k 16 --q 16 --slots 2 --success-check never --json --out %s";
    check(new Job(out, out, List.of(line.formatted(model, out).split(" "))));
  }

  @Test
  void aTraining() throws Exception {
    Path product = folder.resolve("organism");
    String line = "organism build planted-lm --steps 60 --json --out " + product;
    check(new Job(folder.resolve("home"), product, List.of(line.split(" "))));
  }

  @Test
  void aGrokkingRun() throws Exception {
    Path product = folder.resolve("trajectory");
    Path out = folder.resolve("home");
    String line =
        "grok train --p 31 --fraction 0.6 --width 64 --neurons 128 --epochs 2000 --every 100"
            + " --keep 500,1500 --json --trajectory %s --out %s";
    check(new Job(out, product, List.of(line.formatted(product, out).split(" "))));
  }

  @Test
  void aSweepOfPatches() throws Exception {
    Path model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7);
    Path pairs = PatchCommandTest.writePairs(folder.resolve("pairs.jsonl"), 40, 20);
    Path out = folder.resolve("out");
    String line = "patch sweep %s --pairs %s --direction noise --per-pair --json --out %s";
    check(new Job(out, out, List.of(line.formatted(model, pairs, out).split(" "))));
  }

  private void check(Job job) throws Exception {
    long start = System.nanoTime();
    Life whole = live(job.begin(), 0, Long.MAX_VALUE);
    long usual = (System.nanoTime() - start) / 1_000_000;
    assertEquals(0, whole.status(), whole.err());
    JsonNode want = result(whole);
    Map<String, String> files = files(job.product());
    int units = units(job).size();
    assertTrue(units >= 4, "units " + units);

    Random random = new Random(3);
    int kills = 0;
    int runs = 0;
    int damages = 0;
    while (kills < KILLS / 2) {
      clean(job);
      Map<String, String> before = Map.of();
      boolean narrow = runs++ % 3 == 0;
      boolean dubious = false;
      double patience = 1;
      while (true) {
        // The first life may find no room; then lives are killed until one comes to its end.
        List<String> arguments = next(job);
        // A kill may come after the result is kept; damage may then take units, and not the result.
        boolean over = dubious && isFinished(job);
        boolean last = kills >= KILLS / 2;
        long limit = last ? Long.MAX_VALUE : 100 + (long) (random.nextDouble() * usual * patience);
        Life life = live(arguments, narrow ? ROOM : 0, narrow ? Long.MAX_VALUE : limit);
        if (narrow) {
          assertTrue(life.status() == 2 || life.status() == 3, life.toString());
          assertTrue(life.lastWord().startsWith("assay: "), life.err());
          assertFalse(life.err().contains("\tat "), life.err());
        } else if (life.status() == 0) {
          String at = "run " + runs + " after " + kills + " kills, seed 3: " + arguments;
          assertEquals(want, result(life), at);
          assertEquals(files, files(job.product()), at);
          if (!over) {
            assertEquals(units, units(job).size(), at);
          }
          before.forEach((unit, text) -> assertEquals(text, units(job).get(unit), at + unit));
          break;
        } else {
          assertEquals(137, life.status(), life.toString());
          kills++;
        }
        narrow = false;
        Map<String, String> after = units(job);
        // Damage is met at the beginning of a life: until one has done something, units may go.
        boolean mayGo = dubious;
        before.forEach(
            (unit, text) -> {
              if (!mayGo || after.containsKey(unit)) {
                assertEquals(text, after.get(unit), unit);
              }
            });
        boolean moved = !before.keySet().containsAll(after.keySet());
        dubious &= !moved;
        // On a busy machine a life may be killed before it did anything: the next ones get longer.
        patience = moved ? 1 : Math.min(8, 1.15 * patience);
        before = after;
        if (kills % DAMAGE == DAMAGE - 1 && damages <= kills / DAMAGE) {
          damages++;
          damage(job, random);
          dubious = true;
          before = units(job);
        }
      }
    }
    System.out.printf(
        "%d kills, %d damaged files over %d runs of %s: each ended with the same %d units and"
            + " bytes%n",
        kills, damages, runs, job.begin().getFirst(), units);
  }

  /** Resuming what is in the ledger, or beginning where there is nothing. */
  private List<String> next(Job job) {
    try (Ledger ledger = Ledger.find(job.ledger()).orElse(null)) {
      List<RunRecord> runs = ledger == null ? List.of() : ledger.runs();
      if (runs.isEmpty()) {
        return job.begin();
      }
      assertEquals(1, runs.size());
      return List.of(
          "runs", "resume", runs.getFirst().name(), "--json", "--out", job.ledger().toString());
    }
  }

  private static boolean isFinished(Job job) {
    try (Ledger ledger = Ledger.find(job.ledger()).orElse(null)) {
      return ledger != null
          && ledger.runs().stream().anyMatch(run -> run.state() == RunRecord.State.FINISHED);
    }
  }

  /** Results of the finished units by their names, of which none is there twice. */
  private static Map<String, String> units(Job job) {
    Map<String, String> units = new LinkedHashMap<>();
    Optional<Ledger> found = Ledger.find(job.ledger());
    if (found.isPresent()) {
      try (Ledger ledger = found.get()) {
        for (RunRecord run : ledger.runs()) {
          for (RunRecord.Unit unit : ledger.units(run.name())) {
            String text = unit.result().replaceAll("\"seconds\":[^,}]*", "");
            assertEquals(null, units.put(unit.name(), text), "twice: " + unit.name());
          }
        }
      }
    }
    return units;
  }

  private static void clean(Job job) {
    Run.clean(job.ledger());
    Run.clean(job.product());
  }

  /**
   * Calls the command line in a process of its own.
   *
   * @param room most kilobytes that a file may have, or 0
   * @param limit milliseconds until it is killed
   */
  private Life live(List<String> arguments, int room, long limit) throws Exception {
    String shell = room > 0 ? "ulimit -f " + 2 * room : null;
    return Child.begin(folder, shell, arguments).end(limit);
  }

  static JsonNode result(Life life) throws Exception {
    JsonNode root = Envelope.JSON.readTree(life.out());
    strip(root);
    return root;
  }

  private static void strip(JsonNode node) {
    if (node instanceof ObjectNode object) {
      object.remove(COST);
    }
    node.forEach(KillTest::strip);
  }

  /** What a run leaves besides ledger and report: content by name. */
  private static Map<String, String> files(Path product) throws Exception {
    Map<String, String> files = new TreeMap<>();
    try (Stream<Path> all = Files.walk(product)) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        String name = product.relativize(file).toString();
        if (!name.startsWith("ledger.") && !name.endsWith(".html")) {
          files.put(name, new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1));
        }
      }
    }
    return files;
  }

  /** Cuts off the end of a journal, a ledger or a checkpoint, or fills it with noise. */
  private static void damage(Job job, Random random) throws Exception {
    if (Files.notExists(job.ledger())) {
      return;
    }
    List<Path> files;
    try (Stream<Path> all = Files.walk(job.ledger())) {
      files =
          all.filter(f -> f.toString().matches(".*(\\.db|-wal|\\.safetensors)"))
              .filter(f -> !f.startsWith(job.product()) || job.product().equals(job.ledger()))
              .sorted()
              .toList();
    }
    if (files.isEmpty()) {
      return;
    }
    Path file = files.get(random.nextInt(files.size()));
    byte[] bytes = Files.readAllBytes(file);
    int from = bytes.length - random.nextInt(Math.min(8192, bytes.length) + 1);
    if (random.nextBoolean()) {
      bytes = Arrays.copyOf(bytes, from);
    } else {
      for (int i = from; i < bytes.length; i++) {
        bytes[i] = (byte) random.nextInt();
      }
    }
    Files.write(file, bytes);
    assertFalse(Files.notExists(file));
  }
}
