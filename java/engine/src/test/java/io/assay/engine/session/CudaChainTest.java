package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.session.CudaChain.DriverException;
import io.assay.engine.session.CudaChain.Gpu;
import io.assay.engine.session.CudaChain.Link;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class CudaChainTest {
  private static final Set<String> LIBRARIES =
      Set.of(
          "libcudart.so.12",
          "libcublasLt.so.12",
          "libcublas.so.12",
          "libcurand.so.10",
          "libcufft.so.11",
          "libcudnn.so.9");

  /** A machine of which everything is told; a driver that gives 0 refuses. */
  private record Told(
      Set<String> libraries,
      int cudaVersion,
      List<Gpu> gpus,
      String withoutMemory,
      String withoutProvider,
      String withoutKernels)
      implements CudaChain.Machine {
    Told(Set<String> libraries, int cudaVersion, List<Gpu> gpus) {
      this(libraries, cudaVersion, gpus, "no memory", "no provider", "no library");
    }

    @Override
    public boolean opens(String library) {
      return libraries.contains(library);
    }

    @Override
    public int cudaVersion() {
      if (cudaVersion == 0) {
        throw new DriverException("cuDriverGetVersion gives error 803");
      }
      return cudaVersion;
    }
  }

  private static Map<String, Link> examine(CudaChain.Machine machine) {
    return CudaChain.examine(machine).stream()
        .collect(Collectors.toMap(Link::part, Function.identity()));
  }

  private static Set<String> with(String... more) {
    return Stream.concat(LIBRARIES.stream(), Stream.of(more)).collect(Collectors.toSet());
  }

  @Test
  void wholeChain() {
    var links =
        examine(
            new Told(
                with("libcuda.so.1"),
                13000,
                List.of(new Gpu("NVIDIA H200", 9, 0), new Gpu("NVIDIA A100-SXM4-40GB", 8, 0)),
                null,
                null,
                null));
    assertEquals(new Link("driver", true, "serves CUDA 13.0"), links.get("driver"));
    assertEquals(
        new Link(
            "devices",
            true,
            "cuda:0 NVIDIA H200, compute capability 9.0; "
                + "cuda:1 NVIDIA A100-SXM4-40GB, compute capability 8.0"),
        links.get("devices"));
    assertTrue(links.get("libraries").holds());
    assertTrue(links.values().stream().allMatch(Link::holds), links::toString);
    assertTrue(links.get("kernels").text().startsWith("their library fits; they need driver 580"));
    assertTrue(links.get("kernels").text().endsWith("; this driver will do"));
  }

  @Test
  void nothingThere() {
    List<Link> links = CudaChain.examine(new Told(Set.of(), 0, List.of()));
    assertEquals(
        List.of("driver", "devices", "memory", "provider", "libraries", "kernels"),
        links.stream().map(Link::part).toList());
    assertTrue(links.stream().noneMatch(Link::holds));
    assertTrue(links.get(0).text().contains("libcuda.so.1"), links.get(0).text());
    assertTrue(links.get(0).text().contains("525.60.13 or later"), links.get(0).text());
    assertEquals("not known without a driver", links.get(2).text());
    assertEquals("no provider; it needs driver 525.60.13 or later", links.get(3).text());
    for (String library : LIBRARIES) {
      assertTrue(links.get(4).text().contains(library), links.get(4).text());
    }
    assertTrue(links.get(4).text().contains("CUDA 12 and cuDNN 9"), links.get(4).text());
    assertTrue(links.get(5).text().startsWith("no library; "), links.get(5).text());
    assertTrue(links.get(5).text().contains("580.65.06 or later"), links.get(5).text());
  }

  @Test
  void oneLibraryIsMissing() {
    Set<String> some = with("libcuda.so.1");
    some.remove("libcudnn.so.9");
    Link link = examine(new Told(some, 12080, List.of())).get("libraries");
    assertEquals(
        new Link(
            "libraries",
            false,
            "libcudnn.so.9 was not found; install cuDNN 9 for CUDA 12 and put their folders on "
                + "LD_LIBRARY_PATH"),
        link);
  }

  @Test
  void oldDriverAndNoDevice() {
    var links = examine(new Told(with("libcuda.so.1"), 11040, List.of(), null, null, null));
    assertFalse(links.get("driver").holds());
    assertTrue(links.get("memory").holds());
    assertFalse(links.get("kernels").holds());
    assertTrue(links.get("driver").text().startsWith("serves CUDA 11.4; "));
    assertTrue(links.get("devices").text().contains("CUDA_VISIBLE_DEVICES"));
    assertTrue(links.get("kernels").text().endsWith("; it is older"));
  }

  @Test
  void driverRefuses() {
    var links = examine(new Told(with("libcuda.so.1"), 0, List.of()));
    assertEquals(
        new Link("driver", false, "libcuda.so.1 was found, but cuDriverGetVersion gives error 803"),
        links.get("driver"));
    assertEquals("not known without a driver", links.get("devices").text());
    assertEquals("no memory", links.get("memory").text());
  }

  /** The machine that this runs on: whatever it has, every part says something in one line. */
  @Test
  void thisMachine() {
    List<Link> links = CudaChain.examine();
    assertEquals(6, links.size());
    for (Link link : links) {
      assertFalse(link.text().isBlank());
      assertEquals(1, link.text().lines().count(), link.text());
    }
  }
}
