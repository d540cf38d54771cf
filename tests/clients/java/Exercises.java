import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What is produced, plainly or in a transaction, is read back and compared, record by record. */
final class Exercises {
    static final int PARTITIONS = 3;
    private static final int RECORDS = 300, COMPRESSED = 200, LARGE = 20 << 20, LARGEST = 32 << 20;
    final String bootstrap, prefix;
    private final Random random = new Random(1);

    Exercises(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
    }

    static void expect(boolean condition, String otherwise) {
        if (!condition) {
            throw new IllegalStateException(otherwise);
        }
    }

    // --- clients -------------------------------------------------------------------------------------------------

    String topic(String exercise) {
        return prefix + "-" + exercise;
    }

    Properties properties(String exercise, String role, String... more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("client.id", prefix + "-" + exercise + "-" + role);
        for (int i = 0; i < more.length; i += 2) {
            p.put(more[i], more[i + 1]);
        }
        return p;
    }

    Producer<byte[], byte[]> producer(String exercise, String... more) {
        Properties p = properties(exercise, "producer", more);
        p.put("max.request.size", LARGEST);
        p.put("buffer.memory", 2 * LARGEST);
        p.put("linger.ms", "5");
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    Consumer<byte[], byte[]> consumer(String exercise, String role, String... more) {
        Properties p = properties(exercise, role, more);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("max.partition.fetch.bytes", LARGEST);
        p.put("fetch.max.bytes", LARGEST);
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    // --- records -------------------------------------------------------------------------------------------------

    /** Records of random bytes over all partitions, some without a key, each with a header. */
    List<ProducerRecord<byte[], byte[]>> records(String topic, int count, int size) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] value = new byte[size];
            random.nextBytes(value);
            byte[] key = i % 5 == 0 ? null : ("key-" + i).getBytes(StandardCharsets.UTF_8);
            Header header = new RecordHeader("number", new byte[] {(byte) i, (byte) (i >> 8)});
            records.add(new ProducerRecord<>(topic, i % PARTITIONS, key, value, List.of(header)));
        }
        return records;
    }

    static void send(Producer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> records)
            throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> record : records) {
            sent.add(producer.send(record));
        }
        producer.flush();
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
    }

    static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, PARTITIONS).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toList());
    }

    /** Everything up to the end of the topic as it is now. */
    List<ConsumerRecord<byte[], byte[]>> readAll(String exercise, int atLeast) {
        String topic = topic(exercise);
        List<ConsumerRecord<byte[], byte[]>> read = new ArrayList<>();
        try (Consumer<byte[], byte[]> consumer = consumer(exercise, "reader", "isolation.level", "read_committed")) {
            consumer.assign(partitions(topic));
            consumer.seekToBeginning(partitions(topic));
            while (read.size() < atLeast || !atEnd(consumer, topic)) {
                consumer.poll(Duration.ofMillis(200)).forEach(read::add);
            }
        }
        return read;
    }

    private static boolean atEnd(Consumer<byte[], byte[]> consumer, String topic) {
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions(topic));
        return ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
    }

    private static String text(byte[] key, byte[] value, Iterable<Header> headers) {
        StringBuilder all = new StringBuilder(key == null ? "null" : Arrays.toString(key));
        headers.forEach(header -> all.append(header.key()).append(Arrays.toString(header.value())));
        return all.append(value.length).append(' ').append(Arrays.hashCode(value)).toString();
    }

    /** Each record once, in the order of its partition, and nothing else. */
    void compare(List<ProducerRecord<byte[], byte[]>> sent, List<ConsumerRecord<byte[], byte[]>> read) {
        expect(sent.size() == read.size(), read.size() + " records read of " + sent.size());
        for (int partition = 0; partition < PARTITIONS; partition++) {
            int p = partition;
            List<String> wanted = sent.stream().filter(r -> r.partition() == p)
                .map(r -> text(r.key(), r.value(), r.headers())).collect(Collectors.toList());
            List<String> got = read.stream().filter(r -> r.partition() == p)
                .map(r -> text(r.key(), r.value(), r.headers())).collect(Collectors.toList());
            expect(wanted.equals(got), "partition " + p + " holds other records than were sent");
        }
    }

    // --- exercises -----------------------------------------------------------------------------------------------

    private String sendAndCompare(String exercise, List<ProducerRecord<byte[], byte[]>> records, String... more)
            throws Exception {
        try (Producer<byte[], byte[]> producer = producer(exercise, more)) {
            send(producer, records);
        }
        compare(records, readAll(exercise, records.size()));
        return records.size() + " records";
    }

    String produce(String exercise, String... more) throws Exception {
        return sendAndCompare(exercise, records(topic(exercise), RECORDS, 100), more);
    }

    String codec(String exercise, String codec) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = records(topic(exercise), COMPRESSED, 500);
        records.forEach(record -> Arrays.fill(record.value(), 20, 480, (byte) 'c'));
        return sendAndCompare(exercise, records, "compression.type", codec);
    }

    String oneByte(String exercise) throws Exception {
        return sendAndCompare(exercise, records(topic(exercise), RECORDS, 1));
    }

    String twentyMib(String exercise) throws Exception {
        sendAndCompare(exercise, records(topic(exercise), 1, LARGE));
        return LARGE + " bytes";
    }

    String commit(String exercise) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = records(topic(exercise), RECORDS, 100);
        TopicPartition first = new TopicPartition(topic(exercise), 0);
        try (Producer<byte[], byte[]> producer = producer(exercise, "transactional.id", topic(exercise));
                Consumer<byte[], byte[]> member = consumer(exercise, "member", "group.id", topic(exercise))) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, records);
            producer.sendOffsetsToTransaction(Map.of(first, new OffsetAndMetadata(7)), member.groupMetadata());
            producer.commitTransaction();
            long committed = member.committed(java.util.Set.of(first)).get(first).offset();
            expect(committed == 7, "the committed offset is " + committed);
        }
        compare(records, readAll(exercise, records.size()));
        return records.size() + " records and an offset";
    }

    String abort(String exercise) throws Exception {
        List<ProducerRecord<byte[], byte[]>> marker = records(topic(exercise), PARTITIONS, 10);
        try (Producer<byte[], byte[]> producer = producer(exercise, "transactional.id", topic(exercise))) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, records(topic(exercise), RECORDS, 100));
            producer.abortTransaction();
            producer.beginTransaction();
            send(producer, marker);
            producer.commitTransaction();
        }
        compare(marker, readAll(exercise, marker.size()));
        return RECORDS + " aborted records unseen, " + marker.size() + " committed ones seen";
    }
}
