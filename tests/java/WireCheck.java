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
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.function.Supplier;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.DescribeClusterResponseData;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.FindCoordinatorResponseData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.message.ShareAcknowledgeResponseData;
import org.apache.kafka.common.message.ShareFetchResponseData;
import org.apache.kafka.common.message.WriteTxnMarkersRequestData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.requests.AbstractRequest;
import org.apache.kafka.common.requests.AbstractResponse;

/**
 * Asks Kafka's own message classes whether the protocol layer is right. Of every API and version, messages written by
 * Kafka (empty, random, extreme) are walked whole and cut anywhere, and what was met is what Kafka reads; responses are
 * rewritten, and are byte for byte or read back what Kafka writes after the same change of addresses; requests are
 * answered, and the answer is read as the one that Kafka's request class gives.
 *
 * <p>Usage: WireCheck WIRE_TOOL SEED [ROUNDS | MESSAGE]. Without rounds, as many as make 100,000 messages; MESSAGE,
 * such as Produce.9.request.3, is the only one to be asked about, as a failure names it.
 */
final class WireCheck {
    private static final int TAPS = 1;
    private static final int REQUEST = 2;
    private static final int RESPONSE = 3;
    private static final int MESSAGES = 100000;
    private static final int AHEAD = 200; /* questions that wait for their answers */
    private static final int THROTTLE_TIME_MS = 700;
    private static final short PRODUCE_MAX = 12;
    private static final String[] FAILURES = {"", "unknown to the tables", "header", "walk", "walk of its pieces",
        "pieces and the whole differ", "answer", "reply.h and answer.h differ", "rewriting"};
    /** Their request classes keep topics or users in hash maps. */
    private static final Set<ApiKeys> UNORDERED = Set.of(ApiKeys.PRODUCE, ApiKeys.WRITE_TXN_MARKERS,
        ApiKeys.ALTER_USER_SCRAM_CREDENTIALS);

    /** One message, and what it takes to judge what became of it. */
    private static final class Asked {
        ApiMessageType type;
        short version;
        String name;
        WireMessages.Kind kind;
        ApiMessage message;
        RequestHeaderData header;
        Errors error;
        String text;
        int throttleTimeMs;
        byte[] frame;
        int bodyAt;

        boolean isRequest() {
            return header != null;
        }

        Schema schema() {
            return (isRequest() ? type.requestSchemas() : type.responseSchemas())[version];
        }

        Object tree() {
            ByteBuffer body = ByteBuffer.wrap(frame).position(bodyAt);
            return WireTree.of(schema(), schema().read(body));
        }
    }

    private final long seed;
    private final DataOutputStream toTool;
    private final DataInputStream fromTool;
    private final BlockingQueue<Asked> asked = new ArrayBlockingQueue<>(AHEAD);
    private final Map<String, String[][]> paths = new HashMap<>();
    private final Map<WireMessages.Kind, int[]> counts = new TreeMap<>();
    private final TreeSet<String> apis = new TreeSet<>();
    private final TreeSet<String> versions = new TreeSet<>();
    private final TreeSet<String> answeredVersions = new TreeSet<>();
    private int values;
    private int answered;
    private int unanswered;
    private int refused;
    private int reordered;
    private int rewritten;
    private int leftOut;
    private int longest;

    private WireCheck(Process tool, long seed) {
        toTool = new DataOutputStream(new BufferedOutputStream(tool.getOutputStream(), 1 << 16));
        fromTool = new DataInputStream(new java.io.BufferedInputStream(tool.getInputStream(), 1 << 16));
        this.seed = seed;
    }

    public static void main(String[] args) throws Exception {
        long seed = Long.parseLong(args[1]);
        Process tool = new ProcessBuilder(args[0]).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        WireCheck check = new WireCheck(tool, seed);
        System.out.println("seed " + seed);
        String only = args.length > 2 && args[2].contains(".") ? args[2] : null;
        if (only == null || only.startsWith("Parcel.")) {
            ParcelCheck.run(args[0], seed, only);
        }
        int first = only == null ? 0 : Integer.parseInt(only.substring(only.lastIndexOf('.') + 1));
        int rounds = only != null ? 1 : args.length > 2 ? Integer.parseInt(args[2]) : MESSAGES / check.perRound() + 1;
        check.askTaps();
        Thread judge = new Thread(check::judgeAll);
        judge.start();
        try {
            check.askAll(first, first + rounds, only);
        } catch (Throwable failure) {
            System.out.println("FAILED: a question could not be made");
            failure.printStackTrace(System.out);
            System.exit(1);
        }
        judge.join();
        check.toTool.close();
        if (tool.waitFor() != 0) {
            System.out.println("FAILED: the tool ended with " + tool.exitValue());
            System.exit(1);
        }
        check.print(rounds > 9);
    }

