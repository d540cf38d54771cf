import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Properties;

/**
 * What the load programs share: the shape of a record's value, the pace, and one line of JSON per report.
 *
 * A value begins with who sent it (origin, unique in a scenario), its number and the time of sending; the rest pads
 * it to its size. So a reader can tell losses, duplicates and disorder apart without help from the sender.
 */
final class Common {
    static final ObjectMapper JSON = new ObjectMapper();
    static final int VALUE_HEAD = 4 + 8 + 8;

    private Common() {
    }

    static JsonNode spec(String path) throws IOException {
        return JSON.readTree(new File(path));
    }

    static byte[] value(int origin, long seq, int size) {
        byte[] bytes = new byte[Math.max(size, VALUE_HEAD)];
        ByteBuffer.wrap(bytes).putInt(origin).putLong(seq).putLong(System.currentTimeMillis());
        return bytes;
    }

    static void properties(JsonNode from, Properties to) {
        if (from != null) {
            from.properties().forEach(entry -> to.put(entry.getKey(), entry.getValue().asText()));
        }
    }

    /** One line, whole, even when several threads report. */
    static void report(ObjectNode line) {
        line.put("t", System.currentTimeMillis());
        synchronized (System.out) {
            System.out.println(line);
            System.out.flush();
        }
    }

    /**
     * A timetable: so many a second. What a hiccup of the machine delayed is made up for, up to a second's worth, so
     * that the mean is kept; what was not done for lack of work (see rest) is not.
     */
    static final class Pace {
        private static final long CATCH_UP_NS = 1_000_000_000L;
        private volatile double perSecond;
        private long due = System.nanoTime();

        Pace(double perSecond) {
            this.perSecond = perSecond;
        }

        void set(double rate) {
            perSecond = rate;
        }

        /** There was nothing to do until now. */
        void rest() {
            due = Math.max(due, System.nanoTime());
        }

        /** Returns when `count` more may have been done; at once if the rate is 0 (no limit). */
        void spend(int count) throws InterruptedException {
            double rate = perSecond;
            if (rate <= 0) {
                return;
            }
            due = Math.max(due, System.nanoTime() - CATCH_UP_NS) + (long) (count * 1e9 / rate);
            long wait = due - System.nanoTime();
            if (wait > 0) {
                Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
            }
        }
    }
}
