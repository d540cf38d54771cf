import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The life of a topic and of a group, as an administrator sees it. */
final class AdminExercise {
    private static final int RECORDS = 30;
    private final Exercises exercises;

    AdminExercise(Exercises exercises) {
        this.exercises = exercises;
    }

    /** What brokers tell each other takes a moment. */
    private interface Asked {
        boolean isSo() throws Exception;
    }

    private static void until(Asked asked) throws Exception {
        while (!isSo(asked)) {
            Thread.sleep(50);
        }
    }

    private static boolean isSo(Asked asked) throws Exception {
        try {
            return asked.isSo();
        } catch (java.util.concurrent.ExecutionException e) {
            if (e.getCause() instanceof org.apache.kafka.common.errors.RetriableException) {
                return false;
            }
            throw e;
        }
    }

    private static void configs(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config before = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        Exercises.expect(!before.get("retention.ms").value().equals("123456789"), "retention.ms was set already");
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "123456789"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
        until(() -> admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value()
            .equals("123456789"));
    }

    private void group(Admin admin, String exercise, String made) throws Exception {
        String group = exercises.topic(exercise);
        TopicPartition first = new TopicPartition(made, 0);
        try (Producer<byte[], byte[]> producer = exercises.producer(exercise);
                Consumer<byte[], byte[]> member = exercises.consumer(exercise, "member", "group.id", group)) {
            Exercises.send(producer, exercises.records(made, RECORDS, 10));
            member.assign(List.of(first));
            member.commitSync(Map.of(first, new OffsetAndMetadata(3, "noted")));
        }
        long end = admin.listOffsets(Map.of(first, OffsetSpec.latest())).all().get().get(first).offset();
        long begin = admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all().get().get(first).offset();
        Exercises.expect(begin == 0 && end == RECORDS / Exercises.PARTITIONS, "offsets " + begin + " to " + end);
        Exercises.expect(Library.groups(admin).contains(group), "the group is not listed");
        ConsumerGroupDescription described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        Exercises.expect(described.groupId().equals(group) && described.members().isEmpty(), "described " + described);
        OffsetAndMetadata committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
            .get(first);
        Exercises.expect(committed.offset() == 3 && committed.metadata().equals("noted"), "committed " + committed);
    }

    String run(String exercise) throws Exception {
        String made = exercises.topic(exercise) + "-made";
        try (Admin admin = Admin.create(exercises.properties(exercise, "admin"))) {
            admin.createTopics(List.of(new NewTopic(made, Exercises.PARTITIONS, (short) 1))).all().get();
            until(() -> admin.listTopics().names().get().contains(made));
            TopicDescription described = Library.describe(admin, made);
            Exercises.expect(described.partitions().size() == Exercises.PARTITIONS, "described " + described);
            Exercises.expect(admin.describeCluster().nodes().get().size() == 1, "not one node");
            configs(admin, made);
            group(admin, exercise, made);
            admin.deleteTopics(Set.of(made)).all().get();
            until(() -> !admin.listTopics().names().get().contains(made));
        }
        return "topic, configs, offsets, groups, cluster";
    }
}
