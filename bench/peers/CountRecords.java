import io.kroxylicious.proxy.filter.FilterContext;
import io.kroxylicious.proxy.filter.FilterFactory;
import io.kroxylicious.proxy.filter.FilterFactoryContext;
import io.kroxylicious.proxy.filter.ProduceRequestFilter;
import io.kroxylicious.proxy.filter.RequestFilterResult;
import io.kroxylicious.proxy.plugin.Plugin;

import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.record.MemoryRecords;

/**
 * The least that a filter must do to know what Penstock knows: Kroxylicious decodes every Produce because somebody asks
 * for them, and the records of each batch are counted from its header. Nothing is changed.
 */
@Plugin(configType = Void.class)
public class CountRecords implements FilterFactory<Void, Void> {
    private static final LongAdder RECORDS = new LongAdder();

    @Override
    public Void initialize(FilterFactoryContext context, Void config) {
        return config;
    }

    @Override
    public ProduceRequestFilter createFilter(FilterFactoryContext context, Void config) {
        return CountRecords::count;
    }

    private static CompletionStage<RequestFilterResult> count(short version, RequestHeaderData header,
                                                              ProduceRequestData request, FilterContext context) {
        for (var topic : request.topicData()) {
            for (var partition : topic.partitionData()) {
                for (var batch : ((MemoryRecords) partition.records()).batches()) {
                    RECORDS.add(batch.countOrNull());
                }
            }
        }
        return context.forwardRequest(header, request);
    }
}
