/* config_value.c - one value: text to field, for each kind of key. Every message names the key, quotes what was
 * written, and says how it is written. */
#include "config_read.h"

#include "config_units.h"
#include "nearest.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define TOPIC_LEN_MAX 249 /* Kafka's own bound (class Topic) */
#define TEXT_LEN_MAX  255 /* of globs for groups and client ids */
#define NAME_LEN_MAX  64
#define TOKEN_LEN_MAX 4096

/* ---- quantities ---- */

static void wrong_quantity(const struct ps_config_reader *r, struct ps_node *node, enum ps_quantity quantity,
                           enum ps_quantity_result result)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX], guess[PS_QUANTITY_TEXT_MAX];
    const char *help = ps_quantity_help(quantity);
    ps_node_path(node, path);
    ps_shown(node->text, shown);
    if (result == PS_QUANTITY_NO_UNIT) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" lacks its unit; %s", path, shown, help);
    } else if (result == PS_QUANTITY_FRACTION) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is a fraction of the smallest unit; %s", path, shown, help);
    } else if (ps_quantity_guess(quantity, node->text, guess) != NULL) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not %s: did you mean %s? In general, %s", path, shown,
                      ps_quantity_name(quantity), guess, help);
    } else {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not %s; %s", path, shown, ps_quantity_name(quantity), help);
    }
}

static bool read_quantity(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node,
                          enum ps_quantity quantity, uint64_t *value)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    uint64_t least, most;
    enum ps_quantity_result result = ps_quantity_read(quantity, node->text, value);
    bool bounds = ps_quantity_read(quantity, key->least, &least) == PS_QUANTITY_OK &&
                  ps_quantity_read(quantity, key->most, &most) == PS_QUANTITY_OK;
    PS_ASSERT(bounds);
    if (result == PS_QUANTITY_TOO_LARGE || (result == PS_QUANTITY_OK && *value > most)) {
        ps_node_wrong(node, r->errors, "%s: %s is too large; the most is %s", ps_node_path(node, path),
                      ps_shown(node->text, shown), key->most);
        return false;
    }
    if (result == PS_QUANTITY_OK && *value < least) {
        ps_node_wrong(node, r->errors, "%s: %s is too small; the least is %s", ps_node_path(node, path),
                      ps_shown(node->text, shown), key->least);
        return false;
    }
    if (result != PS_QUANTITY_OK) {
        wrong_quantity(r, node, quantity, result);
    }
    return result == PS_QUANTITY_OK;
}

static bool read_integer(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    uint64_t value;
    if (!read_quantity(r, key, node, PS_QUANTITY_INTEGER, &value)) {
        return false;
    }
    memcpy(out, &(uint32_t){(uint32_t)value}, sizeof(uint32_t)); /* the bounds in the table fit in 31 bit */
    return true;
}

static bool read_u64(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    uint64_t value;
    enum ps_quantity quantity = key->kind == PS_KEY_SIZE ? PS_QUANTITY_SIZE : PS_QUANTITY_DURATION;
    if (!read_quantity(r, key, node, quantity, &value)) {
        return false;
    }
    memcpy(out, &value, sizeof(value));
    return true;
}

/* What a quantity becomes where a double is wanted. */
static bool read_double(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node,
                        enum ps_quantity quantity, double unit, void *out)
{
    uint64_t value;
    if (!read_quantity(r, key, node, quantity, &value)) {
        return false;
    }
    memcpy(out, &(double){(double)value / unit}, sizeof(double));
    return true;
}

static bool read_lag(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    static const struct ps_key time = {.least = "500ms", .most = "168h"};
    uint64_t value;
    if (ps_quantity_read(PS_QUANTITY_DURATION, node->text, &value) == PS_QUANTITY_OK) {
        char *base = (char *)out - key->offset;
        return read_double(r, &time, node, PS_QUANTITY_DURATION, (double)PS_SECOND, base + key->time_offset);
    }
    return read_double(r, key, node, PS_QUANTITY_COUNT, 1.0, out);
}

static bool read_count(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    return read_double(r, key, node, PS_QUANTITY_COUNT, 1.0, out);
}

static bool read_rate(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    return read_double(r, key, node, key->kind == PS_KEY_RATE ? PS_QUANTITY_RATE : PS_QUANTITY_BYTE_RATE, 1.0, out);
}

static bool read_seconds(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    return read_double(r, key, node, PS_QUANTITY_DURATION, (double)PS_SECOND, out);
}

