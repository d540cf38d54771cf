import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.message.ProduceResponseData.PartitionProduceResponse;
import org.apache.kafka.common.message.ProduceResponseData.TopicProduceResponse;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.SimpleRecord;

/**
 * Asks Kafka's own classes whether parts of a Produce are left out, changed, stripped of their idempotence and answered
 * as they should be (include/penstock/parcel.h, batch.h). Requests and brokers' responses are random; what is sent and
 * told must be byte for byte what Kafka's classes write after the same change, and they must read it too; a stripped
 * batch must be valid to them, with the same records. A part of WireCheck.
 */
final class ParcelCheck {
    private static final int PARCEL = 4;
    private static final int ROUNDS = 60; /* of each version */
    private static final int BATCHES = 6; /* made anew for a request: that is what takes Kafka's classes long */
    private static final int PASS = 1;
    private static final int CHANGE = 2;
    private static final int ANSWER = 3;
    private static final int STRIP = 4;
    private static final String[] FAILURES = {"", "question", "header", "", "", "", "", "", "", "partitions", "strip",
        "merge"};

    private final ApiMessageType type = ApiMessageType.PRODUCE;
    private final WireMessages make;
    private final Random random;
    private final short version;
    private final List<TopicProduceResponse> ours = new ArrayList<>();
    private final DataOutputStream plan;
    private final ByteArrayOutputStream plans = new ByteArrayOutputStream();
    private final MemoryRecords put;
    private int batches = BATCHES;
    private ProduceRequestData wanted;
    private final int[] fates = new int[STRIP + 1];

    private ParcelCheck(WireMessages make, short version) {
        this.make = make;
        this.random = make.random;
        this.version = version;
        this.plan = new DataOutputStream(plans);
        this.put = batch(-1, -1, -1);
    }

    /** only: null, or the one to be asked about, such as Parcel.9.3. */
    static void run(String tool, long seed, String only) throws IOException {
        Process process = new ProcessBuilder(tool).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        DataOutputStream to = new DataOutputStream(new BufferedOutputStream(process.getOutputStream(), 1 << 16));
        DataInputStream from = new DataInputStream(new BufferedInputStream(process.getInputStream(), 1 << 16));
        int asked = 0;
        int[] fates = new int[STRIP + 1];
        ApiMessageType type = ApiMessageType.PRODUCE;
        for (short version = type.lowestSupportedVersion(); version <= type.highestSupportedVersion(true); version++) {
            for (int round = 0; round < ROUNDS; round++) {
                String name = "Parcel." + version + "." + round;
                if (version < 3 || (only != null && !only.equals(name))) {
                    continue;
                }
                WireMessages.Kind kind = round % 4 == 1 ? WireMessages.Kind.EXTREME : WireMessages.Kind.RANDOM;
                ParcelCheck one =
                    new ParcelCheck(new WireMessages(seed * 1000003L + name.hashCode(), kind), version);
                try {
                    one.check(to, from);
                } catch (Throwable failure) {
                    System.out.println("FAILED: " + name + ", seed " + seed
                        + "; to see it alone: tests/scripts/kafka_check.sh WireCheck TOOL JARS " + seed + " " + name);
                    failure.printStackTrace(System.out);
                    System.out.flush();
                    Runtime.getRuntime().halt(1);
                }
                asked++;
                Arrays.setAll(fates, fate -> fates[fate] + one.fates[fate]);
            }
        }
        to.close();
        System.out.printf("%d Produce requests sent in part; of their partitions %d passed, %d had other records,%n"
            + "    %d were answered by us, %d stripped of their idempotence%n", asked, fates[PASS], fates[CHANGE],
            fates[ANSWER], fates[STRIP]);
    }

    private void check(DataOutputStream to, DataInputStream from) throws IOException {
        RequestHeaderData header = make.requestHeader((short) 0, version, random.nextInt(),
            type.requestHeaderVersion(version) >= 2);
        byte[] requestHead = WireMessages.bytes(header, type.requestHeaderVersion(version));
        ResponseHeaderData responseHeader =
            make.responseHeader(header.correlationId(), type.responseHeaderVersion(version) >= 1);
        byte[] responseHead = WireMessages.bytes(responseHeader, type.responseHeaderVersion(version));
        ProduceRequestData request = request();
        wanted = new ProduceRequestData(); /* Kafka's own copies forget unknown tagged fields */
        wanted.read(new ByteBufferAccessor(ByteBuffer.wrap(WireMessages.bytes(request, version))), version);
        int partitions = decide();
        byte[] sent = frame(requestHead, request);
        ProduceResponseData response = response(request);
        byte[] answered = frame(responseHead, response);
        int throttleTimeMs = random.nextInt(1000);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream question = new DataOutputStream(bytes);
        question.writeInt(sent.length);
        question.write(sent);
        question.writeInt(answered.length);
        question.write(answered);
        question.writeInt(throttleTimeMs);
        question.writeInt(partitions);
        plans.writeTo(question);
        to.writeByte(PARCEL);
        to.writeShort(0);
        to.writeShort(version);
        to.writeInt(0);
        to.writeInt(bytes.size());
        bytes.writeTo(to);
        to.flush();
        int status = from.readUnsignedByte();
        byte[] answer = new byte[from.readInt()];
        from.readFully(answer);
        expect(status == 0, status < FAILURES.length ? FAILURES[status] : "status " + status);
        ByteBuffer in = ByteBuffer.wrap(answer);
        judgeRequest(requestHead, sized(in));
        merge(response, throttleTimeMs);
        judgeResponse(responseHead, response, sized(in));
        expect(!in.hasRemaining(), "more was said");
    }

