import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLongArray;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Groups of consumers that work at a given rate, and the measuring of their true lag.
 *
 *     ConsumerLoad SPEC.json CONSUMED.bin      "drain" on its input: read all that is left at full speed, then end
 *
 * With "hold" in the specification nobody joins a group before "go" has come: a new process takes seconds to start.
 * A group's "revoke_ms" is the time that a consumer takes to give its partitions away in a rebalance.
 *
 * Work is a timetable: a consumer is done with a record only when its time has come. The true lag is sampled in this
 * process: the end offsets as the brokers tell them (never through a proxy) minus what has been worked through. A
 * group of no consumers is only watched. The position of a partition that no consumer of this process owns is -1.
 * A group with "transactional" commits its offsets in transactions, as who reads, works and writes exactly once does;
 * every third of them is aborted, so that its offsets count only with the next.
 *
 * CONSUMED.bin: per record int group (its place in the spec), int partition, long offset, int origin, long seq,
 * int age (ms).
 */
public final class ConsumerLoad {
    private static final int CHUNK_MS = 10;
    private static final CountDownLatch go = new CountDownLatch(1);
    private static volatile boolean draining;
    private static DataOutputStream consumed;

    private static final class Group {
        final JsonNode spec;
        final int index;
        final String name;
        final String topic;
        final AtomicLongArray positions;
        final Set<Integer> owned = ConcurrentHashMap.newKeySet();
        volatile long[] ends;
        volatile boolean endsFinal; // sampled after "drain" came: nothing will be added
        volatile long done;

        Group(JsonNode spec, int index) {
            this.spec = spec;
            this.index = index;
            name = spec.get("group").asText();
            topic = spec.get("topic").asText();
            int partitions = spec.get("partitions").asInt();
            positions = new AtomicLongArray(partitions);
            for (int p = 0; p < partitions; p++) {
                positions.set(p, -1);
            }
            ends = new long[partitions];
        }

        boolean assigned() {
            for (int p = 0; p < positions.length(); p++) {
                if (positions.get(p) < 0) {
                    return false;
                }
            }
            return true;
        }

        boolean finished() {
            if (!endsFinal) {
                return false;
            }
            for (int p = 0; p < positions.length(); p++) {
                if (positions.get(p) < ends[p]) {
                    return false;
                }
            }
            return true;
        }
    }

    /** One member. Its consumer belongs to this thread alone. */
    private static final class Member implements Runnable, ConsumerRebalanceListener {
        final Group group;
        final KafkaConsumer<byte[], byte[]> consumer;
        final Common.Pace pace;
        final int chunk;
        final long commitMs;
        KafkaProducer<byte[], byte[]> transactions; // null: the consumer commits by itself
        long committedAt = System.currentTimeMillis();
        int transaction;

        Member(Group group, int number, int members) {
            this.group = group;
            double rate = group.spec.get("rate").asDouble() / members;
            pace = new Common.Pace(rate);
            chunk = Math.max(1, (int) (rate * CHUNK_MS / 1000));
            Properties p = new Properties();
            long commit = group.spec.get("commit_ms").asLong();
            boolean transactional = group.spec.path("transactional").asBoolean(false);
            commitMs = commit;
            p.put("bootstrap.servers", group.spec.get("bootstrap").asText());
            p.put("client.id", group.spec.get("client_id").asText() + "-" + number);
            p.put("group.id", group.name);
            p.put("auto.offset.reset", "earliest");
            p.put("enable.auto.commit", commit > 0 && !transactional ? "true" : "false");
            if (commit > 0 && !transactional) {
                p.put("auto.commit.interval.ms", Long.toString(commit));
            }
            p.put("key.deserializer", ByteArrayDeserializer.class.getName());
            p.put("value.deserializer", ByteArrayDeserializer.class.getName());
            Common.properties(group.spec.get("props"), p);
            consumer = new KafkaConsumer<>(p);
            if (transactional) {
                transactions = transactions(group, number);
            }
            consumer.subscribe(List.of(group.topic), this);
        }

        private static KafkaProducer<byte[], byte[]> transactions(Group group, int number) {
            Properties p = new Properties();
            p.put("bootstrap.servers", group.spec.get("bootstrap").asText());
            p.put("client.id", group.spec.get("client_id").asText() + "-txn-" + number);
            p.put("transactional.id", group.name + "-" + number);
            p.put("key.serializer", ByteArraySerializer.class.getName());
            p.put("value.serializer", ByteArraySerializer.class.getName());
            KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p);
            producer.initTransactions();
            return producer;
        }

        private void commitInTransaction() {
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (TopicPartition partition : consumer.assignment()) {
                offsets.put(partition, new OffsetAndMetadata(consumer.position(partition)));
            }
            committedAt = System.currentTimeMillis();
            if (offsets.isEmpty()) {
                return;
            }
            transactions.beginTransaction();
            transactions.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            if (++transaction % 3 == 0 && !draining) {
                transactions.abortTransaction();
            } else {
                transactions.commitTransaction();
            }
        }

