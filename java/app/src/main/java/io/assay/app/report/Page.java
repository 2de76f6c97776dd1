package io.assay.app.report;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.ser.std.StdSerializer;
import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.function.BiFunction;

/**
 * A report: one HTML file that carries its data, its pictures' library and nothing from the
 * network. A policy in the file forbids every request, and every script but the two that it was
 * written with.
 *
 * @param title what was asked or found, as one sentence
 * @param lead what was done, in a few sentences
 * @param facts key numbers, shown large
 * @param run the JSON object of the run, from which the page shows model, seed and versions, and
 *     which it carries whole
 * @param views in the order in which they are read
 */
public record Page(String title, String lead, List<Fact> facts, JsonNode run, List<View> views) {
  /**
   * A key number.
   *
   * @param of what it is out of, or its unit; may be empty
   */
  public record Fact(String name, Number value, String of) {}

  private static final ObjectMapper JSON =
      new ObjectMapper()
          .registerModule(
              new SimpleModule()
                  .addSerializer(numbers(float[].class, "f32", Float.BYTES, Page::put))
                  .addSerializer(numbers(double[].class, "f64", Double.BYTES, Page::put)));

  public Page {
    facts = List.copyOf(facts);
    views = List.copyOf(views);
  }

  /**
   * Writes the page.
   *
   * @throws InputException if the file cannot be written
   */
  public Path write(Path file) {
    try {
      return Files.writeString(file, html());
    } catch (IOException e) {
      throw new InputException(
          "the report " + file + " cannot be written; choose another --out", e);
    }
  }

  /** The text of the file. */
  public String html() {
    String library = resource("echarts.min.js");
    String script = resource("kit.js") + resource("report.js");
    return """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src %s %s; \
    style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'">
    <link rel="icon" href="data:,">
    <title>%s</title>
    <style>
    %s</style>
    </head>
    <body>
    <noscript>This report is drawn by the script in this file; allow scripts to read it.</noscript>
    <script type="application/json" id="data">%s</script>
    <script>%s</script>
    <script>%s</script>
    </body>
    </html>
    """
        .formatted(
            hash(library),
            hash(script),
            title.replace("&", "&amp;").replace("<", "&lt;"),
            resource("report.css"),
            data(),
            library,
            script);
  }

  /** The data as JSON in which no character can end or open an element. */
  private String data() {
    ObjectNode root = JSON.createObjectNode();
    root.put("title", title).put("lead", lead);
    root.set("facts", JSON.valueToTree(facts));
    root.set("run", run);
    ArrayNode list = root.putArray("views");
    views.forEach(view -> list.add(tree(view)));
    try {
      return JSON.writeValueAsString(root)
          .replace("<", "\\u003c")
          .replace(">", "\\u003e")
          .replace("&", "\\u0026");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static ObjectNode tree(View view) {
    ObjectNode node = JSON.valueToTree(view);
    node.put("kind", view.getClass().getSimpleName());
    if (view instanceof View.Pair pair) {
      node.set("before", tree(pair.before()));
      node.set("after", tree(pair.after()));
    }
    return node;
  }

  private static String resource(String name) {
    try (InputStream in = Page.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String hash(String script) {
    byte[] digest = Sha256.digest().digest(script.getBytes(StandardCharsets.UTF_8));
    return "'sha256-" + Base64.getEncoder().encodeToString(digest) + "'";
  }

  // ---- arrays travel as their bits: shorter than digits, exact, and quick to read ----

  private static ByteBuffer put(ByteBuffer bytes, float[] values) {
    bytes.asFloatBuffer().put(values);
    return bytes;
  }

  private static ByteBuffer put(ByteBuffer bytes, double[] values) {
    bytes.asDoubleBuffer().put(values);
    return bytes;
  }

  private static <A> StdSerializer<A> numbers(
      Class<A> array, String type, int width, BiFunction<ByteBuffer, A, ByteBuffer> put) {
    return new StdSerializer<>(array) {
      private static final long serialVersionUID = 1;

      @Override
      public void serialize(A values, JsonGenerator out, SerializerProvider provider)
          throws IOException {
        ByteBuffer bytes =
            ByteBuffer.allocate(width * java.lang.reflect.Array.getLength(values))
                .order(ByteOrder.LITTLE_ENDIAN);
        out.writeStartObject();
        out.writeBinaryField(type, put.apply(bytes, values).array());
        out.writeEndObject();
      }
    };
  }
}
