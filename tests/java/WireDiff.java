import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
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

/**
 * What a proxy changed in answers, judged by Kafka's own message classes.
 *
 *     java -cp JARS WireDiff.java PAIRS HOST:PORT=HOST:PORT...
 *     java -cp JARS WireDiff.java --self-test
 *
 * PAIRS is a file of records: API key and version (int16), two lengths (int32), then the answer as the broker sent it and
 * as the client got it. The first is decoded, the changes that are meant to be made are made in it, and what comes out
 * must be the second, byte for byte: addresses (as the map says; an address that is not in it must not occur), version
 * ranges (narrowed to those of this kafka-clients), a throttle time (may only be raised). What has none of these
 * must not have changed at all. The tail of a Fetch and of a ShareFetch keeps its length: if it names nodes, the messages
 * must be equal, but for a padding tag; and if there is no room for the nodes, they may be left out.
 * Prints a line "FAILED ..." for each other difference, and at the end what was compared.
 */
public final class WireDiff {
    private static final int PADDING_SHORT = 127, PADDING_LONG = 16383;
    private static final int UNSUPPORTED_VERSION = 35, REBOOTSTRAP_REQUIRED = 129;
    private static final int PRODUCE_MIN = 0; /* what brokers advertise, though they serve from 3 on (KAFKA-18659) */

    private final Map<String, String> addresses = new HashMap<>();
    private final Map<String, Integer> counts = new TreeMap<>();
    private int changed;

    private WireDiff(List<String> map) {
        for (String entry : map) {
            String[] ends = entry.split("=");
            addresses.put(ends[0], ends[1]);
        }
    }

    private static final class Difference extends Exception {
        Difference(String what) {
            super(what);
        }
    }

    // --- what is meant to change -------------------------------------------------------------------------------

    private interface SetHost {
        Object to(String host);
    }

    private interface SetPort {
        Object to(int port);
    }

    /** True if somebody stands there, and is elsewhere for the client. */
    private boolean move(String host, int port, SetHost setHost, SetPort setPort) throws Difference {
        if (host.isEmpty() || port < 0) {
            return false; /* an error entry */
        }
        String there = addresses.get(host + ":" + port);
        if (there == null) {
            throw new Difference("the broker sent an address that is not its own: " + host + ":" + port);
        }
        setHost.to(there.substring(0, there.lastIndexOf(':')));
        setPort.to(Integer.parseInt(there.substring(there.lastIndexOf(':') + 1)));
        return true;
    }

    private static void clamp(ApiVersionsResponseData data) {
        for (var entry : data.apiKeys()) {
            boolean known = ApiKeys.hasId(entry.apiKey())
                && ApiKeys.brokerApis().contains(ApiKeys.forId(entry.apiKey()));
            if (!known) {
                entry.setMinVersion((short) 1).setMaxVersion((short) 0);
                continue;
            }
            ApiMessageType type = ApiKeys.forId(entry.apiKey()).messageType;
            int least = type == ApiMessageType.PRODUCE ? PRODUCE_MIN : type.lowestSupportedVersion();
            entry.setMinVersion((short) Math.max(entry.minVersion(), least));
            entry.setMaxVersion((short) Math.min(entry.maxVersion(), type.highestSupportedVersion(true)));
        }
        data.apiKeys().removeIf(entry -> entry.minVersion() > entry.maxVersion());
    }

