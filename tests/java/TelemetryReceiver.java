import java.io.FileWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.telemetry.ClientTelemetry;
import org.apache.kafka.server.telemetry.ClientTelemetryPayload;
import org.apache.kafka.server.telemetry.ClientTelemetryReceiver;

/**
 * A broker's plugin for the metrics that clients push (KIP-714): notes in a file beside the broker's data who pushed how
 * many bytes, one line each. Without a plugin like it brokers do not offer the APIs at all.
 */
@SuppressWarnings("removal") // their successors are too new for the older servers
public final class TelemetryReceiver implements MetricsReporter, ClientTelemetry, ClientTelemetryReceiver {
    private volatile Path file;

    @Override
    public void configure(Map<String, ?> configs) {
        file = Path.of(configs.get("log.dirs").toString()).resolveSibling("telemetry");
    }

    @Override
    public ClientTelemetryReceiver clientReceiver() {
        return this;
    }

    @Override
    public synchronized void exportMetrics(AuthorizableRequestContext context, ClientTelemetryPayload payload) {
        try (PrintWriter out = new PrintWriter(new FileWriter(file.toFile(), true))) {
            out.println(context.clientId() + " " + payload.data().remaining());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void init(List<KafkaMetric> metrics) {
    }

    @Override
    public void metricChange(KafkaMetric metric) {
    }

    @Override
    public void metricRemoval(KafkaMetric metric) {
    }

    @Override
    public void close() {
    }
}
