package io.assay.engine.run;

import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.zip.CRC32C;
import org.sqlite.Function;

/**
 * The SQL function {@code crc32c(value, ...)}, by which every row of a ledger says whether it is as
 * it was written: CRC-32C (RFC 3720) of the values, a zero byte between them. A text is its UTF-8,
 * a whole number its decimal digits, a real number its bits in hexadecimal, NULL the byte 255.
 *
 * <p>Ledgers hold what it gives: it never changes.
 */
final class Checksum extends Function {
  // Codes of sqlite3_value_type.
  private static final int INTEGER = 1;
  private static final int REAL = 2;
  private static final int TEXT = 3;
  private static final int NO_VALUE = 5;

  private static final int NULL = 0xff;
  private static final int BLOB = 0xfe;

  private Checksum() {}

  static void createIn(Connection connection) throws SQLException {
    Function.create(connection, "crc32c", new Checksum(), -1, FLAG_DETERMINISTIC);
  }

  @Override
  protected void xFunc() throws SQLException {
    CRC32C sum = new CRC32C();
    for (int i = 0; i < args(); i++) {
      if (i > 0) {
        sum.update(0);
      }
      add(sum, i);
    }
    result(sum.getValue());
  }

  private void add(CRC32C sum, int i) throws SQLException {
    switch (value_type(i)) {
      case NO_VALUE -> sum.update(NULL);
      case INTEGER -> text(sum, Long.toString(value_long(i)));
      case REAL -> text(sum, Long.toHexString(Double.doubleToLongBits(value_double(i))));
      case TEXT -> text(sum, value_text(i));
      default -> sum.update(BLOB);
    }
  }

  private static void text(CRC32C sum, String text) {
    sum.update(text.getBytes(StandardCharsets.UTF_8));
  }
}
