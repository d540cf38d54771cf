import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.TopicPartition;

/** Two members of a group: one reads, a second joins and takes partitions over, and gives them back. */
final class Groups {
    private static final int ROUND = 150;
    private final Exercises exercises;
    private final Set<String> seen = new HashSet<>();

    Groups(Exercises exercises) {
        this.exercises = exercises;
    }

    private void poll(Consumer<byte[], byte[]> member) {
        member.poll(Duration.ofMillis(50)).forEach(record -> seen.add(record.partition() + "@" + record.offset()));
    }

    private static boolean shared(Consumer<byte[], byte[]> one, Consumer<byte[], byte[]> other) {
        Set<TopicPartition> both = new HashSet<>(one.assignment());
        both.addAll(other.assignment());
        return both.size() == Exercises.PARTITIONS && !one.assignment().isEmpty() && !other.assignment().isEmpty()
            && one.assignment().size() + other.assignment().size() == Exercises.PARTITIONS;
    }

    private static boolean has(Consumer<byte[], byte[]> member, int partitions) {
        return member.assignment().size() == partitions;
    }

    String rebalance(String exercise, String... more) throws Exception {
        String topic = exercises.topic(exercise);
        String[] settings = java.util.Arrays.copyOf(more, more.length + 2);
        settings[more.length] = "group.id";
        settings[more.length + 1] = topic;
        try (Producer<byte[], byte[]> producer = exercises.producer(exercise);
                Consumer<byte[], byte[]> first = exercises.consumer(exercise, "first", settings)) {
            Exercises.send(producer, exercises.records(topic, ROUND, 100));
            first.subscribe(List.of(topic));
            while (!has(first, Exercises.PARTITIONS) || seen.size() < ROUND) {
                poll(first);
            }
            first.commitSync();
            try (Consumer<byte[], byte[]> second = exercises.consumer(exercise, "second", settings)) {
                second.subscribe(List.of(topic));
                while (!shared(first, second)) {
                    poll(first);
                    poll(second);
                }
                Exercises.send(producer, exercises.records(topic, ROUND, 100));
                while (seen.size() < 2 * ROUND) {
                    poll(first);
                    poll(second);
                }
                first.commitSync();
                second.commitSync();
            }
            while (!has(first, Exercises.PARTITIONS)) {
                poll(first);
            }
            Exercises.send(producer, exercises.records(topic, ROUND, 100));
            while (seen.size() < 3 * ROUND) {
                poll(first);
            }
            first.commitSync();
            long committed = first.committed(new HashSet<>(Exercises.partitions(topic))).values().stream()
                .mapToLong(offset -> offset.offset()).sum();
            Exercises.expect(committed == 3 * ROUND, "committed " + committed + " of " + 3 * ROUND);
        }
        return 3 * ROUND + " records, a member joined and left";
    }
}