    /** Makes of what the broker sent what the client is to get; `got` is what it did get. True if anything changes. */
    private boolean change(ApiMessage sent, ApiMessage got, short version) throws Difference {
        boolean moved = false;
        if (sent instanceof MetadataResponseData) {
            MetadataResponseData data = (MetadataResponseData) sent;
            if (data.errorCode() == REBOOTSTRAP_REQUIRED) {
                throw new Difference("REBOOTSTRAP_REQUIRED");
            }
            for (var n : data.brokers()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
        } else if (sent instanceof FindCoordinatorResponseData) {
            FindCoordinatorResponseData data = (FindCoordinatorResponseData) sent;
            if (version < 4) {
                moved = move(data.host(), data.port(), data::setHost, data::setPort);
            }
            for (var n : data.coordinators()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
        } else if (sent instanceof DescribeClusterResponseData) {
            for (var n : ((DescribeClusterResponseData) sent).brokers()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
        } else if (sent instanceof ProduceResponseData) {
            ProduceResponseData data = (ProduceResponseData) sent;
            for (var n : data.nodeEndpoints()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
            int throttled = ((ProduceResponseData) got).throttleTimeMs();
            moved |= throttled > data.throttleTimeMs();
            data.setThrottleTimeMs(Math.max(data.throttleTimeMs(), throttled));
        } else if (sent instanceof FetchResponseData) {
            for (var n : ((FetchResponseData) sent).nodeEndpoints()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
        } else if (sent instanceof ShareFetchResponseData) {
            for (var n : ((ShareFetchResponseData) sent).nodeEndpoints()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
        } else if (sent instanceof ShareAcknowledgeResponseData) {
            for (var n : ((ShareAcknowledgeResponseData) sent).nodeEndpoints()) {
                moved |= move(n.host(), n.port(), n::setHost, n::setPort);
            }
        } else if (sent instanceof ApiVersionsResponseData) {
            Object before = sent.duplicate();
            clamp((ApiVersionsResponseData) sent);
            moved = !sent.equals(before);
        }
        return moved;
    }

    private static void withoutEndpoints(ApiMessage message) {
        if (message instanceof FetchResponseData) {
            ((FetchResponseData) message).nodeEndpoints().clear();
        } else {
            ((ShareFetchResponseData) message).nodeEndpoints().clear();
        }
    }

    // --- one answer --------------------------------------------------------------------------------------------

    private static ApiMessage read(ApiMessageType type, short version, ByteBuffer frame) throws Difference {
        ApiMessage message = type.newResponse();
        try {
            message.read(new ByteBufferAccessor(frame), version);
        } catch (RuntimeException e) {
            throw new Difference("cannot be decoded: " + e);
        }
        if (frame.hasRemaining()) {
            throw new Difference(frame.remaining() + " bytes follow the message");
        }
        return message;
    }

    /** The body of a frame, behind the header, which is checked to be the same in both. */
    private static ByteBuffer body(byte[] frame, int headerVersion) throws Difference {
        ByteBuffer buffer = ByteBuffer.wrap(frame);
        if (buffer.getInt() != frame.length - 4) {
            throw new Difference("the length prefix is not the frame's");
        }
        buffer.getInt();
        if (headerVersion > 0 && buffer.get() != 0) {
            throw new Difference("the header has tags, which no broker sends");
        }
        return buffer;
    }

    private static boolean endsInTail(ApiMessageType type) {
        return type == ApiMessageType.FETCH || type == ApiMessageType.SHARE_FETCH;
    }

    private void compare(short api, short version, byte[] before, byte[] after) throws Difference {
        ApiMessageType type = ApiMessageType.fromApiKey(api);
        int headerVersion = type.responseHeaderVersion(version);
        ByteBuffer was = body(before, headerVersion), became = body(after, headerVersion);
        if (type == ApiMessageType.API_VERSIONS && was.getShort(was.position()) == UNSUPPORTED_VERSION) {
            version = 0; /* a refusal has the layout of version 0 (KIP-511) */
        }
        int head = was.position();
        if (!Arrays.equals(before, 4, head, after, 4, head)) {
            throw new Difference("the header differs");
        }
        ApiMessage sent = read(type, version, was), got = read(type, version, became);
        boolean moves = change(sent, got, version);
        if (endsInTail(type) && moves) {
            compareTails(sent, got, version, before.length - head, after.length - head);
            return;
        }
        byte[] wanted = moves ? bytes(sent, version) : Arrays.copyOfRange(before, head, before.length);
        if (!Arrays.equals(wanted, 0, wanted.length, after, head, after.length)) {
            throw new Difference(sent.equals(got) ? "the same fields in other bytes" : first(sent, got));
        }
    }

    private static byte[] bytes(ApiMessage message, short version) {
        return MessageUtil.byteBufferToArray(MessageUtil.toByteBufferAccessor(message, version).buffer());
    }

    private static void compareTails(ApiMessage sent, ApiMessage got, short version, int before, int after)
            throws Difference {
        if (before != after) {
            throw new Difference("the length went from " + before + " to " + after);
        }
        got.unknownTaggedFields().removeIf(tag -> tag.tag() == PADDING_SHORT || tag.tag() == PADDING_LONG);
        if (!got.equals(sent)) {
            String difference = first(sent, got);
            int wanted = bytes(sent, version).length;
            withoutEndpoints(sent);
            boolean fits = wanted <= before && wanted != before - 1; /* the least padding is of two bytes */
            if (fits || !got.equals(sent)) {
                throw new Difference(difference);
            }
        }
    }

    /** Where two messages begin to differ, as Kafka prints them. */
    private static String first(ApiMessage wanted, ApiMessage got) {
        String one = wanted.toString(), other = got.toString();
        int at = 0;
        while (at < Math.min(one.length(), other.length()) && one.charAt(at) == other.charAt(at)) {
            at++;
        }
        int from = Math.max(0, at - 80);
        return "wanted ..." + one.substring(from, Math.min(one.length(), at + 60)) + "... got ..."
            + other.substring(from, Math.min(other.length(), at + 60)) + "...";
    }

    // --- all of them -------------------------------------------------------------------------------------------

    private boolean run(DataInputStream in) throws IOException {
        boolean good = true;
        for (;;) {
            short api;
            try {
                api = in.readShort();
            } catch (EOFException end) {
                break;
            }
            short version = in.readShort();
            byte[] before = new byte[in.readInt()], after = new byte[in.readInt()];
            in.readFully(before);
            in.readFully(after);
            String name = ApiMessageType.fromApiKey(api).name + " v" + version;
            counts.merge(name, 1, Integer::sum);
            changed += Arrays.equals(before, after) ? 0 : 1;
            try {
                compare(api, version, before, after);
            } catch (Difference difference) {
                good = false;
                System.out.println("FAILED " + name + ": " + difference.getMessage());
            }
        }
        System.out.println("decoded " + counts.values().stream().mapToInt(count -> count).sum() + " answers, "
            + changed + " of them changed: " + counts);
        return good;
    }

    // --- can it fail? ------------------------------------------------------------------------------------------

    private static byte[] frame(ApiMessage message, short version) {
        ApiMessageType type = ApiMessageType.fromApiKey(message.apiKey());
        byte[] body = bytes(message, version);
        int head = 8 + type.responseHeaderVersion(version);
        return ByteBuffer.allocate(head + body.length).putInt(head - 4 + body.length).putInt(42).position(head)
            .put(body).array();
    }

    private boolean finds(ApiMessage sent, short version, byte[] after) {
        try {
            compare(sent.apiKey(), version, frame(sent, version), after);
            return false;
        } catch (Difference difference) {
            return true;
        }
    }

    /** What should pass does, and with any other bit in it does not. */
    private void tryEveryBit(ApiMessage sent, ApiMessage meant, int version) {
        byte[] after = frame(meant, (short) version);
        String name = ApiMessageType.fromApiKey(sent.apiKey()).name + " v" + version;
        if (finds(sent, (short) version, after)) {
            throw new AssertionError(name + ": finds a difference where there is none");
        }
        for (int bit = 0; bit < 8 * after.length; bit++) {
            after[bit / 8] ^= (byte) (1 << bit % 8);
            if (!finds(sent, (short) version, after)) {
                throw new AssertionError(name + ": does not find bit " + bit + " changed");
            }
            after[bit / 8] ^= (byte) (1 << bit % 8);
        }
        counts.merge(name, 8 * after.length, Integer::sum);
    }

    private static MetadataResponseData metadata(String host, int port) {
        MetadataResponseData data = new MetadataResponseData().setClusterId("here");
        data.brokers().add(new MetadataResponseData.MetadataResponseBroker().setNodeId(1).setHost(host).setPort(port));
        return data;
    }

    private static FetchResponseData fetch(String host, int port) {
        FetchResponseData data = new FetchResponseData().setSessionId(7);
        data.nodeEndpoints().add(new FetchResponseData.NodeEndpoint().setNodeId(1).setHost(host).setPort(port));
        return data;
    }

    private static ApiVersionsResponseData versions(int from, int to) {
        ApiVersionsResponseData data = new ApiVersionsResponseData();
        data.apiKeys().add(new ApiVersionsResponseData.ApiVersion().setApiKey(ApiMessageType.FETCH.apiKey())
            .setMinVersion((short) from).setMaxVersion((short) to));
        return data;
    }

    private static void selfTest() {
        WireDiff diff = new WireDiff(List.of("broker:9092=proxy:19092"));
        diff.tryEveryBit(metadata("broker", 9092), metadata("proxy", 19092), 5);
        diff.tryEveryBit(metadata("broker", 9092), metadata("proxy", 19092), 12);
        diff.tryEveryBit(new FetchResponseData().setSessionId(7), new FetchResponseData().setSessionId(7), 17);
        diff.tryEveryBit(versions(0, 99), versions(ApiKeys.FETCH.oldestVersion(), ApiKeys.FETCH.latestVersion()), 3);
        if (!diff.finds(fetch("broker", 9092), (short) 17, frame(fetch("broker", 9092), (short) 17))
                || !diff.finds(metadata("other", 9092), (short) 12, frame(metadata("other", 9092), (short) 12))) {
            throw new AssertionError("does not find an address that leaks");
        }
        System.out.println("ok: every changed bit is found: " + diff.counts);
    }

    public static void main(String[] args) throws IOException {
        if (args.length == 1 && args[0].equals("--self-test")) {
            selfTest();
            return;
        }
        WireDiff diff = new WireDiff(Arrays.asList(args).subList(1, args.length));
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(args[0])))) {
            System.exit(diff.run(in) ? 0 : 1);
        }
    }
}