    // --- the question ------------------------------------------------------------------------------------------

    private ProduceRequestData request() {
        ProduceRequestData data = (ProduceRequestData) make.message(type.requestSchemas()[version],
            type.newRequest(), version);
        for (TopicProduceData topic : data.topicData()) {
            for (PartitionProduceData partition : topic.partitionData()) {
                if (random.nextInt(3) == 0 && batches-- > 0) {
                    partition.setRecords(batch(random.nextInt(100000), random.nextInt(100), random.nextInt()
                        & Integer.MAX_VALUE));
                }
            }
        }
        return data;
    }

    private MemoryRecords batch(long producerId, int epoch, int sequence) {
        SimpleRecord[] records = new SimpleRecord[1 + random.nextInt(20)];
        for (int i = 0; i < records.length; i++) {
            records[i] = new SimpleRecord(random.nextInt(1 << 30), new byte[random.nextInt(9)],
                new byte[random.nextInt(make.chance(10) ? 20000 : 100)]);
        }
        CompressionType codec = CompressionType.values()[random.nextInt(CompressionType.values().length)];
        return MemoryRecords.withIdempotentRecords(Compression.of(codec).build(), producerId, (short) epoch, sequence,
            records);
    }

    /** Chooses what becomes of each partition, and does the same to what is wanted. */
    private int decide() throws IOException {
        int partitions = 0;
        for (Iterator<TopicProduceData> topics = wanted.topicData().iterator(); topics.hasNext(); ) {
            TopicProduceData topic = topics.next();
            TopicProduceResponse answer =
                new TopicProduceResponse().setName(topic.name()).setTopicId(topic.topicId());
            partitions += topic.partitionData().size();
            for (Iterator<PartitionProduceData> each = topic.partitionData().iterator(); each.hasNext(); ) {
                if (decide(each.next(), answer) == ANSWER) {
                    each.remove();
                }
            }
            if (!answer.partitionResponses().isEmpty()) {
                ours.add(answer);
                if (topic.partitionData().isEmpty()) {
                    topics.remove();
                }
            }
        }
        return partitions;
    }

    private int decide(PartitionProduceData partition, TopicProduceResponse answer) throws IOException {
        int fate = PASS + random.nextInt(ANSWER);
        if (fate == PASS && isIdempotent(partition)) {
            fate = STRIP;
        }
        Errors error = Errors.values()[random.nextInt(Errors.values().length)];
        String text = make.chance(3) ? null : make.chance(4) ? "\u20ac" : "x".repeat(random.nextInt(300));
        byte[] bytes = text == null ? new byte[0] : text.getBytes(StandardCharsets.UTF_8);
        byte[] records = fate == CHANGE ? contents(put) : new byte[0];
        fates[fate]++;
        plan.writeByte(fate);
        plan.writeShort(error.code());
        plan.writeShort(text == null ? -1 : bytes.length);
        plan.write(bytes);
        plan.writeInt(records.length);
        plan.write(records);
        if (fate == ANSWER) {
            answer.partitionResponses().add(new PartitionProduceResponse().setIndex(partition.index())
                .setErrorCode(error.code()).setErrorMessage(text).setBaseOffset(-1).setLogAppendTimeMs(-1)
                .setLogStartOffset(-1));
        } else if (fate == CHANGE) {
            partition.setRecords(put);
        }
        return fate;
    }

    private static boolean isIdempotent(PartitionProduceData partition) {
        MemoryRecords records = (MemoryRecords) partition.records();
        if (records == null || records.sizeInBytes() < 61 || contents(records)[16] != 2) {
            return false;
        }
        try {
            Iterator<MutableRecordBatch> batches = records.batches().iterator();
            return batches.hasNext() && batches.next().hasProducerId() && !batches.hasNext();
        } catch (RuntimeException noBatch) {
            return false;
        }
    }

    /** Any response, some of whose topics are those of the request. */
    private ProduceResponseData response(ProduceRequestData request) {
        ProduceResponseData data = (ProduceResponseData) make.message(type.responseSchemas()[version],
            type.newResponse(), version);
        List<TopicProduceData> topics = new ArrayList<>(request.topicData());
        List<TopicProduceResponse> answers = new ArrayList<>();
        for (Iterator<TopicProduceResponse> each = data.responses().iterator(); each.hasNext(); each.remove()) {
            answers.add(each.next());
        }
        for (TopicProduceResponse topic : answers) {
            if (!topics.isEmpty() && random.nextInt(4) > 0) {
                TopicProduceData name = topics.get(random.nextInt(topics.size()));
                topic.setName(name.name()).setTopicId(name.topicId());
            }
            data.responses().mustAdd(topic);
        }
        return data;
    }