    // --- asking ------------------------------------------------------------------------------------------------

    private int perRound() {
        return ApiKeys.brokerApis().stream().map(key -> key.messageType).mapToInt(
            type -> 2 * (type.highestSupportedVersion(true) - type.lowestSupportedVersion() + 1)).sum();
    }

    private void askTaps() throws IOException {
        for (ApiKeys key : ApiKeys.brokerApis()) {
            ApiMessageType type = key.messageType;
            send(TAPS, type, type.lowestSupportedVersion(), 0, new byte[0]);
            toTool.flush();
            fromTool.readUnsignedByte();
            byte[] lines = new byte[fromTool.readInt()];
            fromTool.readFully(lines);
            String[] sides = new String(lines, StandardCharsets.UTF_8).split("\n?(?m)^\n", 2);
            for (int i = 0; i < 2; i++) {
                paths.put(type.name + i, sides[i].lines().map(WireTree::path).toArray(String[][]::new));
            }
        }
    }

    private void askAll(int first, int end, String only) throws IOException, InterruptedException {
        for (int round = first; round < end; round++) {
            WireMessages.Kind kind = round == 0 ? WireMessages.Kind.EMPTY
                : round % 4 == 1 ? WireMessages.Kind.EXTREME : WireMessages.Kind.RANDOM;
            for (ApiKeys key : ApiKeys.brokerApis()) {
                ApiMessageType type = key.messageType;
                for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                    for (boolean request : new boolean[] {true, false}) {
                        String name = type.name + "." + v + (request ? ".request." : ".response.") + round;
                        if (only == null || only.equals(name)) {
                            ask(type, v, request, kind, name);
                        }
                    }
                }
            }
        }
        toTool.flush();
        asked.put(new Asked());
    }

    private void ask(ApiMessageType type, short version, boolean request, WireMessages.Kind kind, String name)
            throws IOException, InterruptedException {
        WireMessages make = new WireMessages(seed * 1000003L + name.hashCode(), kind);
        Asked one = new Asked();
        one.type = type;
        one.version = version;
        one.name = name;
        one.kind = kind;
        byte[] head;
        ByteBuffer about = ByteBuffer.allocate(0);
        int correlationId = make.random.nextInt();
        if (request) {
            short headerVersion = type.requestHeaderVersion(version);
            one.header = make.requestHeader(type.apiKey(), version, correlationId, headerVersion >= 2);
            head = WireMessages.bytes(one.header, headerVersion);
            one.message = make.message(type.requestSchemas()[version], type.newRequest(), version);
            about = refusal(one, make);
        } else {
            short headerVersion = type.responseHeaderVersion(version);
            head = WireMessages.bytes(make.responseHeader(correlationId, headerVersion >= 1), headerVersion);
            one.message = make.message(type.responseSchemas()[version], type.newResponse(), version);
        }
        one.bodyAt = 4 + head.length;
        one.frame = frame(head, WireMessages.bytes(one.message, version));
        byte[] question =
            ByteBuffer.allocate(about.capacity() + one.frame.length).put(about.flip()).put(one.frame).array();
        if (!asked.offer(one)) {
            toTool.flush();
            asked.put(one);
        }
        send(request ? REQUEST : RESPONSE, type, version, make.random.nextInt(), question);
    }

    private static ByteBuffer refusal(Asked one, WireMessages make) {
        do {
            one.error = Errors.values()[make.random.nextInt(Errors.values().length)];
        } while (one.error == Errors.NONE);
        one.error = Errors.forException(one.error.exception());
        one.text = make.chance(4) ? null : make.chance(4) ? "\u20ac, \ud83d\udc1f" : one.error.message();
        one.throttleTimeMs = make.random.nextInt(100000);
        byte[] text = one.text == null ? new byte[0] : one.text.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + text.length).putShort(one.error.code()).putInt(one.throttleTimeMs)
            .putShort((short) (one.text == null ? -1 : text.length)).put(text);
    }

    private static byte[] frame(byte[] head, byte[] body) {
        return ByteBuffer.allocate(4 + head.length + body.length).putInt(head.length + body.length).put(head).put(body)
            .array();
    }

    private void send(int operation, ApiMessageType type, short version, int random, byte[] bytes) throws IOException {
        toTool.writeByte(operation);
        toTool.writeShort(type.apiKey());
        toTool.writeShort(version);
        toTool.writeInt(random);
        toTool.writeInt(bytes.length);
        toTool.write(bytes);
    }

    // --- judging -----------------------------------------------------------------------------------------------

    private void judgeAll() {
        Asked one = null;
        try {
            while ((one = asked.take()).type != null) {
                int status = fromTool.readUnsignedByte();
                byte[] answer = new byte[fromTool.readInt()];
                fromTool.readFully(answer);
                expect(status == 0, () -> FAILURES[status], one.message);
                judge(one, ByteBuffer.wrap(answer));
            }
        } catch (Throwable failure) {
            System.out.println("FAILED: " + (one == null ? "" : one.name) + ", seed " + seed
                + "; to see it alone: tests/scripts/kafka_check.sh WireCheck TOOL JARS " + seed + " "
                + (one == null ? "" : one.name));
            failure.printStackTrace(System.out);
            if (one != null && one.frame != null) {
                int shown = Math.min(one.frame.length, 4096);
                System.out.println("its " + one.frame.length + " bytes, the body at " + one.bodyAt + ":\n"
                    + java.util.HexFormat.of().formatHex(one.frame, 0, shown));
            }
            System.out.flush();
            Runtime.getRuntime().halt(1);
        }
    }

    private void judge(Asked one, ByteBuffer answer) {
        counts.computeIfAbsent(one.kind, kind -> new int[2])[one.isRequest() ? 0 : 1]++;
        apis.add(one.type.name);
        versions.add(one.type.name + " v" + one.version);
        longest = Math.max(longest, one.frame.length);
        if (one.isRequest()) {
            judgeHeader(one, answer);
        }
        judgeHits(one, answer);
        if (one.isRequest()) {
            judgeDefault(one, sized(answer));
            judgeError(one, sized(answer));
        } else {
            judgeRewrite(one, sized(answer));
        }
        expect(!answer.hasRemaining(), "more was said", one.message);
    }

    private static byte[] sized(ByteBuffer answer) {
        int length = answer.getInt();
        if (length < 0) {
            return null;
        }
        byte[] bytes = new byte[length];
        answer.get(bytes);
        return bytes;
    }

    private void judgeHeader(Asked one, ByteBuffer answer) {
        expect(answer.getShort() == one.header.requestApiKey(), "API key", one.header);
        expect(answer.getShort() == one.header.requestApiVersion(), "version", one.header);
        expect(answer.getInt() == one.header.correlationId(), "correlation id", one.header);
        byte[] id = sized(answer);
        expect(Arrays.equals(id, WireTree.content(one.header.clientId())), "client id", one.header);
    }

    private void judgeHits(Asked one, ByteBuffer answer) {
        List<Object[]> wanted = new ArrayList<>();
        String[][] tapped = paths.get(one.type.name + (one.isRequest() ? 0 : 1));
        if (tapped.length > 0) {
            List<Integer> all = new ArrayList<>();
            for (int i = 0; i < tapped.length; i++) {
                all.add(i);
            }
            WireTree.taps(one.tree(), tapped, 0, all, wanted);
        }
        int count = answer.getInt();
        expect(count == wanted.size(), () -> "met " + count + " values instead of " + wanted.size(), one.message);
        for (Object[] want : wanted) {
            int index = answer.getShort();
            long number = answer.getLong();
            int length = answer.getShort();
            byte[] text = length < 0 ? null : new byte[length];
            if (text != null) {
                answer.get(text);
            }
            boolean same = index == (Integer) want[0] && isValue(want[1], number, text);
            expect(same, () -> "met " + String.join(".", tapped[index]) + " " + number + ", not " + want[1],
                one.message);
            values++;
        }
    }

    private static boolean isValue(Object want, long number, byte[] text) {
        byte[] content = WireTree.content(want);
        if (content != null) {
            return number == content.length && text != null && (text.length == content.length || text.length >= 61)
                && Arrays.equals(text, 0, text.length, content, 0, text.length);
        }
        long value = want == null ? -1 : want instanceof Boolean ? ((Boolean) want ? 1 : 0)
            : want instanceof List ? ((List<?>) want).size() : ((Number) want).longValue();
        return number == value && text == null;
    }

    // --- answers of our own ------------------------------------------------------------------------------------

    /** An answer as a tree; its header must be right, and Kafka's class must read it too. */
    private Object read(Asked one, byte[] frame, short version) {
        ByteBuffer buffer = ByteBuffer.wrap(frame);
        expect(buffer.getInt() == frame.length - 4, "size of the answer", one.message);
        short headerVersion = one.type.responseHeaderVersion(version);
        ResponseHeaderData header = new ResponseHeaderData(new ByteBufferAccessor(buffer), headerVersion);
        expect(header.correlationId() == one.header.correlationId(), "correlation id of the answer", one.message);
        ByteBuffer again = buffer.duplicate();
        one.type.newResponse().read(new ByteBufferAccessor(again), version);
        Schema schema = one.type.responseSchemas()[version];
        Object tree = WireTree.of(schema, schema.read(buffer));
        expect(!buffer.hasRemaining() && !again.hasRemaining(), "end of the answer", one.message);
        return tree;
    }

    private Object tree(Asked one, ApiMessage response, short version) {
        Schema schema = one.type.responseSchemas()[version];
        return WireTree.of(schema, schema.read(ByteBuffer.wrap(WireMessages.bytes(response, version))));
    }

    /** An ApiVersions refused for its version has the layout of the oldest. */
    private static short layout(Asked one) {
        return refusesVersion(one) ? 0 : one.version;
    }

    private static boolean refusesVersion(Asked one) {
        return one.type == ApiMessageType.API_VERSIONS && one.error == Errors.UNSUPPORTED_VERSION;
    }

    @SuppressWarnings("unchecked")
    private void judgeDefault(Asked one, byte[] frame) {
        Object got = read(one, frame, layout(one));
        if (refusesVersion(one)) {
            return; /* names the versions there are: the same as the answer to the request, which is compared */
        }
        Map<String, Object> want = (Map<String, Object>) tree(one, one.type.newResponse(), one.version);
        want.computeIfPresent("error_code", (name, old) -> one.error.code());
        want.computeIfPresent("throttle_time_ms", (name, old) -> one.throttleTimeMs);
        Schema schema = one.type.responseSchemas()[one.version];
        WireTree.explain(schema, want, one.error.code(), one.text);
        expect(got.equals(want), () -> "default answer " + got + " instead of " + want, one.message);
    }

    private void judgeError(Asked one, byte[] frame) {
        short version = layout(one);
        ApiKeys key = ApiKeys.forId(one.type.apiKey());
        AbstractResponse response;
        try {
            ByteBuffer body = ByteBuffer.wrap(one.frame).position(one.bodyAt);
            AbstractRequest request =
                AbstractRequest.parseRequest(key, one.version, new ByteBufferAccessor(body.slice())).request;
            response = request.getErrorResponse(one.throttleTimeMs, one.error.exception());
        } catch (RuntimeException unfit) { /* values that a broker would not take */
            refused++;
            read(one, frame, version);
            return;
        }
        if (response == null) {
            expect(frame == null, "an answer that nobody expects", one.message);
            unanswered++;
            return;
        }
        expect(frame != null, "no answer", one.message);
        response.maybeSetThrottleTimeMs(one.throttleTimeMs);
        Object got = read(one, frame, version);
        Object want = tree(one, response.data(), version);
        WireTree.explain(one.type.responseSchemas()[version], want, one.error.code(), one.text);
        if (key == ApiKeys.METADATA && version >= 12) {
            unnamed(got);
            unnamed(want);
        }
        boolean same = got.equals(want);
        if (!same && UNORDERED.contains(key)) {
            same = WireTree.unordered(got).equals(WireTree.unordered(want));
            reordered++;
        }
        if (!same && one.message instanceof WriteTxnMarkersRequestData
            && namesTwice((WriteTxnMarkersRequestData) one.message)) {
            refused++;
            return;
        }
        expect(same, () -> "answer\n" + got + "\ninstead of\n" + want, one.message);
        answered++;
        answeredVersions.add(one.type.name + " v" + one.version);
    }

    /** A topic asked for by its id alone: Kafka's class says that its name is empty, brokers say null, and so do we. */
    @SuppressWarnings("unchecked")
    private static void unnamed(Object metadata) {
        for (Object topic : (List<Object>) ((Map<String, Object>) metadata).get("topics")) {
            ((Map<String, Object>) topic).replace("name", "", null);
        }
    }

    /** Two markers of one producer: Kafka's class answers the last one only. */
    private static boolean namesTwice(WriteTxnMarkersRequestData data) {
        return data.markers().stream().mapToLong(marker -> marker.producerId()).distinct().count()
            < data.markers().size();
    }

    // --- rewriting ---------------------------------------------------------------------------------------------

    private void judgeRewrite(Asked one, byte[] after) {
        ApiMessage response = one.message;
        if (response instanceof ApiVersionsResponseData && ((ApiVersionsResponseData) response).errorCode() == 35) {
            return; /* has the layout of version 0, which Kafka's class does not write for another */
        }
        if (!change(response, one.version)) {
            expect(after.length == 0, "should have no address", response);
            return;
        }
        rewritten++;
        byte[] want = frame(Arrays.copyOfRange(one.frame, 4, one.bodyAt), WireMessages.bytes(response, one.version));
        boolean tail = response instanceof FetchResponseData || response instanceof ShareFetchResponseData;
        if (!tail) {
            expect(Arrays.equals(after, want), "rewritten", response);
            return;
        }
        expect(after.length == one.frame.length, "length", response);
        expect(Arrays.equals(after, 0, one.bodyAt, one.frame, 0, one.bodyAt), "header", response);
        ApiMessage got = one.type.newResponse();
        ByteBuffer body = ByteBuffer.wrap(after).position(one.bodyAt);
        got.read(new ByteBufferAccessor(body), one.version);
        expect(!body.hasRemaining(), "end", response);
        got.unknownTaggedFields().removeIf(field -> field.tag() == 127 || field.tag() == 16383);
        if (!got.equals(response)) {
            /* It did not fit: then all but the endpoints is as it was. */
            leftOut++;
            boolean fits = want.length <= one.frame.length && want.length != one.frame.length - 1;
            expect(!fits, "left out needlessly", response);
            clearEndpoints(response);
            expect(got.equals(response), "without endpoints", response);
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

    // --- the end -----------------------------------------------------------------------------------------------

    private void print(boolean all) {
        System.out.printf("%n%-10s %10s %10s%n", "messages", "requests", "responses");
        int sum = 0;
        for (Map.Entry<WireMessages.Kind, int[]> each : counts.entrySet()) {
            int[] count = each.getValue();
            System.out.printf("%-10s %10d %10d%n", each.getKey().name().toLowerCase(), count[0], count[1]);
            sum += count[0] + count[1];
        }
        System.out.printf("%n%d messages of %d APIs in %d versions, the longest of %d bytes%n", sum, apis.size(),
            versions.size(), longest);
        System.out.printf("met by the walker, whole and cut: %d values%n", values);
        System.out.printf("rewritten: %d (%d without endpoints)%n", rewritten, leftOut);
        System.out.printf("answered as Kafka does: %d (%d in another order), in %d versions; %d expect no answer;%n"
            + "    %d could be read, but Kafka's class took no such request%n", answered, reordered,
            answeredVersions.size(), unanswered, refused);
        versions.removeAll(answeredVersions);
        if (all && !versions.isEmpty()) {
            System.out.println("FAILED: no answer was compared of " + versions);
            System.exit(1);
        }
        System.out.println("ok");
    }

    private static void expect(boolean condition, String what, ApiMessage message) {
        expect(condition, () -> what, message);
    }

    private static void expect(boolean condition, Supplier<String> what, ApiMessage message) {
        if (!condition) {
            String text = String.valueOf(message);
            throw new AssertionError(what.get() + ": " + text.substring(0, Math.min(text.length(), 4000)));
        }
    }
}
