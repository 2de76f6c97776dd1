import com.google.googlejavaformat.java.Main;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Checks or rewrites the layout of every Java file with google-java-format.
 *
 * <p>{@code mvn validate -N} checks, {@code mvn -Pformat validate -N} rewrites.
 */
final class Format {
  private Format() {}

  public static void main(String[] args) throws Exception {
    boolean replace = args[0].equals("--replace");
    List<String> files = new ArrayList<>();
    for (String root : List.of("java", "bench", "dev")) {
      try (Stream<Path> tree = Files.walk(Path.of(root))) {
        tree.filter(Format::isOurs).map(Path::toString).sorted().forEach(files::add);
      }
    }
    List<String> options =
        replace ? List.of("--replace") : List.of("--dry-run", "--set-exit-if-changed");
    List<String> command = new ArrayList<>(options);
    command.addAll(files);
    // The formatter names each file that it would change on standard output.
    int status =
        new Main(new PrintWriter(System.out, true), new PrintWriter(System.err, true), System.in)
            .format(command.toArray(String[]::new));
    if (status != 0 && !replace) {
      System.err.println(
          "The files above are not laid out as google-java-format does it;"
              + " \"mvn -Pformat validate -N\" rewrites them.");
    }
    System.exit(status);
  }

  /** Generated bindings are left as their generator writes them. */
  private static boolean isOurs(Path file) {
    String path = file.toString().replace('\\', '/');
    return path.endsWith(".java") && !path.contains("/target/") && !path.contains("/kernel/ffi/");
  }
}
