/* bench_load.c - sends Kafka requests over many connections and says how many passed, how fast, and how late.
 *
 * Options, the frames they ask for, and the report; the work is in load_loop.c. */
#include "frames.h"
#include "load.h"
#include "message.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define METADATA_VERSION 12
#define BATCHES_MAX      8 /* sizes that are mixed */
#define ID_VERSION       13 /* of Produce and of Fetch: topics go by id */

enum mode { MODE_PRODUCE_LARGE = 1, MODE_PRODUCE_SMALL, MODE_FETCH, MODE_IDLE };

struct options {
    enum mode mode;
    struct net_address address;
    uint32_t connections, depth, record_bytes, partitions, topics, together, fetch_max;
    uint32_t records[BATCHES_MAX]; /* of each batch; requests carry these in turn */
    size_t batch_count;
    const char *topic, *client_id;
    double rate, seconds;
    uint64_t bytes, requests, warmup;
    int16_t acks, version;
    unsigned threads;
    bool hold;
};

static void usage(void)
{
    puts("usage: bench_load --connect HOST:PORT [options]\n"
         "\n"
         "  --mode produce-large    Produce, 128 KiB batches of 1 kB records, closed loop (the default)\n"
         "         produce-small    Produce, one record of 100 bytes, open loop at 6000 requests/s\n"
         "         fetch            Fetch requests, closed loop; the broker decides how much comes\n"
         "         idle             connections that do nothing after one small Produce\n"
         "  --connections N  --threads N  --depth N (in flight per connection, closed loop)\n"
         "  --rate N         requests/s in all, open loop; 0: closed loop\n"
         "  --bytes N (of requests) | --requests N | --seconds S   when to stop\n"
         "  --warmup N       requests before, which count for nothing\n"
         "  --records N[,N...] (in a batch; several are taken in turn)  --record-bytes N\n"
         "  --partitions N (per request)  --topics N (in turn)\n"
         "  --fetch-max N    bytes wanted of each partition in a Fetch; 0: all that there are\n"
         "  --together N     topics NAME-0 .. NAME-<N-1> in each request; by name\n"
         "  --acks 0|1|-1  --version N  --topic NAME  --client-id NAME\n"
         "  --hold           say {\"event\": \"ready\"} and wait for a line on stdin before measuring, and for the\n"
         "                   end of stdin before closing the connections\n"
         "\n"
         "The result is one line of JSON. Times are in microseconds and count from when a request was due.");
}

static enum mode mode_of(const char *text)
{
    static const char *const names[] = {NULL, "produce-large", "produce-small", "fetch", "idle"};
    for (int i = 1; i < (int)PS_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum mode)i;
        }
    }
    net_die("--mode", "produce-large, produce-small, fetch or idle");
}

/* What each mode means before other options change it. */
static void options_default(struct options *o, enum mode mode)
{
    *o = (struct options){.mode = mode,
                          .connections = 8,
                          .depth = 5,
                          .records = {128},
                          .batch_count = 1,
                          .record_bytes = 1000,
                          .partitions = 1,
                          .topics = 1,
                          .topic = "bench",
                          .client_id = "bench-load",
                          .bytes = 1000000000,
                          .acks = 1,
                          .version = 12,
                          .threads = 1};
    if (mode == MODE_PRODUCE_SMALL) {
        o->connections = 50;
        o->records[0] = 1;
        o->record_bytes = 100;
        o->rate = 6000;
        o->seconds = 5;
        o->bytes = 0;
    } else if (mode == MODE_FETCH) {
        o->requests = 1000;
        o->bytes = 0;
    } else if (mode == MODE_IDLE) {
        o->connections = 1000;
        o->bytes = 0;
    }
}

static bool records_read(struct options *o, const char *text)
{
    for (o->batch_count = 0; o->batch_count < BATCHES_MAX;) {
        char *end;
        o->records[o->batch_count] = (uint32_t)strtoul(text, &end, 10);
        if (o->records[o->batch_count++] == 0 || (*end != ',' && *end != '\0')) {
            return false;
        }
        if (*end == '\0') {
            return true;
        }
        text = end + 1;
    }
    return false;
}

