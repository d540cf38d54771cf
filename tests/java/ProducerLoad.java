import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Many producers in one process, each with one or more streams of records over the same connection.
 *
 *     ProducerLoad SPEC.json ACKS.bin          stops on "stop" or the end of its input, then flushes
 *
 * SPEC.json: {"producers": [{client_id, bootstrap, acks, idempotence, codec, props, "streams": [{origin, topic, rate, size,
 * partitions, keys}]}]}. ACKS.bin: per record that came to an end int origin, long seq, int partition, long offset (-2: it
 * failed), long at (ms), int milliseconds that it took. Standard output: one JSON line a second, one per error (the first
 * hundred of a stream), one final, with the number of errors by text. tests/clients/ has the same for other libraries.
 */
public final class ProducerLoad {
    private static final int ERRORS_SHOWN = 100;
    private static final Set<String> METRICS = Set.of("record-retry-total", "record-error-total",
        "connection-close-total", "connection-creation-total", "produce-throttle-time-max");
    private static final CountDownLatch stop = new CountDownLatch(1);
    private static final ConcurrentHashMap<String, Integer> failures = new ConcurrentHashMap<>();
    private static final long FAILED = -2; // in the place of an offset
    private static DataOutputStream acks;

    /** One topic written by one producer. A thread of its own, so that a blocked stream does not stop its neighbour. */
    private static final class Stream implements Runnable {
        final KafkaProducer<byte[], byte[]> producer;
        final String topic;
        final int origin;
        final int size;
        final double rate;
        final long keys;
        final AtomicLong acked = new AtomicLong();
        final AtomicLong errors = new AtomicLong();
        final AtomicLong slowest = new AtomicLong();
        volatile long sent;

        Stream(KafkaProducer<byte[], byte[]> producer, JsonNode spec) {
            this.producer = producer;
            topic = spec.get("topic").asText();
            origin = spec.get("origin").asInt();
            size = spec.get("size").asInt();
            rate = spec.get("rate").asDouble();
            keys = spec.path("keys").asLong();
        }

        @Override
        public void run() {
            Common.Pace pace = new Common.Pace(rate);
            int chunk = Math.max(1, (int) (rate / 100));
            try {
                while (stop.getCount() > 0) {
                    for (int i = 0; i < chunk && stop.getCount() > 0; i++) {
                        send();
                    }
                    pace.spend(chunk);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        private void send() {
            long seq = sent;
            long begun = System.currentTimeMillis();
            try {
                byte[] key = keys == 0 ? null : ("key-" + seq % keys).getBytes(StandardCharsets.US_ASCII);
                producer.send(new ProducerRecord<>(topic, key, Common.value(origin, seq, size)),
                    (metadata, error) -> done(seq, begun, metadata, error));
                sent = seq + 1;
            } catch (RuntimeException e) {
                sent = seq + 1;
                failed(seq, e);
            }
        }

        private void done(long seq, long begun, RecordMetadata metadata, Exception error) {
            if (error != null) {
                failed(seq, error);
                return;
            }
            long took = System.currentTimeMillis() - begun;
            acked.incrementAndGet();
            slowest.accumulateAndGet(took, Math::max);
            write(seq, metadata.partition(), metadata.hasOffset() ? metadata.offset() : -1, took);
        }

        private void write(long seq, int partition, long offset, long took) {
            try {
                synchronized (acks) {
                    acks.writeInt(origin);
                    acks.writeLong(seq);
                    acks.writeInt(partition);
                    acks.writeLong(offset);
                    acks.writeLong(System.currentTimeMillis());
                    acks.writeInt((int) took);
                }
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }

        private void failed(long seq, Exception error) {
            failures.merge(error.getClass().getSimpleName(), 1, Integer::sum);
            write(seq, -1, FAILED, 0);
            if (errors.incrementAndGet() <= ERRORS_SHOWN) {
                ObjectNode line = Common.JSON.createObjectNode();
                line.put("error", error.toString()).put("origin", origin).put("seq", seq);
                Common.report(line);
            }
        }

        ObjectNode status() {
            ObjectNode node = Common.JSON.createObjectNode();
            node.put("sent", sent).put("acked", acked.get()).put("errors", errors.get());
            return node.put("slowest_ms", slowest.getAndSet(0));
        }
    }

    private ProducerLoad() {
    }

    private static KafkaProducer<byte[], byte[]> open(JsonNode spec) {
        Properties p = new Properties();
        p.put("bootstrap.servers", spec.get("bootstrap").asText());
        p.put("client.id", spec.get("client_id").asText());
        p.put("acks", spec.get("acks").asText());
        p.put("enable.idempotence", spec.get("idempotence").asText());
        p.put("compression.type", spec.path("codec").asText("none"));
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        Common.properties(spec.get("props"), p);
        return new KafkaProducer<>(p);
    }

    private static void status(List<Stream> streams, boolean last, ObjectNode clients) {
        ObjectNode line = Common.JSON.createObjectNode();
        ObjectNode all = line.putObject("streams");
        streams.forEach(stream -> all.set(Integer.toString(stream.origin), stream.status()));
        if (last) {
            line.put("final", true).set("clients", clients);
            line.set("failures", Common.JSON.valueToTree(failures));
        }
        Common.report(line);
    }

    /** Totals of a client; connections that its nodes count each for themselves are not added twice. */
    private static ObjectNode metrics(KafkaProducer<byte[], byte[]> producer) {
        ObjectNode node = Common.JSON.createObjectNode();
        producer.metrics().forEach((name, metric) -> {
            if (METRICS.contains(name.name()) && name.group().equals("producer-metrics")
                    && metric.metricValue() instanceof Double) {
                double value = (Double) metric.metricValue();
                node.put(name.name(), Double.isFinite(value) ? value : 0);
            }
        });
        return node;
    }

    private static void awaitStop() {
        Thread reader = new Thread(() -> {
            try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in))) {
                String line = in.readLine();
                while (line != null && !line.equals("stop")) {
                    line = in.readLine();
                }
            } catch (IOException e) {
                e.printStackTrace();
            }
            stop.countDown();
        });
        reader.setDaemon(true);
        reader.start();
    }

    public static void main(String[] args) throws Exception {
        JsonNode spec = Common.spec(args[0]);
        acks = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(args[1]), 1 << 20));
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        List<String> names = new ArrayList<>();
        List<Stream> streams = new ArrayList<>();
        for (JsonNode one : spec.get("producers")) {
            KafkaProducer<byte[], byte[]> producer = open(one);
            producers.add(producer);
            names.add(one.get("client_id").asText());
            one.get("streams").forEach(stream -> streams.add(new Stream(producer, stream)));
        }
        awaitStop();
        List<Thread> threads = new ArrayList<>();
        for (Stream stream : streams) {
            Thread thread = new Thread(stream, "stream-" + stream.origin);
            thread.start();
            threads.add(thread);
        }
        while (!stop.await(1, java.util.concurrent.TimeUnit.SECONDS)) {
            status(streams, false, null);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        ObjectNode clients = Common.JSON.createObjectNode();
        for (int i = 0; i < producers.size(); i++) {
            producers.get(i).flush();
            clients.set(names.get(i), metrics(producers.get(i)));
            producers.get(i).close(Duration.ofSeconds(60));
        }
        acks.close();
        status(streams, true, clients);
    }
}
