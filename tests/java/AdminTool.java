import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Topics, leaders and brokers for the scenarios: one JSON command per line in, one JSON answer per line out. */
public final class AdminTool {
    private static Admin admin;
    private static final Map<String, KafkaProducer<byte[], byte[]>> TRANSACTIONS = new HashMap<>();

    private AdminTool() {
    }

    private static void create(JsonNode command) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        Map<String, String> configs = new HashMap<>();
        command.get("configs").properties().forEach(entry -> configs.put(entry.getKey(), entry.getValue().asText()));
        command.get("topics").forEach(name -> topics.add(new NewTopic(name.asText(),
            command.get("partitions").asInt(), (short) command.get("replication").asInt()).configs(configs)));
        admin.createTopics(topics).all().get();
    }

    /** Clients whose ids begin like this push their producers' metrics every second (KIP-714). */
    private static void telemetry(JsonNode command) throws Exception {
        ConfigResource all = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, command.get("name").asText());
        List<AlterConfigOp> ops = new ArrayList<>();
        Map.of("interval.ms", "1000", "metrics", "org.apache.kafka.producer.",
            "match", "client_id=" + command.get("clients").asText() + ".*").forEach((key, value) ->
            ops.add(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(all, ops)).all().get();
    }

    private static List<TopicPartitionInfo> partitions(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
    }

    private static void leaders(JsonNode command, ObjectNode answer) throws Exception {
        ArrayNode leaders = answer.putArray("leaders");
        ArrayNode insync = answer.putArray("insync");
        for (TopicPartitionInfo info : partitions(command.get("topic").asText())) {
            leaders.add(info.leader() == null || info.leader().isEmpty() ? -1 : info.leader().id());
            insync.add(info.isr().size());
        }
    }

    /** Makes these brokers the preferred and then the real leaders; each must be a replica already. */
    private static void lead(JsonNode command) throws Exception {
        String topic = command.get("topic").asText();
        List<TopicPartitionInfo> infos = partitions(topic);
        Map<TopicPartition, Optional<NewPartitionReassignment>> orders = new HashMap<>();
        command.get("leaders").properties().forEach(entry -> {
            int partition = Integer.parseInt(entry.getKey());
            int leader = entry.getValue().asInt();
            List<Integer> replicas = new ArrayList<>(List.of(leader));
            infos.get(partition).replicas().stream().map(Node::id).filter(id -> id != leader).forEach(replicas::add);
            orders.put(new TopicPartition(topic, partition), Optional.of(new NewPartitionReassignment(replicas)));
        });
        admin.alterPartitionReassignments(orders).all().get();
        admin.electLeaders(ElectionType.PREFERRED, orders.keySet()).partitions().get();
    }

    /** Answers once every partition has a leader that knows it is one. */
    private static void commitZero(JsonNode command) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (JsonNode topic : command.get("topics")) {
            for (TopicPartitionInfo info : partitions(topic.asText())) {
                TopicPartition partition = new TopicPartition(topic.asText(), info.partition());
                offsets.put(partition, new OffsetAndMetadata(0));
                ends.put(partition, OffsetSpec.latest());
            }
        }
        admin.listOffsets(ends).all().get();
        admin.alterConsumerGroupOffsets(command.get("group").asText(), offsets).all().get();
    }

    /** A group that has just read to the end of these topics. Without describing them: this is asked several times a second. */
    private static void commitEnds(JsonNode command) throws Exception {
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        command.get("topics").forEach(topic -> {
            for (int partition = 0; partition < command.get("partitions").asInt(); partition++) {
                ends.put(new TopicPartition(topic.asText(), partition), OffsetSpec.latest());
            }
        });
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        admin.listOffsets(ends).all().get().forEach((partition, end) ->
            offsets.put(partition, new OffsetAndMetadata(end.offset())));
        admin.alterConsumerGroupOffsets(command.get("group").asText(), offsets).all().get();
    }

    private static void shareEarliest(JsonNode command) throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, command.get("group").asText());
        ConfigEntry earliest = new ConfigEntry("share.auto.offset.reset", "earliest");
        admin.incrementalAlterConfigs(Map.of(group, List.of(new AlterConfigOp(earliest, AlterConfigOp.OpType.SET))))
            .all().get();
    }

    /** One record for each age (seconds) in partition 0, as if it had been written so long ago; the oldest comes first. */
    private static void aged(String bootstrap, JsonNode command) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        try (KafkaProducer<byte[], byte[]> producer =
                 new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (JsonNode age : command.get("ages")) {
                long at = System.currentTimeMillis() - 1000 * age.asLong();
                producer.send(new ProducerRecord<>(command.get("topic").asText(), 0, at, null, new byte[1])).get();
            }
        }
    }

    /** One record in every partition of the topic, of a transaction that stays open until abort. */
    private static void begin(String bootstrap, JsonNode command) throws Exception {
        String topic = command.get("topic").asText();
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("transactional.id", "open-" + topic);
        KafkaProducer<byte[], byte[]> producer =
            new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
        TRANSACTIONS.put(topic, producer);
        producer.initTransactions();
        producer.beginTransaction();
        for (TopicPartitionInfo info : partitions(topic)) {
            producer.send(new ProducerRecord<>(topic, info.partition(), null, new byte[1])).get();
        }
    }

    private static void abort(JsonNode command) {
        try (KafkaProducer<byte[], byte[]> producer = TRANSACTIONS.remove(command.get("topic").asText())) {
            producer.abortTransaction();
        }
    }

    private static void obey(String bootstrap, JsonNode command, ObjectNode answer) throws Exception {
        switch (command.get("op").asText()) {
            case "create" -> create(command);
            case "delete" -> admin.deleteTopics(List.of(command.get("topic").asText())).all().get();
            case "telemetry" -> telemetry(command);
            case "leaders" -> leaders(command, answer);
            case "lead" -> lead(command);
            case "commit_zero" -> commitZero(command);
            case "commit_ends" -> commitEnds(command);
            case "aged" -> aged(bootstrap, command);
            case "begin" -> begin(bootstrap, command);
            case "abort" -> abort(command);
            case "share_earliest" -> shareEarliest(command);
            case "brokers" -> {
                ArrayNode ids = answer.putArray("brokers");
                admin.describeCluster().nodes().get().forEach(node -> ids.add(node.id()));
            }
            default -> throw new IllegalArgumentException(command.toString());
        }
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("client.id", "admin-tool");
        p.put("default.api.timeout.ms", "60000");
        p.put("request.timeout.ms", "15000");
        admin = Admin.create(p);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer = Common.JSON.createObjectNode();
            try {
                obey(args[0], Common.JSON.readTree(line), answer);
                answer.put("ok", true);
            } catch (Exception e) {
                answer.put("error", (e.getCause() == null ? e : e.getCause()).toString());
            }
            Common.report(answer);
        }
        admin.close();
    }
}
