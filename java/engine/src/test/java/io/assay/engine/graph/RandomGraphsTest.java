package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Small graphs drawn by seed, each checked as {@link GraphCheck} does. {@code -Dassay.graphs=N}
 * sets their number, {@code -Dassay.graphs.seed=N} the first seed; a failure is shrunk and printed
 * as a test.
 */
class RandomGraphsTest {
  private static final int GRAPHS = Integer.getInteger("assay.graphs", 250);
  private static final long FIRST = Long.getLong("assay.graphs.seed", 0);

  /** Share of the entries at which a difference is no derivative. */
  private static final double ASIDE = 0.01;

  private static final int FAILURES = 5;

  @Test
  void gradientsAndDerivationsOfRandomGraphs() {
    GraphCheck check = new GraphCheck();
    List<String> failures = new ArrayList<>();
    int graphs = 0;
    long nodes = 0;
    for (; graphs < GRAPHS && failures.size() < FAILURES; graphs++) {
      long seed = FIRST + graphs;
      String name = "seed " + seed;
      Choices choices = Choices.drawn(seed);
      RandomGraph.Sample sample = RandomGraph.draw(name, choices);
      nodes += sample.graph().nodes().size();
      String failure = failure(check, sample);
      if (failure != null) {
        RandomGraph.Sample small =
            Shrinker.shrink(name, choices, s -> failure(new GraphCheck(), s) != null);
        failures.add(failure(new GraphCheck(), small) + "\n" + TestSource.of(small));
        System.out.println(failures.getLast());
      }
    }
    System.out.printf(
        "random graphs: %d from seed %d, %d nodes of %d operators; %d entries of gradients, the"
            + " worst at %.2f of the tolerance, %d set aside beside a kink%n",
        graphs, FIRST, nodes, check.operators.size(), check.compared, check.worst, check.aside);
    assertTrue(failures.isEmpty(), () -> String.join("\n", failures));
    assertTrue(check.aside <= ASIDE * check.compared, "too many entries are set aside");
  }

  private static String failure(GraphCheck check, RandomGraph.Sample sample) {
    try {
      check.check(sample.graph(), sample.inputs());
      return null;
    } catch (RuntimeException | AssertionError e) {
      return e.toString();
    }
  }
}