        @Override
        public void run() {
            try {
                while (!group.finished()) {
                    work();
                }
                if (transactions != null) {
                    commitInTransaction();
                    transactions.close();
                }
                consumer.close();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            } catch (Exception e) {
                ObjectNode line = Common.JSON.createObjectNode();
                Common.report(line.put("error", e.toString()).put("group", group.name));
            }
        }

        private void work() throws InterruptedException, IOException {
            if (draining) {
                pace.set(0);
            }
            synchronized (consumed) {
                consumed.flush(); // before poll() may commit: this process may be killed
            }
            int unpaid = 0;
            ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
            if (records.isEmpty()) {
                pace.rest();
            }
            for (ConsumerRecord<byte[], byte[]> record : records) {
                write(record);
                unpaid++;
                if (unpaid == chunk) {
                    pace.spend(unpaid);
                    unpaid = 0;
                }
                group.positions.set(record.partition(), record.offset() + 1);
            }
            pace.spend(unpaid);
            if (transactions != null && System.currentTimeMillis() - committedAt >= commitMs) {
                commitInTransaction();
            }
        }

        private void write(ConsumerRecord<byte[], byte[]> record) throws IOException {
            ByteBuffer value = ByteBuffer.wrap(record.value());
            synchronized (consumed) {
                group.done++;
                consumed.writeInt(group.index);
                consumed.writeInt(record.partition());
                consumed.writeLong(record.offset());
                consumed.writeInt(value.getInt());
                consumed.writeLong(value.getLong());
                consumed.writeInt((int) (System.currentTimeMillis() - value.getLong()));
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> group.owned.remove(partition.partition()));
            try {
                Thread.sleep(partitions.isEmpty() ? 0 : group.spec.path("revoke_ms").asLong());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            for (TopicPartition partition : partitions) {
                group.positions.set(partition.partition(), consumer.position(partition));
                group.owned.add(partition.partition());
            }
        }
    }

    private ConsumerLoad() {
    }

    private static void sample(Admin admin, List<Group> groups) throws Exception {
        boolean last = draining;
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (Group group : groups) {
            for (int p = 0; p < group.positions.length(); p++) {
                wanted.put(new TopicPartition(group.topic, p), OffsetSpec.latest());
            }
        }
        Map<TopicPartition, ListOffsetsResultInfo> latest;
        try {
            latest = admin.listOffsets(wanted).all().get();
        } catch (java.util.concurrent.ExecutionException e) {
            ObjectNode line = Common.JSON.createObjectNode();
            Common.report(line.put("missed", e.getCause().toString())); // a broker is down: no sample
            return;
        }
        ObjectNode line = Common.JSON.createObjectNode();
        ObjectNode all = line.putObject("groups");
        for (Group group : groups) {
            long[] ends = new long[group.positions.length()];
            ObjectNode one = all.putObject(group.name);
            ArrayNode end = one.putArray("end");
            ArrayNode position = one.putArray("position");
            for (int p = 0; p < ends.length; p++) {
                ends[p] = latest.get(new TopicPartition(group.topic, p)).offset();
                end.add(ends[p]);
                position.add(group.owned.contains(p) ? group.positions.get(p) : -1);
            }
            one.put("done", group.done);
            group.ends = ends;
            group.endsFinal = last;
        }
        Common.report(line);
    }

    private static void awaitDrain() {
        Thread reader = new Thread(() -> {
            try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in))) {
                String line = in.readLine();
                while (line != null && !line.equals("drain")) {
                    if (line.equals("go")) {
                        go.countDown();
                    }
                    line = in.readLine();
                }
            } catch (IOException e) {
                e.printStackTrace();
            }
            draining = true;
            go.countDown();
        });
        reader.setDaemon(true);
        reader.start();
    }

    public static void main(String[] args) throws Exception {
        JsonNode spec = Common.spec(args[0]);
        consumed = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(args[1]), 1 << 20));
        Properties p = new Properties();
        p.put("bootstrap.servers", spec.get("admin").asText());
        p.put("client.id", "measure");
        p.put("default.api.timeout.ms", "2000");
        p.put("request.timeout.ms", "1000");
        List<Group> groups = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (JsonNode one : spec.get("groups")) {
            Group group = new Group(one, groups.size());
            int members = one.get("consumers").asInt();
            groups.add(group);
            for (int i = 0; i < members; i++) {
                threads.add(new Thread(new Member(group, i, members), group.name + "-" + i));
            }
        }
        if (!spec.path("hold").asBoolean()) {
            go.countDown();
        }
        awaitDrain();
        go.await();
        threads.forEach(Thread::start);
        boolean ready = false;
        try (Admin admin = Admin.create(p)) {
            long pause = spec.get("sample_ms").asLong();
            while (!draining || threads.stream().anyMatch(Thread::isAlive)) {
                sample(admin, groups);
                if (!ready && groups.stream().allMatch(Group::assigned)) {
                    ready = true;
                    Common.report(Common.JSON.createObjectNode().put("ready", true));
                }
                Thread.sleep(pause);
            }
            sample(admin, groups);
        }
        consumed.close();
        Common.report(Common.JSON.createObjectNode().put("final", true));
    }
}
