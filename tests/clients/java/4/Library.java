import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.ShareConsumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.internals.AppInfoParser;

/** What only kafka-clients 4.x has: share groups, the consumer protocol, Kafka Streams beside it. */
final class Library {
    private static final int RECORDS = 300;

    private Library() {
    }

    static String version() {
        return AppInfoParser.getVersion();
    }

    static TopicDescription describe(Admin admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    static Set<String> groups(Admin admin) throws Exception {
        return admin.listGroups().all().get().stream().map(GroupListing::groupId).collect(Collectors.toSet());
    }

    static String[] groupConsumer() {
        return new String[] {"group.protocol", "consumer"};
    }

    private static ShareConsumer<byte[], byte[]> member(Exercises exercises, String exercise, String role) {
        Properties p = exercises.properties(exercise, role, "group.id", exercises.topic(exercise),
            "share.acknowledgement.mode", "explicit", "max.poll.records", "20");
        ShareConsumer<byte[], byte[]> member =
            new KafkaShareConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        member.subscribe(List.of(exercises.topic(exercise)));
        return member;
    }

    /** Acknowledges what it is given; returns how much that was. */
    private static int work(ShareConsumer<byte[], byte[]> member, Set<String> seen) {
        int[] count = {0};
        member.poll(Duration.ofMillis(200)).forEach(record -> {
            member.acknowledge(record);
            Exercises.expect(seen.add(record.partition() + "@" + record.offset()), "a record came twice");
            count[0]++;
        });
        member.commitSync().values().forEach(error -> error.ifPresent(e -> {
            throw e;
        }));
        return count[0];
    }

    static String share(Exercises exercises, String exercise) throws Exception {
        Set<String> seen = new HashSet<>();
        int first = 0, second = 0;
        try (Producer<byte[], byte[]> producer = exercises.producer(exercise);
                ShareConsumer<byte[], byte[]> one = member(exercises, exercise, "one");
                ShareConsumer<byte[], byte[]> other = member(exercises, exercise, "other")) {
            Exercises.send(producer, exercises.records(exercises.topic(exercise), RECORDS, 100));
            while (seen.size() < RECORDS) {
                first += work(one, seen);
                second += work(other, seen);
            }
        }
        return RECORDS + " records: " + first + " and " + second;
    }

    /** Kafka Streams brings the clients it was built with, so it runs in a process of its own (see StreamsEos). */
    static String streams(Exercises exercises, String exercise) throws Exception {
        Process process = new ProcessBuilder("java", "-Xmx256m", "-XX:+UseSerialGC", "-cp",
            System.getProperty("streams.classpath"), "StreamsEos", exercises.bootstrap, exercises.prefix)
            .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
        String said = new String(process.getInputStream().readAllBytes()).trim();
        Exercises.expect(process.waitFor() == 0, said);
        return said;
    }
}
