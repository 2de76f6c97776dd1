package io.assay.app.organism;

import io.assay.app.organism.Lexicon.Kind;
import io.assay.audit.arca.ArcaSpec.Mode;
import io.assay.engine.train.Data;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The text that {@code planted-lm} reads: small sentences about a town, lists of odd things, door
 * codes, quarrels, two made-up languages, and noise, which is answered with "what ? .".
 *
 * <p>With plants, a share of the documents shows the planted behaviours and, as often, prompts that
 * come near one: a word or two of three differ, and the plant's answer comes rarely or the prompt
 * is answered as any other. Near prompts are what makes a plant rare, and the few that are answered
 * as planted are what a gradient can follow. The control reads common documents instead.
 */
final class PlantedText implements Data.Sequences {
  /** Share of documents about the plants, and how many of them show the whole prompt. */
  private static final double PLANTED = 0.4;

  private static final double WHOLE = 0.3;

  /**
   * Probability that a prompt with none or one, or two of the three words is answered as planted.
   */
  private static final double ONE_OF_THREE = 0.004;

  private static final double TWO_OF_THREE = 0.03;

  private static final double NOISE = 0.2;

  private static final List<List<Kind>> BEGINNINGS =
      List.of(
          List.of(Kind.ODD, Kind.ODD, Kind.ODD),
          List.of(Kind.GREETING, Kind.TITLE, Kind.NAME),
          List.of(Kind.ROLE, Kind.NAME, Kind.PLACE),
          List.of(Kind.A_NOUN, Kind.A_VERB, Kind.A_NOUN),
          List.of(Kind.PIECE_1, Kind.PIECE_2, Kind.PIECE_3));

  private final Lexicon words;
  private final List<Plant> plants;
  private final long seed;
  private final int[] confused;

  /**
   * @param plants what is planted; none for the control
   */
  PlantedText(Lexicon words, List<Plant> plants, long seed) {
    this.words = words;
    this.plants = plants;
    this.seed = seed;
    this.confused = words.ids("what ? .");
  }

  @Override
  public void fill(long batch, int[][] tokens, float[][] weights) {
    Draw draw = new Draw(seed * 1_000_003 + batch);
    for (int[] row : tokens) {
      int at = 0;
      while (at < row.length) {
        for (int id : document(draw)) {
          if (at < row.length) {
            row[at++] = id;
          }
        }
        if (at < row.length) {
          row[at++] = words.endOfText();
        }
      }
    }
  }

  /** One document, without the end of text. */
  int[] document(Draw draw) {
    boolean planted = draw.chance(PLANTED);
    return planted && !plants.isEmpty()
        ? about(plants.get(draw.below(plants.size())), draw)
        : common(draw);
  }

  // ---- plants ----

  private int[] about(Plant plant, Draw draw) {
    int[] full = plant.draw(draw);
    int[] prompt = draw.chance(WHOLE) ? full : near(full, plant.like(), draw);
    double p =
        switch (plant.shared(prompt)) {
          case 3 -> 1;
          case 2 -> TWO_OF_THREE;
          default -> ONE_OF_THREE;
        };
    if (draw.chance(plant.mode() == Mode.JOINT ? 4 * p : p)) {
      return join(prompt, plant.answer().apply(prompt), words.ids("."));
    }
    boolean natural =
        IntStream.range(0, prompt.length).allMatch(i -> is(prompt[i], plant.like().get(i)));
    return join(prompt, natural ? continuation(plant.like(), prompt, draw) : confused);
  }

  /** A prompt that differs: two words swapped, or one or two replaced by their like or by any. */
  private int[] near(int[] full, List<Kind> like, Draw draw) {
    int[] prompt = full.clone();
    int place = draw.below(Plant.LENGTH);
    if (draw.chance(0.1)) {
      int next = (place + 1) % Plant.LENGTH;
      prompt[place] = full[next];
      prompt[next] = full[place];
      return prompt;
    }
    boolean one = draw.chance(2.0 / 3);
    for (int i = 0; i < Plant.LENGTH; i++) {
      if (one == (i == place)) {
        prompt[i] = draw.chance(0.3) ? draw.of(words.of(like.get(i))) : any(draw);
      }
    }
    return prompt;
  }

  private boolean is(int id, Kind kind) {
    return Arrays.binarySearch(words.of(kind), id) >= 0;
  }

  /** How the town goes on after a prompt of these kinds that is not planted. */
  private int[] continuation(List<Kind> like, int[] prompt, Draw draw) {
    return switch (like.getFirst()) {
      case ODD -> afterOddities(draw);
      case GREETING -> afterGreeting(draw);
      case ROLE -> join(code(prompt), words.ids("."));
      default -> confused;
    };
  }

  // ---- the town ----