/* Digits with a decimal point: strtod would also take nan, inf and 0x1p3. */
static bool read_number(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    char *end = NULL;
    bool plain = node->text[strspn(node->text, "0123456789.")] == '\0' && isdigit((unsigned char)node->text[0]);
    double value = plain ? strtod(node->text, &end) : NAN;
    if (!plain || *end != '\0') {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not a number; write it like 1, 2.5 or 0.25",
                      ps_node_path(node, path), ps_shown(node->text, shown));
        return false;
    }
    if (value < strtod(key->least, NULL) || value > strtod(key->most, NULL)) {
        ps_node_wrong(node, r->errors, "%s: %s is not between %s and %s", ps_node_path(node, path),
                      ps_shown(node->text, shown), key->least, key->most);
        return false;
    }
    memcpy(out, &value, sizeof(value));
    return true;
}

static unsigned processors(void)
{
    cpu_set_t set; /* containers and taskset give fewer than the machine has; above 1024 the set is too small */
    long count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 256 ? 256 : (unsigned)count;
}

static bool read_workers(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    if (strcmp(node->text, "auto") == 0) {
        memcpy(out, &(unsigned){processors()}, sizeof(unsigned));
        return true;
    }
    return read_integer(r, key, node, out);
}

/* ---- words ---- */

static bool read_bool(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    bool yes = strcmp(node->text, "true") == 0;
    if (!yes && strcmp(node->text, "false") != 0) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is neither true nor false", ps_node_path(node, path),
                      ps_shown(node->text, shown));
        return false;
    }
    memcpy(out, &yes, sizeof(yes));
    return true;
}

static void wrong_choice(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node)
{
    const char *names[8];
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX], type[PS_KEY_TYPE_MAX];
    size_t count = 0;
    for (const struct ps_choice *choice = key->choices; choice->name != NULL; choice++) {
        PS_ASSERT(count < PS_ARRAY_LEN(names));
        names[count++] = choice->name;
    }
    const char *nearest = ps_nearest(node->text, names, count);
    ps_shown(node->text, shown);
    ps_node_path(node, path);
    ps_key_type(key, type);
    if (nearest == NULL) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not known; it is %s", path, shown, type);
    } else {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not known: did you mean %s? It is %s", path, shown, nearest,
                      type);
    }
}

static bool read_choice(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    char path[PS_NODE_PATH_MAX], type[PS_KEY_TYPE_MAX];
    for (const struct ps_choice *choice = key->choices; choice->name != NULL; choice++) {
        if (strcmp(choice->name, node->text) != 0) {
            continue;
        }
        if (choice->later) {
            ps_node_wrong(node, r->errors, "%s: %s is not supported by this version yet; it is %s",
                          ps_node_path(node, path), choice->name, ps_key_type(key, type));
        } else if (out != NULL) {
            memcpy(out, &choice->value, sizeof(choice->value));
        }
        return !choice->later;
    }
    wrong_choice(r, key, node);
    return false;
}

/* Words of a list, each once. */
static bool read_choices(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_key one = {.kind = PS_KEY_CHOICE, .choices = key->choices};
    bool all = true;
    for (struct ps_node *child = node->first; child != NULL; child = child->next) {
        bool word = child->kind == PS_NODE_SCALAR;
        if (!word) {
            ps_node_wrong(child, r->errors, "%s must be a single word", ps_node_path(child, path));
        }
        int value;
        all = word && read_choice(r, &one, child, &value) && all;
        for (const struct ps_node *other = node->first; word && other != child; other = other->next) {
            if (other->kind == PS_NODE_SCALAR && strcmp(other->text, child->text) == 0) {
                ps_node_wrong(child, r->errors, "%s: %s stands here already", ps_node_path(child, path), child->text);
                all = false;
                break;
            }
        }
        if (all) {
            memcpy((char *)out + child->index * sizeof(value), &value, sizeof(value));
        }
    }
    return all;
}

static bool read_name(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    size_t len = strlen(node->text);
    bool valid = len > 0 && len <= NAME_LEN_MAX;
    for (size_t i = 0; valid && i < len; i++) {
        valid = isalnum((unsigned char)node->text[i]) || strchr("._-", node->text[i]) != NULL;
    }
    if (!valid) {
        ps_node_wrong(node, r->errors,
                      "%s: \"%s\" is not a name: letters, digits, dot, underscore and dash, at most %d",
                      ps_node_path(node, path), ps_shown(node->text, shown), NAME_LEN_MAX);
        return false;
    }
    char *copy = ps_arena_copy(r->arena, node->text, len);
    memcpy(out, &copy, sizeof(copy));
    return true;
}

/* ---- globs ---- */