static bool option_set(struct options *o, int c, const char *arg)
{
    uint64_t number = strtoull(arg, NULL, 10);
    switch (c) {
    case 'a':
        o->address = net_address_parse(arg);
        break;
    case 'c':
        o->connections = (uint32_t)number;
        break;
    case 'n':
        o->threads = (unsigned)number;
        break;
    case 'd':
        o->depth = (uint32_t)number;
        break;
    case 'r':
        o->rate = strtod(arg, NULL);
        break;
    case 'b':
        o->bytes = number;
        break;
    case 'q':
        o->requests = number;
        o->bytes = 0;
        break;
    case 's':
        o->seconds = strtod(arg, NULL);
        o->bytes = 0;
        break;
    case 'w':
        o->warmup = number;
        break;
    case 'R':
        return records_read(o, arg);
    case 'F':
        o->fetch_max = (uint32_t)number;
        break;
    case 'B':
        o->record_bytes = (uint32_t)number;
        break;
    case 'p':
        o->partitions = (uint32_t)number;
        break;
    case 't':
        o->topics = (uint32_t)number;
        break;
    case 'g':
        o->together = (uint32_t)number;
        break;
    case 'k':
        o->acks = (int16_t)strtol(arg, NULL, 10);
        break;
    case 'v':
        o->version = (int16_t)number;
        break;
    case 'T':
        o->topic = arg;
        break;
    case 'i':
        o->client_id = arg;
        break;
    default:
        return false;
    }
    return true;
}

static void options_check(const struct options *o)
{
    bool sensible = o->address.port != 0 && o->threads > 0 && o->connections >= o->threads && o->depth > 0 &&
                    o->depth <= LOAD_RING && o->partitions > 0 && o->topics > 0 && o->rate >= 0 &&
                    o->acks >= -1 && o->acks <= 1 && o->version >= (o->mode == MODE_FETCH ? 4 : 3) &&
                    o->version <= (o->mode == MODE_FETCH ? 18 : 13) &&
                    (o->together == 0 || (o->version < ID_VERSION && o->topics == 1));
    if (!sensible) {
        usage();
        exit(2);
    }
}

static void options_read(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"mode", 1, NULL, 'm'},       {"connect", 1, NULL, 'a'},  {"connections", 1, NULL, 'c'},
        {"threads", 1, NULL, 'n'},    {"depth", 1, NULL, 'd'},    {"rate", 1, NULL, 'r'},
        {"bytes", 1, NULL, 'b'},      {"requests", 1, NULL, 'q'}, {"seconds", 1, NULL, 's'},
        {"warmup", 1, NULL, 'w'},     {"records", 1, NULL, 'R'},  {"record-bytes", 1, NULL, 'B'},
        {"partitions", 1, NULL, 'p'}, {"topics", 1, NULL, 't'},   {"acks", 1, NULL, 'k'},
        {"version", 1, NULL, 'v'},    {"topic", 1, NULL, 'T'},    {"client-id", 1, NULL, 'i'},
        {"together", 1, NULL, 'g'},   {"hold", 0, NULL, 'H'},     {"help", 0, NULL, 'h'},
        {"fetch-max", 1, NULL, 'F'},  {NULL, 0, NULL, 0},
    };
    options_default(o, MODE_PRODUCE_LARGE);
    for (int i = 1; i + 1 < argc; i++) { /* the mode first: it sets what others change */
        if (strcmp(argv[i], "--mode") == 0) {
            options_default(o, mode_of(argv[i + 1]));
        }
    }
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        if (c == 'h') {
            usage();
            exit(0);
        } else if (c == 'H') {
            o->hold = true;
        } else if (c != 'm' && (c == '?' || !option_set(o, c, optarg))) {
            exit(2);
        }
    }
    options_check(o);
}

/* --- frames ------------------------------------------------------------------------------------------------ */

static void read_exactly(int fd, uint8_t *into, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, into + at, len - at, 0);
        if (n <= 0) {
            net_die("bench_load", "the broker does not answer Metadata");
        }
        at += (size_t)n;
    }
}

static void see_topic_id(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value)
{
    if (event == MESSAGE_VALUE && message_is(field, "TopicId")) {
        memcpy(ctx, value->text.base, 16);
    }
}

