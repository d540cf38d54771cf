import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.DescribeClusterResponseData;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.FindCoordinatorResponseData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.message.ShareAcknowledgeResponseData;
import org.apache.kafka.common.message.ShareFetchResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
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

/**
 * Asks Kafka's own message classes whether the protocol layer is right. Random messages of every API and version,
 * written by Kafka, must be walked to their end; rewritten responses must be, byte for byte or read back, what Kafka
 * writes after the same change of addresses; replies of our own must be readable.
 *
 * <p>Usage: WireCheck WIRE_TOOL [SEED [ROUNDS]]
 */
final class WireCheck {
    private static final int WALK_REQUEST = 1;
    private static final int WALK_RESPONSE = 2;
    private static final int REWRITE = 3;
    private static final int PRODUCE_REPLY = 4;
    private static final int THROTTLE_TIME_MS = 700;
    private static final short PRODUCE_MAX = 12;

    private final DataOutputStream toTool;
    private final DataInputStream fromTool;
    private final Random random;
    private int walked;
    private int rewritten;
    private int leftOut;
    private int repliesRead;

    private WireCheck(Process tool, long seed) {
        toTool = new DataOutputStream(tool.getOutputStream());
        fromTool = new DataInputStream(tool.getInputStream());
        random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        long seed = args.length > 1 ? Long.parseLong(args[1]) : 1;
        int rounds = args.length > 2 ? Integer.parseInt(args[2]) : 20;
        System.out.println("seed " + seed);
        Process tool = new ProcessBuilder(args[0]).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        WireCheck check = new WireCheck(tool, seed);
        try {
            check.run(rounds);
        } catch (Throwable failure) {
            System.out.println("FAILED with seed " + seed);
            failure.printStackTrace(System.out);
            System.exit(1);
        }
        check.toTool.close();
        if (tool.waitFor() != 0) {
            System.out.println("FAILED: the tool ended with " + tool.exitValue());
            System.exit(1);
        }
        System.out.printf("ok: %d messages walked, %d rewritten (%d without endpoints), %d replies read%n",
            check.walked, check.rewritten, check.leftOut, check.repliesRead);
    }

