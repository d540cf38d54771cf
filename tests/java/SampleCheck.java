import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.internals.Crc32C;
import org.xerial.snappy.Snappy;

/**
 * Asks Kafka's own classes whether sampled batches are good ones. Kafka writes batches in every codec and at every level,
 * as its producers do; they are sampled; Kafka reads what comes back: checksum, counts, offsets, timestamps, headers, and
 * just those records that must be there.
 *
 * <p>Usage: SampleCheck SAMPLE_TOOL SEED [BATCHES]. Then 100,000 keys, each several times, in batches of 1 MB.
 */
final class SampleCheck {
    private static final int KEY = 1;
    private static final int EVERY = 3;
    private static final int TELL = 1;
    private static final int STRIP = 2;
    private static final int CRITICAL = 4;
    private static final int GOOD = 1;
    private static final int BAD = 2;
    private static final int WHOLE = 1000000;
    private static final int HEAD = 61;
    private static final String[] FORMS = {"none", "gzip", "snappy", "lz4", "zstd", "raw snappy"};
    private static final int RAW_SNAPPY = 5;
    private static final String RATE = "penstock-sample-rate";
    private static final byte[] GOLD = "gold".getBytes(StandardCharsets.UTF_8);

    private final DataOutputStream toTool;
    private final DataInputStream fromTool;
    private final Random random;
    private long kept;
    private long dropped;

    /** One question and its answer. */
    private static final class Asked {
        final List<SimpleRecord> records = new ArrayList<>();
        int form;
        int way;
        int share;
        long counter;
        int flags;
        boolean idempotent;
        boolean transactional;
        byte[] batch;
        int result;
        int kept;
        int dropped;
        byte[] answer;

        boolean has(int flag) {
            return (flags & flag) != 0;
        }
    }

    private SampleCheck(Process tool, long seed) {
        toTool = new DataOutputStream(new BufferedOutputStream(tool.getOutputStream(), 1 << 16));
        fromTool = new DataInputStream(new BufferedInputStream(tool.getInputStream(), 1 << 16));
        random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        long seed = Long.parseLong(args[1]);
        int batches = args.length > 2 ? Integer.parseInt(args[2]) : 1500;
        System.out.println("seed " + seed);
        Process tool = new ProcessBuilder(args[0]).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        SampleCheck check = new SampleCheck(tool, seed);
        for (int i = 0; i < batches; i++) {
            try {
                check.any();
            } catch (AssertionError | RuntimeException failure) {
                System.out.println("FAILED: batch " + i + " of seed " + seed);
                failure.printStackTrace(System.out);
                System.exit(1);
            }
        }
        System.out.println(batches + " batches, " + check.kept + " records kept, " + check.dropped + " dropped");
        check.manyKeys();
        check.toTool.close();
        if (tool.waitFor() != 0) {
            throw new AssertionError("the tool ended with " + tool.exitValue());
        }
    }

    // --- what is expected ------------------------------------------------------------------------------------------

    private static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    /** The hash of docs/actions.md, written a second time. */
    static boolean keyKept(byte[] key, int share) {
        long step = 0x9e3779b97f4a7c15L;
        long hash = step + key.length;
        int at = 0;
        for (; key.length - at >= 8; at += 8) {
            hash = mix(hash ^ ByteBuffer.wrap(key, at, 8).getLong()) + step;
        }
        long rest = 0;
        for (; at < key.length; at++) {
            rest = rest << 8 | (key[at] & 0xff);
        }
        hash = mix(mix(hash ^ rest) + step);
        return share == WHOLE || Long.compareUnsigned(hash, share * Long.divideUnsigned(-1L, WHOLE)) < 0;
    }

    private static boolean critical(SimpleRecord record) {
        return Arrays.stream(record.headers()).anyMatch(h -> h.key().equals("class") && Arrays.equals(h.value(), GOLD));
    }

