import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.utils.AppInfoParser;

/** What only kafka-clients 2.x says so, and what it does not have. */
final class Library {
    private Library() {
    }

    static String version() {
        return AppInfoParser.getVersion();
    }

    static TopicDescription describe(Admin admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).all().get().get(topic);
    }

    static Set<String> groups(Admin admin) throws Exception {
        return admin.listConsumerGroups().all().get().stream().map(ConsumerGroupListing::groupId).collect(Collectors.toSet());
    }

    static String[] groupConsumer() throws Driver.Absent {
        throw new Driver.Absent("no group.protocol (KIP-848)");
    }

    static String share(Exercises exercises, String exercise) throws Driver.Absent {
        throw new Driver.Absent("no share consumer");
    }

    static String streams(Exercises exercises, String exercise) throws Driver.Absent {
        throw new Driver.Absent("Kafka Streams is exercised with 4.x");
    }
}
