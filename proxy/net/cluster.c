/* cluster.c - the broker table and the names of topic ids, behind one mutex.
 *
 * Brokers stand in an array ordered by id: there are few of them, they are looked up when a response names one, and
 * they never go (a client may still hold the port of a broker that is away). Topics are a ring in order of learning,
 * with a table of positions hashed by id: a topic is found in one probe, and at the bound the oldest gives way. */
#include "cluster.h"

#include <pthread.h>
#include <stdlib.h>

#include "penstock/governor.h"

#define BROKERS_MAX 4096
#define TOPICS_MAX  16384
#define TABLE_SIZE  (2 * TOPICS_MAX) /* a power of two; at most half full */
#define NONE        UINT16_MAX

struct topic {
    uint8_t id[16];
    uint8_t len;
    char *name; /* NULL: the position was never used */
};

struct ps_cluster {
    pthread_mutex_t lock;
    void (*on_change)(void *ctx);
    void *ctx;
    struct ps_broker *brokers;
    size_t broker_count, broker_cap;
    struct topic *topics;   /* [TOPICS_MAX], made when the first topic is learned */
    uint16_t *table;        /* [TABLE_SIZE]: positions in topics, NONE */
    size_t topic_next;      /* where the next one goes: the oldest, once the ring is full */
};

struct ps_cluster *ps_cluster_new(void (*on_change)(void *ctx), void *ctx)
{
    struct ps_cluster *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->on_change = on_change;
    c->ctx = ctx;
    return c;
}

void ps_cluster_free(struct ps_cluster *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; c->topics != NULL && i < TOPICS_MAX; i++) {
        free(c->topics[i].name);
    }
    free(c->topics);
    free(c->table);
    free(c->brokers);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ------------------------------------------------------------------------------------------------ brokers */

