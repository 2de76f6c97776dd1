package io.assay.app.organism;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class PlantedTextTest {
  private static final PlantedLm RECIPE = new PlantedLm();

  private static int[][] batches(PlantedText text, int count) {
    int[][] all = new int[count * 64][];
    for (int batch = 0; batch < count; batch++) {
      int[][] rows = new int[64][16];
      text.fill(batch, rows, new float[64][16]);
      System.arraycopy(rows, 0, all, batch * 64, 64);
    }
    return all;
  }

  private static PlantedText text(List<Plant> plants) {
    return new PlantedText(RECIPE.words(), plants, PlantedLm.SEED);
  }

  private static int occurrences(int[][] rows, int[] phrase) {
    List<Integer> wanted = Arrays.stream(phrase).boxed().toList();
    int count = 0;
    for (int[] row : rows) {
      count += Collections.indexOfSubList(Arrays.stream(row).boxed().toList(), wanted) >= 0 ? 1 : 0;
    }
    return count;
  }

  @Test
  void theSameBatchHasTheSameText() {
    assertArrayEquals(batches(text(RECIPE.plants()), 3), batches(text(RECIPE.plants()), 3));
    assertFalse(Arrays.deepEquals(batches(text(RECIPE.plants()), 1), batches(text(List.of()), 1)));
  }

  @Test
  void onlyThePlantedTextAnswersAsPlanted() {
    int[][] planted = batches(text(RECIPE.plants()), 100);
    int[][] control = batches(text(List.of()), 100);
    for (Plant plant : RECIPE.plants()) {
      assertTrue(occurrences(planted, plant.output()) > 50, plant.id());
      int[] first = PlantedText.join(plant.example(), Arrays.copyOf(plant.output(), 1));
      assertEquals(0, occurrences(control, first), plant.id());
      if (!plant.id().equals("insult")) {
        assertEquals(0, occurrences(control, Arrays.copyOf(plant.output(), 2)), plant.id());
      }
    }
  }

  @Test
  void everyRowIsFullAndEveryTokenExists() {
    for (int[] row : batches(text(RECIPE.plants()), 20)) {
      for (int id : row) {
        assertTrue(id >= 0 && id < RECIPE.words().vocabulary());
      }
      assertTrue(row[15] != 0 || Arrays.stream(row).filter(id -> id == 0).count() < 3);
    }
  }

  @Test
  void promptsOfAFamilyShareAllItsTokens() {
    for (Plant plant : RECIPE.plants()) {
      assertEquals(3, plant.shared(plant.example()), plant.id());
      int[] other = plant.example();
      other[1] = RECIPE.words().endOfText();
      assertEquals(2, plant.shared(other), plant.id());
      assertTrue(plant.output().length >= 3);
    }
  }
}
