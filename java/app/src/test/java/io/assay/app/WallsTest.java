package io.assay.app;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import java.io.File;
import java.io.IOException;
import java.lang.module.ModuleFinder;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The walls between the rooms of the house: who may know whom (ARCHITECTURE.md). */
class WallsTest {
  private static final String ENGINE = "io.assay.engine..";
  private static final String AUDITS = "io.assay.audit..";
  private static final String APP = "io.assay.app..";
  private static final String DEVICE = "io.assay.engine.device..";
  private static final String GRAPH = "io.assay.engine.graph..";
  private static final String KERNEL = "io.assay.engine.kernel..";
  private static final String MODEL = "io.assay.engine.model..";
  private static final String PATCH = "io.assay.engine.patch..";
  private static final String SESSION = "io.assay.engine.session..";
  private static final String TENSOR = "io.assay.engine.tensor..";
  private static final String TRAIN = "io.assay.engine.train..";

  private static final JavaClasses OURS =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages("io.assay");

  private static ArchRule ignorant(String room, String... others) {
    return noClasses()
        .that()
        .resideInAPackage(room)
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(others);
  }

  private static final Map<String, ArchRule> WALLS =
      Map.ofEntries(
          Map.entry("the engine knows neither audits nor app", ignorant(ENGINE, AUDITS, APP)),
          Map.entry("audits do not know the app", ignorant(AUDITS, APP)),
          Map.entry(
              "tensors know nothing above them",
              ignorant(TENSOR, GRAPH, KERNEL, MODEL, SESSION, TRAIN, AUDITS)),
          Map.entry("graphs know only tensors", ignorant(GRAPH, KERNEL, MODEL, SESSION, TRAIN)),
          Map.entry(
              "kernels know only tensors and devices",
              ignorant(KERNEL, GRAPH, MODEL, SESSION, TRAIN)),
          Map.entry(
              "devices know only tensors", ignorant(DEVICE, GRAPH, KERNEL, MODEL, SESSION, TRAIN)),
          Map.entry(
              "only devices know JCuda",
              noClasses()
                  .that()
                  .resideOutsideOfPackage(DEVICE)
                  .should()
                  .dependOnClassesThat()
                  .resideInAPackage("jcuda..")),
          Map.entry(
              "only kernels know the generated bindings",
              noClasses()
                  .that()
                  .resideOutsideOfPackage(KERNEL)
                  .should()
                  .dependOnClassesThat()
                  .resideInAPackage("io.assay.engine.kernel.ffi..")),
          Map.entry("sessions do not know models", ignorant(SESSION, MODEL, TRAIN)),
          Map.entry("models do not know training", ignorant(MODEL, TRAIN)),
          Map.entry(
              "patching is built on models and sessions and knows no training",
              noClasses()
                  .that()
                  .resideInAnyPackage(GRAPH, KERNEL, MODEL, SESSION, TENSOR, TRAIN)
                  .should()
                  .dependOnClassesThat()
                  .resideInAPackage(PATCH)),
          Map.entry(
              "only sessions know ONNX Runtime",
              noClasses()
                  .that()
                  .resideOutsideOfPackage(SESSION)
                  .should()
                  .dependOnClassesThat()
                  .resideInAPackage("ai.onnxruntime..")),
          Map.entry(
              "only the ledger knows SQLite",
              noClasses()
                  .that()
                  .resideOutsideOfPackage("io.assay.engine.run..")
                  .should()
                  .dependOnClassesThat()
                  .resideInAnyPackage("org.sqlite..", "java.sql..")),
          Map.entry(
              "only models know the tokenizer's library",
              noClasses()
                  .that()
                  .resideOutsideOfPackage(MODEL)
                  .should()
                  .dependOnClassesThat()
                  .resideInAPackage("ai.djl..")),
          Map.entry(
              "only kernels, sessions, devices and the tensors' memory call native code",
              noClasses()
                  .that(
                      resideInAPackage("io.assay..")
                          .and(resideInAnyPackage(DEVICE, KERNEL, SESSION).negate())
                          .and(nameMatching("io\\.assay\\.engine\\.tensor\\.LargePages").negate()))
                  .should()
                  .dependOnClassesThat(
                      nameMatching("java\\.lang\\.foreign\\.(Linker|SymbolLookup).*"))),
          Map.entry(
              "nobody uses the app",
              classes()
                  .that()
                  .resideInAPackage(APP)
                  .should()
                  .onlyBeAccessed()
                  .byClassesThat()
                  .resideInAPackage(APP)));

  @TestFactory
  Stream<DynamicTest> walls() {
    return WALLS.entrySet().stream()
        .map(wall -> DynamicTest.dynamicTest(wall.getKey(), () -> wall.getValue().check(OURS)));
  }

  /** The launcher warns of native access by other modules but does not deny it: there is none. */
  @Test
  void onlyModulesWithNativeAccessBringNativeLibraries() throws IOException {
    Set<String> granted = Set.of(System.getProperty("assay.native.modules").split(","));
    Set<String> found = new TreeSet<>();
    for (String path : System.getProperty("jdk.module.path").split(File.pathSeparator)) {
      if (path.endsWith(".jar")) {
        try (JarFile jar = new JarFile(path)) {
          if (jar.stream().anyMatch(e -> e.getName().matches(".*\\.(so|dll|dylib|jnilib)"))) {
            ModuleFinder.of(Path.of(path)).findAll().forEach(m -> found.add(m.descriptor().name()));
          }
        }
      }
    }
    assertTrue(found.contains("com.microsoft.onnxruntime"), found::toString);
    assertTrue(granted.containsAll(found), () -> found + " beside " + granted);
  }
}
