package io.assay.engine.model;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.spi.InetAddressResolver;
import java.net.spi.InetAddressResolverProvider;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/**
 * A program of its own: tokenises, and says on standard output whatever reached for the network.
 * Arguments: {@code tokenise FOLDER}, or {@code download FOLDER} to see that the traps catch.
 */
public final class OfflineTokenizer {
  static final String REACHED = "REACHED ";

  private OfflineTokenizer() {}

  /** The names that Java looks up: each is told and not found. */
  public static final class Trap extends InetAddressResolverProvider
      implements InetAddressResolver {
    public Trap() {}

    @Override
    public InetAddressResolver get(Configuration configuration) {
      return this;
    }

    @Override
    public String name() {
      return "trap";
    }

    @Override
    public Stream<InetAddress> lookupByName(String host, LookupPolicy policy)
        throws UnknownHostException {
      System.out.println(REACHED + host);
      throw new UnknownHostException(host);
    }

    @Override
    public String lookupByAddress(byte[] address) throws UnknownHostException {
      System.out.println(REACHED + Arrays.toString(address));
      throw new UnknownHostException();
    }
  }

  /** What Java asks before it connects: each is told. */
  private static final class ProxyTrap extends ProxySelector {
    @Override
    public List<Proxy> select(URI uri) {
      System.out.println(REACHED + uri);
      return List.of(Proxy.NO_PROXY);
    }

    @Override
    public void connectFailed(URI uri, SocketAddress address, IOException e) {}
  }

  public static void main(String[] args) throws IOException {
    ProxySelector.setDefault(new ProxyTrap());
    Path folder = Path.of(args[1]);
    if (args[0].equals("tokenise")) {
      try (TokenizerFiles tokenizer = TokenizerFiles.find(folder).orElseThrow()) {
        System.out.println(Arrays.toString(tokenizer.encode("the cat")));
      }
    } else {
      // What the library does where it sees a graphics card.
      try (InputStream in =
          URI.create("https://models.invalid/libtokenizers.so").toURL().openStream()) {
        System.out.println(in.read());
      }
    }
  }
}
