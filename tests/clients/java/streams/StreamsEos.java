import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with exactly_once_v2 counts words. Every word must have been counted 1, 2, 3 ... without a gap and
 * without a repetition, as a reader of committed records sees it.
 */
public final class StreamsEos {
    private static final String EXERCISE = "streams_eos";
    private static final int WORDS = 10, TIMES = 30, DEADLINE_S = 50;

    private StreamsEos() {
    }

    private static KafkaStreams counter(Exercises exercises) throws Exception {
        Properties p = exercises.properties(EXERCISE, "streams", "application.id", exercises.topic(EXERCISE),
            "processing.guarantee", "exactly_once_v2", "replication.factor", "1", "commit.interval.ms", "100",
            "statestore.cache.max.bytes", "0", "auto.offset.reset", "earliest",
            "state.dir", java.nio.file.Files.createTempDirectory("penstock-streams-").toString());
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(exercises.topic(EXERCISE), Consumed.with(Serdes.ByteArray(), Serdes.String()))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(Serdes.String()))
            .toStream().mapValues(String::valueOf)
            .to(exercises.topic(EXERCISE) + "-out", Produced.with(Serdes.String(), Serdes.String()));
        return new KafkaStreams(builder.build(), p);
    }

    private static Map<String, List<String>> counted(Exercises exercises) {
        Map<String, List<String>> counts = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : exercises.readAll(EXERCISE + "-out", WORDS * TIMES)) {
            counts.computeIfAbsent(new String(record.key()), word -> new ArrayList<>())
                .add(new String(record.value()));
        }
        return counts;
    }

    private static String run(Exercises exercises) throws Exception {
        List<ProducerRecord<byte[], byte[]>> words = new ArrayList<>();
        for (int i = 0; i < WORDS * TIMES; i++) {
            words.add(new ProducerRecord<>(exercises.topic(EXERCISE), i % Exercises.PARTITIONS, null,
                ("word-" + i % WORDS).getBytes()));
        }
        try (Producer<byte[], byte[]> producer = exercises.producer(EXERCISE)) {
            Exercises.send(producer, words);
        }
        KafkaStreams streams = counter(exercises);
        streams.start();
        Map<String, List<String>> counts;
        try {
            counts = counted(exercises);
        } finally {
            streams.close(Duration.ofSeconds(10));
        }
        List<String> wanted = java.util.stream.IntStream.rangeClosed(1, TIMES).mapToObj(String::valueOf)
            .collect(Collectors.toList());
        counts.forEach((word, got) -> Exercises.expect(got.equals(wanted), word + " was counted " + got));
        Exercises.expect(counts.size() == WORDS, counts.size() + " words");
        return WORDS * TIMES + " words counted, kafka-streams "
            + org.apache.kafka.streams.internals.metrics.ClientMetrics.version();
    }

    public static void main(String[] args) throws Exception {
        Thread watchdog = new Thread(() -> {
            try {
                Thread.sleep(DEADLINE_S * 1000);
            } catch (InterruptedException e) {
                return;
            }
            System.out.println("timeout");
            System.out.flush();
            Runtime.getRuntime().halt(1);
        });
        watchdog.setDaemon(true);
        watchdog.start();
        try {
            System.out.println(run(new Exercises(args[0], args[1])));
        } catch (Exception e) {
            e.printStackTrace();
            System.out.println(e);
            System.exit(1);
        }
        System.exit(0);
    }
}