    private void run(int rounds) throws IOException {
        for (int round = 0; round < rounds; round++) {
            for (ApiKeys key : ApiKeys.brokerApis()) {
                ApiMessageType type = key.messageType;
                for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                    checkApi(type, v);
                }
            }
        }
        for (short version = ApiKeys.PRODUCE.oldestVersion(); version <= ApiKeys.PRODUCE.latestVersion(); version++) {
            checkReply(version);
        }
    }

    private void checkApi(ApiMessageType type, short version) throws IOException {
        ApiMessage request = random(type.requestSchemas()[version], type.newRequest(), version);
        ApiMessage response = random(type.responseSchemas()[version], type.newResponse(), version);
        byte[] walkedRequest = ask(WALK_REQUEST, type, version, bytes(request, version));
        byte[] walkedResponse = ask(WALK_RESPONSE, type, version, bytes(response, version));
        expect(walkedRequest != null, type, version, "request", request);
        expect(walkedResponse != null, type, version, "response", response);
        walked += 2;
        checkRewrite(type, version, response);
    }

    // --- random messages ---------------------------------------------------------------------------------------

    /** A random message in the form that Kafka itself would write. */
    private ApiMessage random(Schema schema, ApiMessage message, short version) {
        Struct struct = (Struct) value(schema);
        ByteBuffer buffer = ByteBuffer.allocate(schema.sizeOf(struct));
        schema.write(buffer, struct);
        buffer.flip();
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException("Kafka's schema and reader differ: " + message);
        }
        return message;
    }

    private Object value(Type type) {
        if (type.isNullable() && random.nextInt(5) == 0) {
            return null;
        }
        if (type.isArray()) {
            Object[] elements = new Object[random.nextInt(4)];
            for (int i = 0; i < elements.length; i++) {
                elements[i] = value(type.arrayElementType().get());
            }
            return elements;
        }
        if (type instanceof Schema) {
            Struct struct = new Struct((Schema) type);
            for (BoundField field : ((Schema) type).fields()) {
                struct.set(field, value(field.def.type));
            }
            return struct;
        }
        if (type instanceof TaggedFields) {
            return tags((TaggedFields) type);
        }
        return scalar(((Type.DocumentedType) type).typeName());
    }

    private Map<Integer, Object> tags(TaggedFields type) {
        TreeMap<Integer, Object> tags = new TreeMap<>();
        for (Map.Entry<Integer, Field> field : type.fields().entrySet()) {
            if (random.nextInt(3) > 0) {
                tags.put(field.getKey(), value(field.getValue().type));
            }
        }
        if (random.nextInt(6) == 0) {
            int tag = 20 + random.nextInt(500);
            tags.put(tag, new RawTaggedField(tag, new byte[random.nextInt(200)]));
        }
        return tags;
    }

    private Object scalar(String name) {
        switch (name.replace("COMPACT_", "").replace("NULLABLE_", "")) {
            case "BOOLEAN":
                return random.nextBoolean();
            case "INT8":
                return (byte) random.nextInt();
            case "INT16":
                return (short) random.nextInt(40);
            case "UINT16":
                return random.nextInt(65536);
            case "INT32":
                return random.nextInt(10) == 0 ? random.nextInt() : random.nextInt(6);
            case "UINT32":
                return random.nextInt() & 0xffffffffL;
            case "INT64":
                return random.nextLong();
            case "FLOAT64":
                return random.nextDouble();
            case "UUID":
                return new Uuid(random.nextLong(), random.nextLong());
            case "STRING":
                return "x".repeat(random.nextInt(random.nextInt(20) == 0 ? 400 : 20));
            case "BYTES":
                return ByteBuffer.wrap(new byte[random.nextInt(40)]);
            case "RECORDS":
                return records();
            default:
                throw new IllegalStateException("type " + name);
        }
    }

    /** Batches of Kafka's own making. */
    private MemoryRecords records() {
        SimpleRecord[] records = new SimpleRecord[1 + random.nextInt(4)];
        for (int i = 0; i < records.length; i++) {
            records[i] = new SimpleRecord(new byte[random.nextInt(300)]);
        }
        return MemoryRecords.withRecords(Compression.NONE, records);
    }

    // --- rewriting ---------------------------------------------------------------------------------------------

    private void checkRewrite(ApiMessageType type, short version, ApiMessage response) throws IOException {
        if (response instanceof ApiVersionsResponseData && ((ApiVersionsResponseData) response).errorCode() == 35) {
            return; /* has the layout of version 0, which Kafka's class does not write for another */
        }
        byte[] before = frame(type, version, response);
        byte[] after = ask(REWRITE, type, version, before);
        if (!change(response, version)) {
            expect(after == null, type, version, "should have no address", response);
            return;
        }
        expect(after != null, type, version, "refused", response);
        rewritten++;
        boolean tail = response instanceof FetchResponseData || response instanceof ShareFetchResponseData;
        if (!tail) {
            expect(Arrays.equals(after, frame(type, version, response)), type, version, "rewritten", response);
            return;
        }
        expect(after.length == before.length, type, version, "length", response);
        ApiMessage got = type.newResponse();
        ByteBuffer body = ByteBuffer.wrap(after);
        body.position(headerLength(type, version));
        got.read(new ByteBufferAccessor(body), version);
        expect(!body.hasRemaining(), type, version, "end", response);
        got.unknownTaggedFields().removeIf(field -> field.tag() == 127 || field.tag() == 16383);
        if (!got.equals(response)) {
            /* It did not fit: then all but the endpoints is as it was. */
            leftOut++;
            int want = frame(type, version, response).length;
            expect(want > before.length || want == before.length - 1, type, version, "left out needlessly", response);
            clearEndpoints(response);
            expect(got.equals(response), type, version, "without endpoints", response);
        }
    }

    /** What the proxy does to a response. False if it rewrites nothing in this message and version. */
    private static boolean change(ApiMessage message, short version) {
        if (message instanceof MetadataResponseData) {
            ((MetadataResponseData) message).brokers().forEach(
                n -> change(n.nodeId(), n.host(), n.port(), n::setHost, n::setPort));
        } else if (message instanceof FindCoordinatorResponseData) {
            FindCoordinatorResponseData data = (FindCoordinatorResponseData) message;
            if (version < 4) {
                change(data.nodeId(), data.host(), data.port(), data::setHost, data::setPort);
            }
            data.coordinators().forEach(n -> change(n.nodeId(), n.host(), n.port(), n::setHost, n::setPort));
        } else if (message instanceof DescribeClusterResponseData) {
            ((DescribeClusterResponseData) message).brokers().forEach(
                n -> change(n.brokerId(), n.host(), n.port(), n::setHost, n::setPort));
        } else if (message instanceof ProduceResponseData) {
            ProduceResponseData data = (ProduceResponseData) message;
            data.nodeEndpoints().forEach(n -> change(n.nodeId(), n.host(), n.port(), n::setHost, n::setPort));
            data.setThrottleTimeMs(Math.max(data.throttleTimeMs(), THROTTLE_TIME_MS));
        } else if (message instanceof FetchResponseData && version >= 16) {
            ((FetchResponseData) message).nodeEndpoints().forEach(
                n -> change(n.nodeId(), n.host(), n.port(), n::setHost, n::setPort));
        } else if (message instanceof ShareFetchResponseData) {
            ((ShareFetchResponseData) message).nodeEndpoints().forEach(
                n -> change(n.nodeId(), n.host(), n.port(), n::setHost, n::setPort));
        } else if (message instanceof ShareAcknowledgeResponseData) {
            ((ShareAcknowledgeResponseData) message).nodeEndpoints().forEach(
                n -> change(n.nodeId(), n.host(), n.port(), n::setHost, n::setPort));
        } else if (message instanceof ApiVersionsResponseData) {
            clamp((ApiVersionsResponseData) message);
        } else {
            return false;
        }
        return true;
    }

    private interface SetHost {
        Object to(String host);
    }

    private interface SetPort {
        Object to(int port);
    }

    private static void change(int nodeId, String host, int port, SetHost setHost, SetPort setPort) {
        if (nodeId == 4 || host.isEmpty() || port < 0) {
            return;
        }
        setHost.to("proxy-" + nodeId);
        setPort.to(9200 + (nodeId & 63));
    }

    private static void clearEndpoints(ApiMessage message) {
        if (message instanceof FetchResponseData) {
            ((FetchResponseData) message).nodeEndpoints().clear();
        } else {
            ((ShareFetchResponseData) message).nodeEndpoints().clear();
        }
    }

    private static void clamp(ApiVersionsResponseData data) {
        for (var entry : data.apiKeys()) {
            if (!ApiKeys.hasId(entry.apiKey()) || !ApiKeys.brokerApis().contains(ApiKeys.forId(entry.apiKey()))) {
                entry.setMinVersion((short) 1).setMaxVersion((short) 0);
                continue;
            }
            ApiMessageType type = ApiKeys.forId(entry.apiKey()).messageType;
            int least = type == ApiMessageType.PRODUCE ? 0 : type.lowestSupportedVersion();
            int most = type == ApiMessageType.PRODUCE ? PRODUCE_MAX : type.highestSupportedVersion(true);
            entry.setMinVersion((short) Math.max(entry.minVersion(), least));
            entry.setMaxVersion((short) Math.min(entry.maxVersion(), most));
        }
        data.apiKeys().removeIf(entry -> entry.minVersion() > entry.maxVersion());
    }

    // --- replies of our own ------------------------------------------------------------------------------------

    private void checkReply(short version) throws IOException {
        byte[] frame = ask(PRODUCE_REPLY, ApiMessageType.PRODUCE, version, new byte[0]);
        ByteBuffer buffer = ByteBuffer.wrap(frame);
        int length = buffer.getInt();
        buffer.position(headerLength(ApiMessageType.PRODUCE, version));
        ProduceResponseData data = new ProduceResponseData();
        data.read(new ByteBufferAccessor(buffer), version);
        ProduceResponseData want = new ProduceResponseData().setThrottleTimeMs(THROTTLE_TIME_MS);
        want.responses().add(topic(version, "alpha", "0123456789abcdef"));
        want.responses().add(topic(version, "b", "fedcba9876543210"));
        var it = want.responses().iterator();
        it.next().setPartitionResponses(
            java.util.List.of(partition(version, 0, 19, "try later"), partition(version, 5, 44, null)));
        it.next().setPartitionResponses(java.util.List.of(partition(version, 2, 19, "")));
        boolean same = data.equals(want) && !buffer.hasRemaining() && length == frame.length - 4;
        expect(same, ApiMessageType.PRODUCE, version, "reply, read as", data);
        repliesRead++;
    }

    private static ProduceResponseData.TopicProduceResponse topic(short version, String name, String id) {
        ByteBuffer bytes = ByteBuffer.wrap(id.getBytes());
        ProduceResponseData.TopicProduceResponse topic = new ProduceResponseData.TopicProduceResponse();
        return version < 13 ? topic.setName(name) : topic.setTopicId(new Uuid(bytes.getLong(), bytes.getLong()));
    }

    private static ProduceResponseData.PartitionProduceResponse partition(short version, int index, int error,
            String why) {
        return new ProduceResponseData.PartitionProduceResponse().setIndex(index).setErrorCode((short) error)
            .setBaseOffset(-1).setErrorMessage(version < 8 ? null : why);
    }

    // --- the pipe ----------------------------------------------------------------------------------------------

    private static byte[] bytes(ApiMessage message, short version) {
        return MessageUtil.byteBufferToArray(MessageUtil.toByteBufferAccessor(message, version).buffer());
    }

    private static int headerLength(ApiMessageType type, short version) {
        return 8 + type.responseHeaderVersion(version);
    }

    private static byte[] frame(ApiMessageType type, short version, ApiMessage message) {
        byte[] body = bytes(message, version);
        int head = headerLength(type, version);
        return ByteBuffer.allocate(head + body.length).putInt(head - 4 + body.length).putInt(42).position(head)
            .put(body).array();
    }

    /** The answer, or null if the tool says no. */
    private byte[] ask(int operation, ApiMessageType type, short version, byte[] bytes) throws IOException {
        toTool.write(ByteBuffer.allocate(9 + bytes.length).put((byte) operation).putShort(type.apiKey())
            .putShort(version).putInt(bytes.length).put(bytes).array());
        toTool.flush();
        int status = fromTool.readUnsignedByte();
        byte[] answer = new byte[fromTool.readInt()];
        fromTool.readFully(answer);
        return status == 0 ? answer : null;
    }

    private static void expect(boolean condition, ApiMessageType type, short version, String what, ApiMessage message) {
        if (!condition) {
            throw new AssertionError(type.name + " v" + version + " " + what + ": " + message);
        }
    }
}