/* Asks the broker for the id of the topic. */
static void topic_id_learn(const struct net_address *address, struct frame_shape *shape)
{
    static uint8_t answer[1 << 20];
    int fd = net_connect_blocking(address);
    struct ps_span question = frame_metadata(shape, METADATA_VERSION);
    if (send(fd, question.base, question.len, MSG_NOSIGNAL) != (ssize_t)question.len) {
        net_die("send", NULL);
    }
    read_exactly(fd, answer, 4);
    size_t len = ps_load32(answer);
    if (len < 5 || len > sizeof(answer)) {
        net_die("bench_load", "the answer to Metadata has an unlikely length");
    }
    read_exactly(fd, answer, len);
    const struct ps_schema *schema = ps_api_find(PS_API_METADATA)->response;
    if (!message_read(schema, METADATA_VERSION, (struct ps_span){answer + 5, len - 5}, see_topic_id, shape->topic_id)) {
        net_die("bench_load", "the answer to Metadata cannot be read");
    }
    free((void *)(uintptr_t)question.base);
    close(fd);
}

struct frames {
    size_t count;
    struct ps_span *frame;
    uint64_t *records;
    uint64_t bytes; /* of all of them */
};

/* One frame per topic (the name itself, or name-0 .. name-<N-1>) and size of batch. */
static struct frames frames_new(const struct options *o)
{
    struct frame_shape shape = {.version = o->version,
                                .acks = o->acks,
                                .client_id = o->client_id,
                                .partitions = o->partitions,
                                .topics = o->together,
                                .numbered = o->together > 0,
                                .fetch_max = o->fetch_max};
    struct frames all = {.count = o->topics * o->batch_count};
    uint32_t batches = o->partitions * (o->together == 0 ? 1 : o->together);
    all.frame = calloc(all.count, sizeof(*all.frame));
    all.records = calloc(all.count, sizeof(*all.records));
    PS_ASSERT(all.frame != NULL && all.records != NULL);
    for (size_t i = 0; i < all.count; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%s-%zu", o->topic, i / o->batch_count);
        shape.topic = o->topics == 1 ? o->topic : name;
        shape.batch = batch_new(o->records[i % o->batch_count], o->record_bytes);
        if (o->version >= ID_VERSION) {
            memset(shape.topic_id, 0, sizeof(shape.topic_id));
            topic_id_learn(&o->address, &shape);
        }
        all.frame[i] = o->mode == MODE_FETCH ? frame_fetch(&shape) : frame_produce(&shape);
        all.records[i] = o->mode == MODE_FETCH ? 0 : (uint64_t)batches * o->records[i % o->batch_count];
        all.bytes += all.frame[i].len;
        free((void *)(uintptr_t)shape.batch.base);
    }
    return all;
}

static void frames_free(const struct frames *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free((void *)(uintptr_t)all->frame[i].base);
    }
    free(all->frame);
    free(all->records);
}

static struct ps_span hello_new(const struct options *o)
{
    struct frame_shape shape = {.version = LOAD_HELLO_VERSION,
                                .acks = 1,
                                .client_id = o->client_id,
                                .topic = o->topics == 1 ? o->topic : "bench-0",
                                .partitions = 1,
                                .batch = batch_new(1, 10)};
    struct ps_span frame = frame_produce(&shape);
    free((void *)(uintptr_t)shape.batch.base);
    return frame;
}

/* --- running ----------------------------------------------------------------------------------------------- */

struct job {
    struct load_loop loop;
    const struct load_plan *plan;
    unsigned number;
    uint32_t connections;
    uint64_t requests;
    double seconds;
    bool open;
};

static void *job_run(void *arg)
{
    struct job *job = arg;
    prctl(PR_SET_TIMERSLACK, 1UL); /* wake when a request is due, not up to 50 microseconds later */
    if (job->open) {
        load_open(&job->loop, job->plan, job->number, job->connections);
    } else {
        load_run(&job->loop, job->requests, job->seconds);
    }
    return NULL;
}