/* What is wrong with it, or NULL. */
static const char *glob_mistake(const char *glob, bool topic)
{
    size_t len = strlen(glob);
    if (len == 0) {
        return "is empty; * matches everything";
    }
    if (len > (topic ? TOPIC_LEN_MAX : TEXT_LEN_MAX)) {
        return topic ? "is longer than any topic (249)" : "is longer than 255 bytes";
    }
    if (strpbrk(glob, "[]{}\\") != NULL) {
        return "is no glob: only * (anything) and ? (one character) are special, and [ ] { } \\ are not allowed";
    }
    for (; topic && *glob != '\0'; glob++) {
        if (!isalnum((unsigned char)*glob) && strchr("._-*?", *glob) == NULL) {
            return "can match no topic: topics have letters, digits, dot, underscore and dash; globs also * and ?";
        }
    }
    return NULL;
}

static bool read_one_glob(const struct ps_config_reader *r, struct ps_node *node, bool topic, char **out)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    if (node->kind != PS_NODE_SCALAR) {
        ps_node_wrong(node, r->errors, "%s must be a name or a glob", ps_node_path(node, path));
        return false;
    }
    const char *mistake = glob_mistake(node->text, topic);
    if (mistake != NULL) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" %s", ps_node_path(node, path), ps_shown(node->text, shown), mistake);
        return false;
    }
    *out = ps_arena_copy(r->arena, node->text, strlen(node->text));
    return true;
}

static bool read_glob(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char *glob;
    if (!read_one_glob(r, node, false, &glob)) {
        return false;
    }
    memcpy(out, &glob, sizeof(glob));
    return true;
}

static bool read_topic(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    if (strpbrk(node->text, "*?") != NULL) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is a glob; it must be the name of one topic",
                      ps_node_path(node, path), ps_shown(node->text, shown));
        return false;
    }
    char *topic;
    if (!read_one_glob(r, node, true, &topic)) {
        return false;
    }
    memcpy(out, &topic, sizeof(topic));
    return true;
}

static bool read_globs(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    struct ps_strings strings = {ps_arena_alloc(r->arena, node->count * sizeof(char *)), node->count};
    bool all = true;
    for (struct ps_node *child = node->first; child != NULL; child = child->next) {
        all = read_one_glob(r, child, key->kind == PS_KEY_TOPICS, &strings.v[child->index]) && all;
    }
    if (all) {
        memcpy(out, &strings, sizeof(strings));
    }
    return all;
}

/* ---- addresses ---- */

static void set_host_port(const struct ps_config_reader *r, struct ps_span host, uint16_t port, void *out)
{
    struct ps_host_port value = {ps_arena_copy(r->arena, (const char *)host.base, host.len), port};
    memcpy(out, &value, sizeof(value));
}

/* Numeric, because a listener must not depend on a name service at its start; localhost is understood. */
static bool read_address(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX], text[64];
    unsigned char address[16];
    struct ps_span host;
    uint16_t port;
    if (key->kind == PS_KEY_ADDRESS_OR_NONE && strcmp(node->text, "none") == 0) {
        memcpy(out, &(struct ps_host_port){NULL, 0}, sizeof(struct ps_host_port));
        return true;
    }
    if (!ps_host_port_read(node->text, &host, &port)) {
        ps_node_wrong(node, r->errors,
                      "%s: \"%s\" is not an address and a port; write it like 127.0.0.1:9192, "
                      "0.0.0.0:9192 or [::]:9192",
                      ps_node_path(node, path), ps_shown(node->text, shown));
        return false;
    }
    if (ps_span_equal(host, ps_span_of("localhost"))) {
        host = ps_span_of("127.0.0.1");
    }
    snprintf(text, sizeof(text), "%.*s", (int)host.len, (const char *)host.base);
    if (inet_pton(AF_INET, text, address) != 1 && inet_pton(AF_INET6, text, address) != 1) {
        ps_node_wrong(node, r->errors,
                      "%s: \"%s\" is a name; to bind takes a numeric address: 127.0.0.1, 0.0.0.0 "
                      "for all of them, or one of this machine",
                      ps_node_path(node, path), ps_shown(text, shown));
        return false;
    }
    set_host_port(r, host, port, out);
    return true;
}

static bool read_host(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    struct ps_span host;
    uint16_t port;
    if (ps_host_port_read(node->text, &host, &port)) {
        ps_node_wrong(node, r->errors,
                      "%s: \"%s\" has a port; give only the host, the ports are those of bind and "
                      "broker_ports",
                      ps_node_path(node, path), ps_shown(node->text, shown));
        return false;
    }
    if (!ps_host_valid(ps_span_of(node->text))) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not a host name", ps_node_path(node, path),
                      ps_shown(node->text, shown));
        return false;
    }
    char *copy = ps_arena_copy(r->arena, node->text, strlen(node->text));
    memcpy(out, &copy, sizeof(copy));
    return true;
}

