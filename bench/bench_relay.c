/* bench_relay.c - a TCP relay that does nothing else, in three makes: the least that any proxy must cost. */
#include "relay.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER (256 * 1024) /* smaller ones cost more per byte, larger ones hardly less */

static void usage(void)
{
    puts("usage: bench_relay --listen HOST:PORT --broker HOST:PORT [options]\n"
         "\n"
         "  (neither of these) uv_poll_t, recv into one shared buffer and send at once: the yardstick\n"
         "  --streams          libuv streams\n"
         "  --splice           uv_poll_t, splice through a pipe\n"
         "  --buffer BYTES     read at once (262144)");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", 1, NULL, 'l'}, {"broker", 1, NULL, 'b'}, {"streams", 0, NULL, 's'}, {"splice", 0, NULL, 'p'},
        {"buffer", 1, NULL, 'B'}, {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0},
    };
    static struct relay_config config = {.buffer = BUFFER};
    void (*start)(uv_loop_t *, const struct relay_config *) = relay_poll_start;
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        switch (c) {
        case 'l':
            config.listen = net_address_parse(optarg);
            break;
        case 'b':
            config.broker = net_address_parse(optarg);
            break;
        case 's':
            start = relay_streams_start;
            break;
        case 'p':
            start = relay_splice_start;
            break;
        case 'B':
            config.buffer = strtoul(optarg, NULL, 10);
            break;
        case 'h':
            usage();
            return 0;
        default:
            return 2;
        }
    }
    if (config.listen.port == 0 || config.broker.port == 0 || config.buffer == 0) {
        usage();
        return 2;
    }
    net_descriptors_raise();
    start(uv_default_loop(), &config);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
