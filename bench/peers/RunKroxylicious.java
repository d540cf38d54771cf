import io.kroxylicious.proxy.KafkaProxy;
import io.kroxylicious.proxy.config.ConfigParser;
import io.kroxylicious.proxy.internal.config.Features;

import java.nio.file.Files;
import java.nio.file.Path;

/** Starts Kroxylicious with the configuration file that is the only argument, as its own application does. */
public class RunKroxylicious {
    public static void main(String[] args) throws Exception {
        ConfigParser parser = new ConfigParser();
        try (var in = Files.newInputStream(Path.of(args[0]));
             var proxy = new KafkaProxy(parser, parser.parseConfiguration(in), Features.builder().build())) {
            proxy.startup();
            proxy.block();
        }
    }
}