    /** Whether the record must be there; null: either will do. */
    private static Boolean wanted(Asked one, SimpleRecord record, long place) {
        if (one.has(CRITICAL) && critical(record)) {
            return true;
        }
        if (one.way == EVERY) {
            return (place + 1) * one.share / WHOLE > place * one.share / WHOLE;
        }
        if (one.way == KEY && record.key() != null) {
            return keyKept(bytes(record.key()), one.share);
        }
        return one.share == 0 ? Boolean.FALSE : one.share == WHOLE ? Boolean.TRUE : null;
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    // --- asking ----------------------------------------------------------------------------------------------------

    private void ask(Asked one) throws IOException {
        toTool.writeByte(one.way);
        toTool.writeInt(one.share);
        toTool.writeLong(one.counter);
        toTool.writeByte(one.flags);
        toTool.writeInt(one.batch.length);
        toTool.write(one.batch);
        toTool.flush();
        one.result = fromTool.readUnsignedByte();
        one.kept = fromTool.readInt();
        one.dropped = fromTool.readInt();
        one.answer = new byte[fromTool.readInt()];
        fromTool.readFully(one.answer);
    }

    private Compression compression(int form) {
        boolean plain = random.nextBoolean();
        return switch (form) {
            case 1 -> plain ? Compression.gzip().build() : Compression.gzip().level(1 + random.nextInt(9)).build();
            case 2 -> Compression.snappy().build();
            case 3 -> plain ? Compression.lz4().build() : Compression.lz4().level(1 + random.nextInt(17)).build();
            case 4 -> plain ? Compression.zstd().build() : Compression.zstd().level(1 + random.nextInt(12)).build();
            default -> Compression.NONE;
        };
    }

    private void write(Asked one) throws IOException {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), (byte) 2, compression(one.form),
            TimestampType.CREATE_TIME, 0L, -1L, one.idempotent ? 77L : -1L, (short) (one.idempotent ? 5 : -1),
            one.idempotent ? 1000 : -1, one.transactional, -1);
        one.records.forEach(builder::append);
        one.batch = bytes(builder.build().buffer());
        if (one.form == RAW_SNAPPY) { // as librdkafka writes it
            byte[] packed = Snappy.compress(Arrays.copyOfRange(one.batch, HEAD, one.batch.length));
            ByteBuffer raw = ByteBuffer.allocate(HEAD + packed.length);
            raw.put(one.batch, 0, HEAD).put(packed);
            raw.putInt(8, raw.capacity() - 12).putShort(21, (short) (raw.getShort(21) | 2));
            raw.putInt(17, (int) Crc32C.compute(raw.array(), 21, raw.capacity() - 21));
            one.batch = raw.array();
        }
    }

    private byte[] words(int most) {
        byte[] bytes = new byte[random.nextInt(most + 1)];
        boolean noise = random.nextInt(4) == 0;
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (noise ? random.nextInt(256) : "consumers fall behind ".charAt(i % 22));
        }
        return bytes;
    }

    private SimpleRecord record(int number, int most) {
        byte[] key = random.nextInt(5) == 0 ? null : ("key-" + random.nextInt(50)).getBytes(StandardCharsets.UTF_8);
        Header[] headers = new Header[random.nextInt(3)];
        for (int i = 0; i < headers.length; i++) {
            headers[i] = new RecordHeader(random.nextBoolean() ? "class" : "trace",
                random.nextInt(4) == 0 ? null : random.nextBoolean() ? GOLD : words(20));
        }
        byte[] value = random.nextInt(20) == 0 ? null : words(most);
        return new SimpleRecord(1790000000000L + (number ^ 5), key, value, headers); // no two are the same
    }

    /** A batch of any kind, sampled in any way. */
    private void any() throws IOException {
        int[] shares = {0, 1, 200000, 300000, 970000, WHOLE};
        Asked one = new Asked();
        int size = random.nextInt(30);
        int count = 1 + random.nextInt(size == 0 ? 5000 : 80);
        for (int i = 0; i < count; i++) {
            one.records.add(record(i, size == 1 ? 50000 : 300));
        }
        one.form = random.nextInt(FORMS.length);
        one.way = 1 + random.nextInt(3);
        one.share = shares[random.nextInt(shares.length)];
        one.counter = random.nextInt(5000000);
        one.flags = random.nextInt(8);
        one.idempotent = random.nextBoolean();
        one.transactional = one.idempotent && random.nextInt(20) == 0;
        write(one);
        if (one.batch.length > 300000) {
            one.flags &= ~TELL; // headers may be left out of what becomes too large
        }
        ask(one);
        if (one.transactional) {
            check(one.result == BAD && one.answer.length == 0, "a transactional batch was sampled");
        } else {
            judge(one);
        }
    }

    // --- judging ---------------------------------------------------------------------------------------------------

    private static void check(boolean good, String what) {
        if (!good) {
            throw new AssertionError(what);
        }
    }

    private static MutableRecordBatch read(byte[] answer) {
        var batches = MemoryRecords.readableRecords(ByteBuffer.wrap(answer)).batches().iterator();
        MutableRecordBatch batch = batches.next();
        check(!batches.hasNext() && batch.sizeInBytes() == answer.length, "more than one batch");
        batch.ensureValid();
        return batch;
    }

    private static void judgeBatch(Asked one, MutableRecordBatch batch) {
        check(batch.countOrNull() == one.kept && batch.baseOffset() == 0, "count");
        check(batch.lastOffset() == one.kept - 1, "last offset");
        check(batch.compressionType().id == (one.form == RAW_SNAPPY ? 2 : one.form), "codec");
        boolean idempotent = one.idempotent && !one.has(STRIP);
        check(batch.producerId() == (idempotent ? 77 : -1), "producer id");
        check(batch.producerEpoch() == (idempotent ? 5 : -1), "producer epoch");
        check(batch.baseSequence() == (idempotent ? 1000 : -1), "sequence");
        check(!batch.isTransactional() && batch.timestampType() == TimestampType.CREATE_TIME, "attributes");
    }

    /** The same record, and behind its headers what tells the rate. */
    private static boolean same(Asked one, SimpleRecord came, Record found) {
        Header[] before = came.headers();
        Header[] after = found.headers();
        String rate = one.has(CRITICAL) && critical(came) ? "1"
            : new java.math.BigDecimal(one.share).movePointLeft(6).stripTrailingZeros().toPlainString();
        boolean told = after.length == before.length + 1 && after[before.length].equals(
            new RecordHeader(RATE, rate.getBytes(StandardCharsets.UTF_8)));
        return came.timestamp() == found.timestamp() && java.util.Objects.equals(came.key(), found.key())
            && java.util.Objects.equals(came.value(), found.value())
            && (one.has(TELL) ? told : after.length == before.length)
            && Arrays.equals(before, Arrays.copyOf(after, before.length));
    }

    /** Walks what came and what is there side by side. */
    private void judge(Asked one) {
        check(one.result == GOOD && one.kept + one.dropped == one.records.size(), "result " + one.result);
        kept += one.kept;
        dropped += one.dropped;
        boolean asItCame = one.dropped == 0 && !one.has(TELL) && !one.has(STRIP);
        check((one.answer.length == 0) == (one.kept == 0 || asItCame), "a batch where there should be none, or none");
        List<Record> found = new ArrayList<>();
        if (one.answer.length > 0) {
            MutableRecordBatch batch = read(one.answer);
            judgeBatch(one, batch);
            batch.forEach(found::add);
            check(found.stream().mapToLong(Record::timestamp).max().getAsLong() == batch.maxTimestamp(), "max timestamp");
        }
        int next = 0;
        long place = one.counter;
        for (SimpleRecord came : one.records) {
            Boolean wanted = wanted(one, came, place);
            place += one.has(CRITICAL) && critical(came) ? 0 : 1;
            boolean there = asItCame || next < found.size() && same(one, came, found.get(next));
            check(wanted == null || wanted == there, FORMS[one.form] + ": a record that should be there, or should not");
            if (there && !asItCame) {
                check(found.get(next).offset() == next, "offset");
                next++;
            }
        }
        check(asItCame || next == one.kept, "records that nobody sent, or in another order");
    }

    // --- many keys -------------------------------------------------------------------------------------------------

    /** Batches of 1 MB: the share of keys is kept, and of each key all records or none. */
    private void manyKeys() throws IOException {
        int keys = 100000;
        int share = 200000;
        int left = 3 * keys;
        Map<String, int[]> counts = new HashMap<>();
        for (int form = 0; left > 0; form = (form + 1) % FORMS.length) {
            Asked one = new Asked();
            for (int size = 0; size < 1000000 && left > 0; left--) {
                byte[] key = ("user-" + left % keys).getBytes(StandardCharsets.UTF_8);
                one.records.add(new SimpleRecord(1790000000000L + left, key, words(150)));
                size += key.length + one.records.get(one.records.size() - 1).value().remaining() + 10;
            }
            one.form = form;
            one.way = KEY;
            one.share = share;
            one.idempotent = true;
            one.flags = STRIP | TELL;
            write(one);
            ask(one);
            judge(one);
            one.records.forEach(r -> counts.computeIfAbsent(text(r.key()), k -> new int[2])[0]++);
            read(one.answer).forEach(r -> counts.get(text(r.key()))[1]++);
        }
        long whole = counts.values().stream().filter(c -> c[0] == c[1]).count();
        long parts = counts.values().stream().filter(c -> c[0] != c[1] && c[1] > 0).count();
        System.out.println(keys + " keys at 0.2: " + whole + " kept, " + parts + " in part");
        check(parts == 0 && Math.abs(whole - 0.2 * keys) < 0.01 * keys, "share of keys");
    }

    private static String text(ByteBuffer key) {
        return StandardCharsets.UTF_8.decode(key.duplicate()).toString();
    }
}