    // --- what is wanted ----------------------------------------------------------------------------------------

    private byte[] key(TopicProduceResponse topic) {
        if (version < 13) {
            return topic.name().getBytes(StandardCharsets.UTF_8);
        }
        Uuid id = topic.topicId();
        return ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits())
            .array();
    }

    /** Each of ours in the first entry with its name; or in entries behind, in the order of names. */
    private void merge(ProduceResponseData response, int throttleTimeMs) {
        Map<ByteBuffer, TopicProduceResponse> first = new LinkedHashMap<>();
        response.responses().forEach(topic -> first.putIfAbsent(ByteBuffer.wrap(key(topic)), topic));
        ours.sort((a, b) -> Arrays.compareUnsigned(key(a), key(b)));
        List<TopicProduceResponse> behind = new ArrayList<>();
        for (TopicProduceResponse topic : ours) {
            TopicProduceResponse there = first.get(ByteBuffer.wrap(key(topic)));
            if (there == null) {
                behind.add(topic);
            } else {
                there.partitionResponses().addAll(topic.partitionResponses());
            }
        }
        behind.forEach(response.responses()::mustAdd);
        response.setThrottleTimeMs(Math.max(response.throttleTimeMs(), throttleTimeMs));
    }

    // --- judging -----------------------------------------------------------------------------------------------

    private void judgeRequest(byte[] head, byte[] sent) {
        ProduceRequestData got = (ProduceRequestData) read(head, sent, type.newRequest());
        Iterator<TopicProduceData> topics = got.topicData().iterator();
        for (TopicProduceData want : wanted.topicData()) {
            expect(topics.hasNext(), "topics are missing");
            Iterator<PartitionProduceData> partitions = topics.next().partitionData().iterator();
            for (PartitionProduceData partition : want.partitionData()) {
                expect(partitions.hasNext(), "partitions are missing");
                PartitionProduceData is = partitions.next();
                if (isIdempotent(partition)) {
                    judgeStripped((MemoryRecords) partition.records(), (MemoryRecords) is.records());
                    partition.setRecords(is.records());
                }
            }
        }
        expectSame(frame(head, wanted), sent, "sent");
    }

    /** The same batch, valid, without its idempotence. */
    private static void judgeStripped(MemoryRecords was, MemoryRecords is) {
        MutableRecordBatch before = was.batches().iterator().next();
        MutableRecordBatch after = is.batches().iterator().next();
        after.ensureValid();
        expect(after.producerId() == -1 && after.producerEpoch() == -1 && after.baseSequence() == -1, "idempotent");
        expect(before.checksum() != after.checksum(), "checksum");
        byte[] a = contents(was);
        byte[] b = contents(is);
        Arrays.fill(a, 17, 21, (byte) 0);
        Arrays.fill(b, 17, 21, (byte) 0);
        Arrays.fill(a, 43, 57, (byte) -1);
        expectSame(a, b, "stripped");
        Iterator<Record> records = after.iterator();
        for (Record record : before) {
            Record other = records.next();
            expect(record.offset() == other.offset() && record.timestamp() == other.timestamp()
                && record.key().equals(other.key()) && record.value().equals(other.value()), "record");
        }
        expect(!records.hasNext(), "records");
    }

    private void judgeResponse(byte[] head, ProduceResponseData want, byte[] told) {
        read(head, told, type.newResponse());
        expectSame(frame(head, want), told, "told");
    }

    private ApiMessage read(byte[] head, byte[] frame, ApiMessage message) {
        ByteBuffer in = ByteBuffer.wrap(frame);
        expect(in.getInt() == frame.length - 4, "size");
        in.position(4 + head.length);
        message.read(new ByteBufferAccessor(in), version);
        expect(!in.hasRemaining(), "end");
        return message;
    }

    // --- bytes -------------------------------------------------------------------------------------------------

    private byte[] frame(byte[] head, ApiMessage message) {
        byte[] body = WireMessages.bytes(message, version);
        return ByteBuffer.allocate(4 + head.length + body.length).putInt(head.length + body.length).put(head).put(body)
            .array();
    }

    private static byte[] contents(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private static byte[] sized(ByteBuffer in) {
        byte[] bytes = new byte[in.getInt()];
        in.get(bytes);
        return bytes;
    }

    private static void expect(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    private static void expectSame(byte[] want, byte[] got, String what) {
        int at = Arrays.mismatch(want, got);
        if (at >= 0) {
            int from = Math.max(at - 40, 0);
            throw new AssertionError(what + ": differs at " + at + " of " + want.length + " bytes, of which "
                + got.length + " came; from " + from + ":\n"
                + HexFormat.of().formatHex(want, from, Math.min(want.length, from + 200)) + "\ninstead of\n"
                + HexFormat.of().formatHex(got, from, Math.min(got.length, from + 200)));
        }
    }
}