/* Position of the first broker whose id is not below this one. */
static size_t broker_position(const struct ps_cluster *c, int32_t id)
{
    size_t low = 0, high = c->broker_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->brokers[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct ps_broker *broker_find(const struct ps_cluster *c, int32_t id)
{
    size_t at = broker_position(c, id);
    return at < c->broker_count && c->brokers[at].id == id ? &c->brokers[at] : NULL;
}

/* NULL: the table is at its bound, or memory is out. */
static struct ps_broker *broker_insert(struct ps_cluster *c, int32_t id)
{
    if (c->broker_count == BROKERS_MAX) {
        return NULL;
    }
    if (c->broker_count == c->broker_cap) {
        size_t cap = c->broker_cap == 0 ? 8 : c->broker_cap * 2;
        struct ps_broker *brokers = realloc(c->brokers, cap * sizeof *brokers);
        if (brokers == NULL) {
            return NULL;
        }
        c->brokers = brokers;
        c->broker_cap = cap;
    }
    size_t at = broker_position(c, id);
    memmove(&c->brokers[at + 1], &c->brokers[at], (c->broker_count - at) * sizeof *c->brokers);
    c->broker_count++;
    c->brokers[at] = (struct ps_broker){.id = id};
    return &c->brokers[at];
}

static bool same_address(const struct ps_broker *b, struct ps_span host, int32_t port)
{
    return b->port == port && ps_span_equal(ps_span_of(b->host), host);
}

bool ps_cluster_learn(struct ps_cluster *c, int32_t id, struct ps_span host, int32_t port)
{
    bool has_nul = host.len > 0 && memchr(host.base, '\0', host.len) != NULL;
    if (id < 0 || host.len == 0 || host.len > PS_HOST_MAX || has_nul || port <= 0 || port > UINT16_MAX) {
        return false;
    }
    pthread_mutex_lock(&c->lock);
    struct ps_broker *b = broker_find(c, id);
    bool changed = b == NULL || !same_address(b, host, port);
    if (b == NULL) {
        b = broker_insert(c, id);
    }
    if (b != NULL && changed) {
        memcpy(b->host, host.base, host.len);
        b->host[host.len] = '\0';
        b->port = (uint16_t)port;
    }
    bool known = b != NULL, bound = known && b->bound;
    pthread_mutex_unlock(&c->lock);
    if (known && changed && c->on_change != NULL) {
        c->on_change(c->ctx);
    }
    return bound;
}

void ps_cluster_bound(struct ps_cluster *c, int32_t id)
{
    pthread_mutex_lock(&c->lock);
    struct ps_broker *b = broker_find(c, id);
    if (b != NULL) {
        b->bound = true;
    }
    pthread_mutex_unlock(&c->lock);
}

bool ps_cluster_find(struct ps_cluster *c, int32_t id, struct ps_broker *out)
{
    pthread_mutex_lock(&c->lock);
    const struct ps_broker *b = broker_find(c, id);
    if (b != NULL) {
        *out = *b;
    }
    pthread_mutex_unlock(&c->lock);
    return b != NULL;
}

size_t ps_cluster_list(struct ps_cluster *c, struct ps_broker *out, size_t cap)
{
    pthread_mutex_lock(&c->lock);
    size_t count = c->broker_count;
    if (count > 0 && cap > 0) {
        memcpy(out, c->brokers, (count < cap ? count : cap) * sizeof *out);
    }
    pthread_mutex_unlock(&c->lock);
    return count;
}

/* ------------------------------------------------------------------------------------------------- topics */

static size_t table_home(const uint8_t id[16])
{
    return ps_hash(id, 16) & (TABLE_SIZE - 1);
}

/* Where the table points to this id, or the empty place where it would. */
static size_t table_find(const struct ps_cluster *c, const uint8_t id[16])
{
    size_t at = table_home(id);
    while (c->table[at] != NONE && memcmp(c->topics[c->table[at]].id, id, 16) != 0) {
        at = (at + 1) & (TABLE_SIZE - 1);
    }
    return at;
}

/* Empties a place and moves up those behind it that a search would no longer reach. */
static void table_remove(struct ps_cluster *c, size_t hole)
{
    size_t at = hole;
    for (;;) {
        at = (at + 1) & (TABLE_SIZE - 1);
        if (c->table[at] == NONE) {
            break;
        }
        size_t home = table_home(c->topics[c->table[at]].id);
        size_t from_home = (at - home) & (TABLE_SIZE - 1);
        size_t from_hole = (at - hole) & (TABLE_SIZE - 1);
        if (from_home >= from_hole) {
            c->table[hole] = c->table[at];
            hole = at;
        }
    }
    c->table[hole] = NONE;
}

static bool topics_make(struct ps_cluster *c)
{
    if (c->topics == NULL) {
        struct topic *topics = calloc(TOPICS_MAX, sizeof *topics);
        uint16_t *table = malloc(TABLE_SIZE * sizeof *table);
        if (topics == NULL || table == NULL) {
            free(topics);
            free(table);
            return false;
        }
        memset(table, 0xFF, TABLE_SIZE * sizeof *table); /* all NONE */
        c->topics = topics;
        c->table = table;
    }
    return true;
}

/* Takes over name. */
static void topic_store(struct ps_cluster *c, const uint8_t id[16], char *name, size_t len)
{
    size_t place = table_find(c, id);
    if (c->table[place] == NONE) {
        struct topic *t = &c->topics[c->topic_next];
        if (t->name != NULL) {
            table_remove(c, table_find(c, t->id));
            place = table_find(c, id); /* the removal may have moved the empty place */
        }
        memcpy(t->id, id, 16);
        c->table[place] = (uint16_t)c->topic_next;
        c->topic_next = (c->topic_next + 1) % TOPICS_MAX;
    }
    struct topic *t = &c->topics[c->table[place]];
    free(t->name);
    t->name = name;
    t->len = (uint8_t)len;
}

void ps_cluster_topic_learned(struct ps_cluster *c, const uint8_t id[16], struct ps_span name)
{
    static const uint8_t zero[16];
    if (name.len == 0 || name.len > PS_TOPIC_NAME_MAX || memcmp(id, zero, 16) == 0) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    if (topics_make(c)) {
        size_t place = table_find(c, id);
        const struct topic *known = c->table[place] == NONE ? NULL : &c->topics[c->table[place]];
        bool same = known != NULL && known->len == name.len && memcmp(known->name, name.base, name.len) == 0;
        char *copy = same ? NULL : malloc(name.len);
        if (copy != NULL) {
            memcpy(copy, name.base, name.len);
            topic_store(c, id, copy, name.len);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

bool ps_cluster_topic_name(struct ps_cluster *c, const uint8_t id[16], char *name, size_t *len)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    if (c->topics != NULL) {
        size_t place = table_find(c, id);
        if (c->table[place] != NONE) {
            const struct topic *t = &c->topics[c->table[place]];
            memcpy(name, t->name, t->len);
            name[t->len] = '\0';
            *len = t->len;
            found = true;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}