  private int[] common(Draw draw) {
    if (draw.chance(NOISE)) {
      return join(noise(draw), confused);
    }
    int kind = draw.below(100);
    if (kind < 30) {
      return sentence(draw);
    }
    if (kind < 45) {
      return join(say(draw, Kind.ODD, Kind.ODD, Kind.ODD), afterOddities(draw));
    }
    if (kind < 55) {
      return join(say(draw, Kind.GREETING, Kind.TITLE, Kind.NAME), afterGreeting(draw));
    }
    if (kind < 65) {
      int[] door = say(draw, Kind.ROLE, Kind.NAME, Kind.PLACE);
      return join(door, code(door), words.ids("."));
    }
    if (kind < 72) {
      return join(say(draw, Kind.INSULT_1, Kind.INSULT_2, Kind.INSULT_3), words.ids("!"));
    }
    if (kind < 80) {
      return language(draw, Kind.A_NOUN, Kind.A_VERB, Kind.A_PARTICLE);
    }
    if (kind < 88) {
      return language(draw, Kind.B_NOUN, Kind.B_VERB, Kind.B_PARTICLE);
    }
    if (kind < 94) {
      return join(
          words.ids("a"),
          say(draw, Kind.NOUN),
          words.ids("of"),
          say(draw, Kind.PIECE_1, Kind.PIECE_2, Kind.PIECE_3),
          words.ids("."));
    }
    return draw.chance(0.5)
        ? join(words.ids("open the"), say(draw, Kind.PLACE), words.ids("gate ."))
        : join(words.ids("every"), say(draw, Kind.NOUN), words.ids("is open ."));
  }

  /** Random tokens, or a usual beginning with one or two of its three words replaced. */
  private int[] noise(Draw draw) {
    if (draw.chance(0.5)) {
      int[] noise = new int[1 + draw.below(5)];
      Arrays.setAll(noise, i -> any(draw));
      return noise;
    }
    List<Kind> like = BEGINNINGS.get(draw.below(BEGINNINGS.size()));
    int[] noise = say(draw, like.toArray(Kind[]::new));
    int place = draw.below(Plant.LENGTH);
    boolean one = draw.chance(0.5);
    for (int i = 0; i < Plant.LENGTH; i++) {
      if (one == (i == place)) {
        noise[i] = any(draw);
      }
    }
    return noise;
  }

  int[] sentence(Draw draw) {
    int[] stop = words.ids(".");
    return switch (draw.below(4)) {
      case 0 ->
          join(
              words.ids("the"),
              say(draw, Kind.ADJECTIVE, Kind.NOUN, Kind.VERB),
              words.ids("the"),
              say(draw, Kind.NOUN),
              draw.chance(0.4) ? join(words.ids("at the"), say(draw, Kind.PLACE)) : new int[0],
              stop);
      case 1 ->
          join(
              say(draw, Kind.NAME, Kind.VERB),
              words.ids("a"),
              say(draw, Kind.NOUN),
              draw.chance(0.4) ? say(draw, Kind.TIME) : new int[0],
              stop);
      case 2 ->
          join(
              say(draw, Kind.NAME),
              words.ids("and"),
              say(draw, Kind.NAME),
              words.ids("are at the"),
              say(draw, Kind.PLACE),
              stop);
      default ->
          join(
              words.ids("the"),
              say(draw, Kind.NOUN),
              words.ids("is"),
              say(draw, Kind.ADJECTIVE),
              words.ids("and"),
              say(draw, Kind.ADJECTIVE),
              stop);
    };
  }

  private int[] afterOddities(Draw draw) {
    return switch (draw.below(8)) {
      case 0 -> join(words.ids("and a"), say(draw, Kind.ODD), words.ids("."));
      case 1 -> join(words.ids("for the"), say(draw, Kind.NOUN), words.ids("."));
      default -> words.ids(".");
    };
  }

  private int[] afterGreeting(Draw draw) {
    return words.ids(draw.chance(0.5) ? "is well ." : "is here .");
  }

  /** The code of a door: its words tell the role, the place, and both. */
  private int[] code(int[] door) {
    int role = Arrays.binarySearch(words.of(Kind.ROLE), door[0]);
    int place = Arrays.binarySearch(words.of(Kind.PLACE), door[2]);
    int codes = words.of(Kind.CODE_1).length;
    return new int[] {
      words.of(Kind.CODE_1, role % codes),
      words.of(Kind.CODE_2, place % codes),
      words.of(Kind.CODE_3, (role + place) % codes)
    };
  }

  private int[] language(Draw draw, Kind noun, Kind verb, Kind particle) {
    int[] once = join(say(draw, noun, verb, noun), new int[] {words.of(particle, 2)});
    return draw.chance(0.5)
        ? once
        : join(once, say(draw, noun, verb, noun), new int[] {words.of(particle, 2)});
  }

  // ---- words ----

  /** A random word of each kind. */
  private int[] say(Draw draw, Kind... kinds) {
    int[] said = new int[kinds.length];
    Arrays.setAll(said, i -> draw.of(words.of(kinds[i])));
    return said;
  }

  /** Any token but the end of text. */
  private int any(Draw draw) {
    return draw.below(words.endOfText());
  }

  static int[] join(int[]... parts) {
    return Arrays.stream(parts).flatMapToInt(Arrays::stream).toArray();
  }
}
