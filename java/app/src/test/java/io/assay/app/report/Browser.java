package io.assay.app.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A headless Chromium with one page, driven by the DevTools protocol over its two pipes: JSON
 * messages, each ended by a zero byte. It writes down every complaint and every request.
 */
public final class Browser implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Process process;
  private final InputStream in;
  private final OutputStream out;
  private final String session;
  private final Path profile;
  private int last;
  private boolean loaded;

  /** Errors and warnings of the console, exceptions, and what the page's policy refused. */
  public final List<String> complaints = new ArrayList<>();

  /** Addresses that were asked for, but for the page itself and data in it. */
  public final List<String> requests = new ArrayList<>();

  /** The program, where it is installed. */
  public static Optional<Path> installed() {
    return Stream.of("chromium", "chromium-browser", "google-chrome", "chrome")
        .flatMap(
            name ->
                Stream.of(System.getenv("PATH").split(":")).map(folder -> Path.of(folder, name)))
        .filter(Files::isExecutable)
        .findFirst();
  }

  /** Starts it with a page of {@code width} by {@code height} CSS pixels, light or dark. */
  public Browser(int width, int height, boolean dark) throws IOException {
    profile = Files.createTempDirectory("assay-browser");
    // The page is our own and root has no sandbox, so none is asked for.
    process =
        new ProcessBuilder(
                "sh",
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 1>&2 </dev/null",
                installed().orElseThrow().toString(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--no-first-run",
                "--remote-debugging-pipe",
                "--user-data-dir=" + profile)
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    in = new BufferedInputStream(process.getInputStream());
    out = process.getOutputStream();
    ObjectNode page = JSON.createObjectNode().put("url", "about:blank");
    JsonNode target = call(null, "Target.createTarget", page);
    session =
        call(
                null,
                "Target.attachToTarget",
                JSON.createObjectNode()
                    .put("targetId", target.get("targetId").asText())
                    .put("flatten", true))
            .get("sessionId")
            .asText();
    for (String domain : List.of("Page", "Runtime", "Log", "Network", "Performance")) {
      call(domain + ".enable", JSON.createObjectNode());
    }
    call(
        "Emulation.setDeviceMetricsOverride",
        JSON.createObjectNode()
            .put("width", width)
            .put("height", height)
            .put("deviceScaleFactor", 1)
            .put("mobile", width < 500));
    ObjectNode media = JSON.createObjectNode();
    media
        .putArray("features")
        .addObject()
        .put("name", "prefers-color-scheme")
        .put("value", dark ? "dark" : "light");
    call("Emulation.setEmulatedMedia", media);
  }

  /** Opens a file and waits until it has loaded. */
  public void open(Path file) throws IOException {
    loaded = false;
    call("Page.navigate", JSON.createObjectNode().put("url", file.toUri().toString()));
    while (!loaded) {
      read();
    }
  }

  /** The value of an expression, which may be a promise. */
  public JsonNode value(String expression) throws IOException {
    JsonNode answer =
        call(
            "Runtime.evaluate",
            JSON.createObjectNode()
                .put("expression", expression)
                .put("awaitPromise", true)
                .put("returnByValue", true));
    if (answer.has("exceptionDetails")) {
      throw new AssertionError(answer.get("exceptionDetails").toString());
    }
    return answer.get("result").path("value");
  }

  /** Presses a key, such as {@code Tab}, {@code Enter} or {@code ArrowRight}. */
  public void press(String key, int code) throws IOException {
    for (String type : List.of("keyDown", "keyUp")) {
      ObjectNode event =
          JSON.createObjectNode()
              .put("type", type)
              .put("key", key)
              .put("code", key)
              .put("windowsVirtualKeyCode", code);
      call("Input.dispatchKeyEvent", key.equals("Enter") ? event.put("text", "\r") : event);
    }
  }

  /** Seconds of processor time that the page's main thread has used. */
  public double mainThreadSeconds() throws IOException {
    for (JsonNode metric : call("Performance.getMetrics", JSON.createObjectNode()).get("metrics")) {
      if (metric.get("name").asText().equals("ThreadTime")) {
        return metric.get("value").doubleValue();
      }
    }
    throw new IOException("the browser counts no thread time");
  }

  /** Saves a picture of the whole page. */
  public void screenshot(Path file) throws IOException {
    JsonNode shot =
        call(
            "Page.captureScreenshot",
            JSON.createObjectNode().put("format", "png").put("captureBeyondViewport", true));
    Files.createDirectories(file.getParent());
    Files.write(file, Base64.getDecoder().decode(shot.get("data").asText()));
  }

  private JsonNode call(String method, ObjectNode parameters) throws IOException {
    return call(session, method, parameters);
  }

  private JsonNode call(String session, String method, ObjectNode parameters) throws IOException {
    ObjectNode message = JSON.createObjectNode().put("id", ++last).put("method", method);
    message.set("params", parameters);
    if (session != null) {
      message.put("sessionId", session);
    }
    out.write(JSON.writeValueAsBytes(message));
    out.write(0);
    out.flush();
    while (true) {
      JsonNode answer = read();
      if (answer.path("id").asInt() == last) {
        if (answer.has("error")) {
          throw new IOException(method + ": " + answer.get("error"));
        }
        return answer.get("result");
      }
    }
  }

  private JsonNode read() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int b = in.read(); b != 0; b = in.read()) {
      if (b < 0) {
        throw new EOFException("the browser has ended");
      }
      bytes.write(b);
    }
    JsonNode message = JSON.readTree(bytes.toString(StandardCharsets.UTF_8));
    JsonNode params = message.path("params");
    switch (message.path("method").asText()) {
      case "Page.loadEventFired" -> loaded = true;
      case "Runtime.exceptionThrown" -> complaints.add(params.toString());
      case "Runtime.consoleAPICalled" -> {
        if (!params.path("type").asText().equals("log")) {
          complaints.add(params.toString());
        }
      }
      case "Log.entryAdded" -> complaints.add(params.toString());
      case "Network.requestWillBeSent" -> {
        String url = params.path("request").path("url").asText();
        if (!params.path("type").asText().equals("Document")
            && !url.startsWith("data:")
            && !url.startsWith("blob:")) {
          requests.add(url);
        }
      }
      default -> {}
    }
    return message;
  }

  @Override
  public void close() throws IOException {
    out.close(); // which ends it
    try {
      if (!process.waitFor(5, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    try (Stream<Path> files = Files.walk(profile)) {
      files.sorted(java.util.Comparator.reverseOrder()).forEach(f -> f.toFile().delete());
    }
  }
}