/* Every job on a thread of its own, until all are done. */
static void jobs_run(struct job *jobs, unsigned count)
{
    pthread_t *threads = calloc(count, sizeof(*threads));
    for (unsigned i = 0; i < count; i++) {
        if (threads == NULL || pthread_create(&threads[i], NULL, job_run, &jobs[i]) != 0) {
            net_die("pthread_create", NULL);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
}

static void jobs_measure(struct job *jobs, unsigned count, uint64_t requests, double seconds)
{
    for (unsigned i = 0; i < count; i++) {
        jobs[i].open = false;
        jobs[i].requests = requests == UINT64_MAX ? requests : requests / count + (i < requests % count);
        jobs[i].seconds = seconds;
    }
    jobs_run(jobs, count);
}

static void print_times(const char *name, const struct hist *h)
{
    printf(", \"%s\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f, \"mean\": %.2f}",
           name, (double)hist_quantile(h, 0.5) / 1e3, (double)hist_quantile(h, 0.9) / 1e3,
           (double)hist_quantile(h, 0.99) / 1e3, (double)hist_quantile(h, 0.999) / 1e3, (double)h->max / 1e3,
           hist_mean(h) / 1e3);
}

/* Returns the exit status: 0 if everything was answered without an error. */
static int report(const struct job *jobs, unsigned count)
{
    static struct load_result sum;
    sum.start = PS_NEVER;
    for (unsigned i = 0; i < count; i++) {
        const struct load_result *r = &jobs[i].loop.result;
        sum.requests += r->requests;
        sum.records += r->records;
        sum.bytes_out += r->bytes_out;
        sum.bytes_in += r->bytes_in;
        sum.errors += r->errors;
        sum.dropped += r->dropped;
        sum.closed += r->closed;
        sum.start = ps_ns_min(sum.start, r->start);
        sum.end = ps_ns_max(sum.end, r->end);
        hist_merge(&sum.latency, &r->latency);
        hist_merge(&sum.late, &r->late);
    }
    double seconds = (double)(sum.end - sum.start) / (double)PS_SECOND;
    uint64_t bytes = sum.bytes_out + sum.bytes_in;
    printf("{\"event\": \"result\", \"requests\": %llu, \"records\": %llu, \"bytes\": %llu, "
           "\"bytes_out\": %llu, \"bytes_in\": %llu, \"seconds\": %.6f, \"requests_per_s\": %.1f, \"mb_per_s\": %.1f, "
           "\"errors\": %llu, \"dropped\": %llu, \"closed\": %llu",
           (unsigned long long)sum.requests, (unsigned long long)sum.records, (unsigned long long)bytes,
           (unsigned long long)sum.bytes_out, (unsigned long long)sum.bytes_in, seconds,
           (double)sum.requests / seconds, (double)bytes / seconds / 1e6,
           (unsigned long long)sum.errors, (unsigned long long)sum.dropped, (unsigned long long)sum.closed);
    print_times("latency_us", &sum.latency);
    print_times("late_us", &sum.late);
    puts("}");
    fflush(stdout);
    return sum.errors + sum.dropped + sum.closed == 0 ? 0 : 1;
}

static void hold(const char *event)
{
    char line[64];
    if (event != NULL) {
        printf("{\"event\": \"%s\"}\n", event);
        fflush(stdout);
    }
    if (fgets(line, sizeof(line), stdin) == NULL && event != NULL) {
        exit(1); /* whoever was to say when is gone */
    }
}

static struct load_plan plan_new(const struct options *o, const struct frames *frames)
{
    return (struct load_plan){.address = o->address,
                              .frames = frames->frame,
                              .records = frames->records,
                              .frame_count = frames->count,
                              .hello = hello_new(o),
                              .key = o->mode == MODE_FETCH ? PS_API_FETCH : PS_API_PRODUCE,
                              .version = o->version,
                              .answered = o->mode == MODE_FETCH || o->acks != 0,
                              .depth = o->depth,
                              .rate = o->rate,
                              .threads = o->threads};
}

int main(int argc, char **argv)
{
    struct options o;
    options_read(&o, argc, argv);
    net_descriptors_raise();
    struct frames frames = frames_new(&o);
    struct load_plan plan = plan_new(&o, &frames);
    struct job *jobs = calloc(o.threads, sizeof(*jobs));
    PS_ASSERT(jobs != NULL);
    for (unsigned i = 0; i < o.threads; i++) {
        jobs[i].plan = &plan;
        jobs[i].number = i;
        jobs[i].connections = o.connections / o.threads + (i < o.connections % o.threads);
        jobs[i].open = true;
    }
    jobs_run(jobs, o.threads);
    jobs_measure(jobs, o.threads, o.warmup, 0);
    if (o.hold) {
        hold("ready");
    }
    uint64_t mean_len = frames.bytes / frames.count;
    uint64_t requests = o.bytes > 0 ? (o.bytes + mean_len - 1) / mean_len
                        : o.requests > 0 || o.mode == MODE_IDLE ? o.requests
                                                                : UINT64_MAX;
    jobs_measure(jobs, o.threads, requests, o.seconds);
    int status = report(jobs, o.threads);
    if (o.hold) {
        hold(NULL);
    }
    for (unsigned i = 0; i < o.threads; i++) {
        load_close(&jobs[i].loop);
    }
    frames_free(&frames);
    free((void *)(uintptr_t)plan.hello.base);
    free(jobs);
    return status;
}
