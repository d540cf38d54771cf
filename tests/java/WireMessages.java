import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/** Messages for WireCheck, made by Kafka's own schemas and written by Kafka's own classes; each by its own seed. */
final class WireMessages {
    enum Kind {
        EMPTY, /* all fields at their defaults */
        RANDOM,
        EXTREME /* bounds of numbers and lengths, nulls and unknown tagged fields wherever there may be any */
    }

    private static final long[] INTEGERS = {Long.MIN_VALUE, Long.MAX_VALUE, 0, -1, 1};
    private static final int[] LENGTHS = {0, 1, 126, 127, 128, 16382, 16383, 16384, 32766, 32767};
    private static final String[] LETTERS = {"x", "\u00e9", "\u20ac", "\ud83d\udc1f"};

    final Random random;
    private final Kind kind;
    private int scalars = 8000; /* how many more the message may have */
    private int bytes = 300000;  /* how many more its long strings may take */
    private int crowds;          /* long arrays around: Kafka's collections are slow where names are alike in them */

    WireMessages(long seed, Kind kind) {
        this.random = new Random(seed);
        this.kind = kind;
    }

    /** A message in the form that Kafka itself would write. */
    ApiMessage message(Schema schema, ApiMessage message, short version) {
        if (kind == Kind.EMPTY) {
            return message;
        }
        Struct struct = struct(schema);
        ByteBuffer buffer = ByteBuffer.allocate(schema.sizeOf(struct));
        schema.write(buffer, struct);
        buffer.flip();
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException("Kafka's schema and reader differ: " + message);
        }
        return message;
    }

    RequestHeaderData requestHeader(short key, short version, int correlationId, boolean flexible) {
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(key).setRequestApiVersion(version)
            .setCorrelationId(correlationId).setClientId(chance(6) ? null : kind == Kind.EMPTY ? "" : string());
        if (kind != Kind.EMPTY && flexible) {
            unknownTags(header.unknownTaggedFields());
        }
        return header;
    }

    ResponseHeaderData responseHeader(int correlationId, boolean flexible) {
        ResponseHeaderData header = new ResponseHeaderData().setCorrelationId(correlationId);
        if (kind != Kind.EMPTY && flexible) {
            unknownTags(header.unknownTaggedFields());
        }
        return header;
    }

    boolean chance(int oneIn) {
        return random.nextInt(oneIn) == 0;
    }

    static byte[] bytes(ApiMessage message, short version) {
        return MessageUtil.byteBufferToArray(MessageUtil.toByteBufferAccessor(message, version).buffer());
    }

    private void unknownTags(java.util.List<RawTaggedField> tags) {
        TreeMap<Integer, Object> some = new TreeMap<>();
        unknownTags(some);
        some.values().forEach(tag -> tags.add((RawTaggedField) tag));
    }

    private void unknownTags(TreeMap<Integer, Object> tags) {
        if (!chance(kind == Kind.EXTREME ? 2 : 6)) {
            return;
        }
        for (int i = random.nextInt(3); i >= 0; i--) {
            int tag = kind == Kind.EXTREME && chance(3) ? 16384 + random.nextInt(1 << 30) : 20 + random.nextInt(100);
            int length = random.nextInt(crowds > 0 ? 4 : chance(30) ? 20000 : 200);
            tags.put(tag, new RawTaggedField(tag, new byte[length]));
        }
    }

    private Struct struct(Schema schema) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, value(field.def.type));
        }
        return struct;
    }

    private Object value(Type type) {
        if (type.isNullable() && chance(kind == Kind.EXTREME ? 3 : 5)) {
            return null;
        }
        if (type.isArray()) {
            Type element = type.arrayElementType().get();
            Object[] elements = new Object[elements(element)];
            int crowd = elements.length > 100 ? 1 : 0;
            crowds += crowd;
            for (int i = 0; i < elements.length; i++) {
                elements[i] = value(element);
            }
            crowds -= crowd;
            return elements;
        }
        if (type instanceof Schema) {
            return struct((Schema) type);
        }
        if (type instanceof TaggedFields) {
            return tags((TaggedFields) type);
        }
        scalars--;
        return scalar(((Type.DocumentedType) type).typeName());
    }

    /** How many: few, sometimes hundreds or thousands of small ones, and none when there are enough already. */
    private int elements(Type element) {
        if (scalars <= 0) {
            return 0;
        }
        if (kind == Kind.EXTREME && chance(60)) {
            int wanted = chance(3) ? 1000 + random.nextInt(5000) : 125 + random.nextInt(5);
            return Math.min(wanted, scalars / weight(element));
        }
        return random.nextInt(4);
    }

    private static int weight(Type type) {
        if (!(type instanceof Schema)) {
            return type.isArray() ? 3 * weight(type.arrayElementType().get()) : 1;
        }
        int sum = 1;
        for (BoundField field : ((Schema) type).fields()) {
            sum += weight(field.def.type);
        }
        return sum;
    }

    private Map<Integer, Object> tags(TaggedFields type) {
        TreeMap<Integer, Object> tags = new TreeMap<>();
        for (Map.Entry<Integer, Field> field : type.fields().entrySet()) {
            if (random.nextInt(3) > 0) {
                tags.put(field.getKey(), value(field.getValue().type));
            }
        }
        unknownTags(tags);
        return tags;
    }

    private Object scalar(String name) {
        switch (name.replace("COMPACT_", "").replace("NULLABLE_", "")) {
            case "BOOLEAN":
                return random.nextBoolean();
            case "INT8":
                return (byte) integer(8, 256);
            case "INT16":
                return (short) integer(16, 40);
            case "UINT16":
                return (int) integer(16, 65536) & 0xffff;
            case "INT32":
                return crowds > 0 ? random.nextInt() : (int) integer(32, chance(10) ? Integer.MAX_VALUE : 6);
            case "UINT32":
                return integer(32, Integer.MAX_VALUE) & 0xffffffffL;
            case "INT64":
                return kind == Kind.EXTREME ? integer(64, 100) : random.nextLong();
            case "FLOAT64":
                return kind == Kind.EXTREME ? Double.MAX_VALUE : random.nextDouble();
            case "UUID":
                return new Uuid(random.nextLong(), random.nextLong());
            case "STRING":
                return string();
            case "BYTES":
                return ByteBuffer.wrap(blob(40));
            case "RECORDS":
                return records();
            default:
                throw new IllegalStateException("type " + name);
        }
    }

    /** Below `bound`; or of a bound of the type, of so many bits: truncated it is all ones or zeroes. */
    private long integer(int bits, int bound) {
        if (kind == Kind.EXTREME && random.nextBoolean()) {
            return INTEGERS[random.nextInt(INTEGERS.length)] >> (64 - bits);
        }
        return random.nextInt(bound);
    }

    private String string() {
        int length = random.nextInt(20);
        if (crowds > 0) {
            return Integer.toString(random.nextInt(), 36);
        }
        if (kind == Kind.EXTREME && chance(3)) {
            length = LENGTHS[random.nextInt(LENGTHS.length)];
        } else if (chance(20)) {
            length = random.nextInt(400);
        }
        if (length > 300) {
            length = length <= bytes ? length : 0;
            bytes -= length;
        }
        String start = length < 8 ? "" : Integer.toString(random.nextInt(1000000), 36);
        int rest = length - start.length();
        int width = chance(2) ? 1 : 1 + random.nextInt(4); /* of its letters in UTF-8 */
        return start + LETTERS[width - 1].repeat(rest / width) + "y".repeat(rest % width);
    }

    /** Now and then of more than a MiB. */
    private byte[] blob(int small) {
        boolean huge = kind == Kind.EXTREME && bytes > 0 && chance(40);
        bytes = huge ? 0 : bytes;
        byte[] blob = new byte[huge ? (1 << 20) + random.nextInt(1 << 19) : random.nextInt(small)];
        if (blob.length > 0) {
            blob[random.nextInt(blob.length)] = (byte) random.nextInt();
        }
        return blob;
    }

    /** Batches of Kafka's own making, or what is none. */
    private MemoryRecords records() {
        if (kind == Kind.EXTREME) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(blob(130)));
        }
        SimpleRecord[] records = new SimpleRecord[1 + random.nextInt(4)];
        for (int i = 0; i < records.length; i++) {
            records[i] = new SimpleRecord(new byte[random.nextInt(300)]);
        }
        return MemoryRecords.withRecords(Compression.NONE, records);
    }
}
