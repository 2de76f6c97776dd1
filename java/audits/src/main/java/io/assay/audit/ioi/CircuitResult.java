package io.assay.audit.ioi;

import java.util.Arrays;
import java.util.List;

/**
 * A circuit and what tests say of it. Logit differences are means over prompts on which it was not
 * searched, in nats.
 *
 * @param prompts they
 * @param whole logit difference of each in the model, F(M)
 * @param kept the same in the circuit, F(C); empty if there is none
 * @param circuit its nodes
 * @param layers of the model
 * @param heads of each layer
 * @param search how it was found, from all heads on; empty if it was given
 * @param completeness one for each set of nodes that was removed from circuit and model
 * @param minimality one for each node
 * @param attention where all heads attend in the prompts; empty where the model does not show it
 * @param copies whether the circuit's heads write what they read; empty where it cannot be computed
 * @param edges direct effects between the circuit's heads, and on the logits; empty where they
 *     cannot be computed
 * @param patterns attention of the circuit's heads in the first prompt, [head][query * tokens +
 *     key]; empty where the model does not show it
 * @param reason why no circuit is claimed; empty if one is
 * @param warnings what is doubtful
 */
public record CircuitResult(
    List<IoiPrompt> prompts,
    double[] whole,
    double[] kept,
    List<Node> circuit,
    int layers,
    int heads,
    List<Step> search,
    List<Completeness> completeness,
    List<Minimality> minimality,
    List<HeadScores> attention,
    List<Copy> copies,
    List<Edge> edges,
    float[][] patterns,
    String reason,
    List<String> warnings) {
  /**
   * A step of the search.
   *
   * @param removed node that was taken out
   * @param added node that came in its place, or null
   * @param left nodes that are left
   * @param logitDifference F of those, on the prompts of the search
   */
  public record Step(Node removed, Node added, int left, double logitDifference) {}

  /**
   * @param kind how the set was chosen: empty, one, all, random or greedy
   * @param removed K
   * @param circuit F(C \ K)
   * @param model F(M \ K)
   */
  public record Completeness(String kind, List<Node> removed, double circuit, double model) {
    /** {@code |F(C \ K) - F(M \ K)|}. */
    public double incompleteness() {
      return Math.abs(circuit - model);
    }
  }

  /**
   * @param removed the K for which the node adds most
   * @param with F(C \ K)
   * @param without F(C \ (K + node))
   */
  public record Minimality(Node node, List<Node> removed, double with, double without) {
    /** What the node adds. */
    public double value() {
      return Math.abs(with - without);
    }
  }

  /**
   * @param positive share of names among the five highest logits of what the head writes of them
   * @param negative the same of its opposite
   */
  public record Copy(int layer, int head, double positive, double negative) {}

  /**
   * @param to the head that reads, or null for the logits
   * @param effect change of the logit difference, nats, when the edge alone carries the corrupted
   *     prompt's value (path patching, through MLPs)
   */
  public record Edge(Node from, Node to, double effect) {}

  /** The circuit's heads, whatever their positions. */
  public List<Node> headsOfCircuit() {
    return circuit.stream().map(n -> Node.of(n.layer(), n.head())).distinct().toList();
  }

  /** Whether a circuit is claimed. */
  public boolean isClaimed() {
    return reason.isEmpty();
  }

  /** F(M). */
  public double model() {
    return Circuits.mean(whole);
  }

  /** F(C); NaN without a circuit. */
  public double inCircuit() {
    return kept.length == 0 ? Double.NaN : Circuits.mean(kept);
  }

  /** F(C) / F(M), the ratio of the means; NaN where the model's is within 1e-6 of 0. */
  public double faithfulness() {
    return Math.abs(model()) < 1e-6 ? Double.NaN : inCircuit() / model();
  }

  /** Share of prompts on which the model prefers IO. */
  public double positive() {
    return Arrays.stream(whole).filter(ld -> ld > 0).count() / (double) whole.length;
  }

  /** Largest incompleteness of the sets tried; NaN if none was. */
  public double mostIncomplete() {
    return completeness.stream().mapToDouble(Completeness::incompleteness).max().orElse(Double.NaN);
  }
}