static bool read_text(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    size_t len = strlen(node->text);
    bool valid = len > 0;
    for (size_t i = 0; i < len; i++) {
        valid = valid && !iscntrl((unsigned char)node->text[i]);
    }
    if (!valid) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" must be text without control characters", ps_node_path(node, path),
                      ps_shown(node->text, shown));
        return false;
    }
    char *copy = ps_arena_copy(r->arena, node->text, len);
    memcpy(out, &copy, sizeof(copy));
    return true;
}

static bool read_ports(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    uint16_t range[2];
    if (!ps_port_range_read(node->text, &range[0], &range[1])) {
        ps_node_wrong(node, r->errors, "%s: \"%s\" is not a range of ports; write it like 9200-9299, from 1 to 65535",
                      ps_node_path(node, path), ps_shown(node->text, shown));
        return false;
    }
    memcpy(out, range, sizeof(range));
    return true;
}

static bool read_brokers(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    struct ps_host_port *brokers = ps_arena_alloc(r->arena, node->count * sizeof(*brokers));
    bool all = true;
    for (struct ps_node *child = node->first; child != NULL; child = child->next) {
        struct ps_span host;
        uint16_t port;
        if (child->kind == PS_NODE_SCALAR && ps_host_port_read(child->text, &host, &port) && port != 0) {
            set_host_port(r, host, port, &brokers[child->index]);
            continue;
        }
        all = false;
        ps_node_wrong(child, r->errors, "%s: \"%s\" is not a broker; write it like kafka-1.example.com:9092",
                      ps_node_path(child, path), ps_shown(child->kind == PS_NODE_SCALAR ? child->text : "", shown));
    }
    if (all) {
        memcpy(out, &brokers, sizeof(brokers));
    }
    return all;
}

/* ---- files ---- */

static bool read_file(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *out)
{
    (void)key;
    char path[PS_NODE_PATH_MAX], file[4096], shown[PS_SHOWN_MAX];
    size_t len = 0;
    snprintf(file, sizeof(file), "%s%s", node->text[0] == '/' ? "" : r->directory, node->text);
    char *text = *node->text == '\0' ? NULL : ps_file_read(file, TOKEN_LEN_MAX, false, &len);
    if (text == NULL) {
        ps_node_wrong(node, r->errors, "%s: cannot read \"%s\": %s", ps_node_path(node, path), ps_shown(file, shown),
                      *node->text == '\0' ? "no file is named"
                      : errno == EINVAL   ? "not a regular file"
                      : errno == EFBIG    ? "more than 4096 bytes"
                                          : strerror(errno));
        return false;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        len--;
    }
    bool valid = len > 0;
    for (size_t i = 0; valid && i < len; i++) {
        valid = isgraph((unsigned char)text[i]);
    }
    if (valid) {
        char *copy = ps_arena_copy(r->arena, text, len);
        memcpy(out, &copy, sizeof(copy));
    } else {
        ps_node_wrong(node, r->errors, "%s: \"%s\" must contain one word of visible ASCII characters",
                      ps_node_path(node, path), ps_shown(file, shown));
    }
    free(text);
    return valid;
}

typedef bool (*read_function)(const struct ps_config_reader *, const struct ps_key *, struct ps_node *, void *);

static const read_function readers[] = {
    [PS_KEY_NAME] = read_name,       [PS_KEY_HOST] = read_host,
    [PS_KEY_ADDRESS] = read_address, [PS_KEY_ADDRESS_OR_NONE] = read_address,
    [PS_KEY_BROKERS] = read_brokers, [PS_KEY_PORTS] = read_ports,
    [PS_KEY_GLOB] = read_glob,       [PS_KEY_GLOBS] = read_globs,
    [PS_KEY_TOPICS] = read_globs,    [PS_KEY_CHOICE] = read_choice,
    [PS_KEY_CHOICES] = read_choices, [PS_KEY_TOPIC] = read_topic,
    [PS_KEY_TEXT] = read_text,
    [PS_KEY_BOOL] = read_bool,       [PS_KEY_INTEGER] = read_integer,
    [PS_KEY_NUMBER] = read_number,   [PS_KEY_LAG] = read_lag,
    [PS_KEY_COUNT] = read_count,
    [PS_KEY_RATE] = read_rate,       [PS_KEY_BYTE_RATE] = read_rate,
    [PS_KEY_SIZE] = read_u64,        [PS_KEY_DURATION] = read_u64,
    [PS_KEY_SECONDS] = read_seconds,
    [PS_KEY_FILE] = read_file,       [PS_KEY_WORKERS] = read_workers,
};

bool ps_value_read(const struct ps_config_reader *reader, const struct ps_key *key, struct ps_node *node, void *out)
{
    return readers[key->kind](reader, key, node, out);
}
