/* worker_env.c - the worker as its sessions see it: memory, addresses, topic names, notices.
 *
 * Every function runs on the worker's thread, most of them while a session carries on (w->pumped). */
#include "worker_private.h"

#include <stdio.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"

#define MAP_PATIENCE (2 * PS_SECOND) /* for a broker's port to be bound; then its address is told in any case */

/* --------------------------------------------------------------------------------------------------- memory */

static void *block_get(void *ctx, size_t size)
{
    struct ps_worker *w = ctx;
    return ps_pool_get(&w->pool, size, PS_MAY_FAIL);
}

static void block_put(void *ctx, void *block, size_t size)
{
    struct ps_worker *w = ctx;
    ps_pool_put(&w->pool, block, size);
}

static enum ps_budget_line line_of(enum ps_side side)
{
    return side == PS_CLIENT ? PS_LINE_REQUESTS : PS_LINE_RESPONSES;
}

static bool reserve(void *ctx, void *conn, enum ps_side side, uint64_t bytes)
{
    struct ps_worker *w = ctx;
    struct ps_conn *c = conn;
    struct ps_claim *claim = &c->half[side].claim;
    PS_ASSERT(!c->half[side].claim_over); /* of the frame before nothing is left */
    if (claim->state == PS_CLAIM_NONE) { /* while it stands in the line, others read it */
        claim->worker = w;
        claim->owner = c;
    }
    if (!ps_budget_claim(&w->shared->budget, line_of(side), claim, bytes)) {
        return false;
    }
    w->claimed += bytes;
    return true;
}

/* Bytes of the frame may still stand in its buffer because the other socket is full: then the claim ends with them. */
static void release(void *ctx, void *conn, enum ps_side side)
{
    struct ps_conn *c = conn;
    struct ps_half *h = &c->half[side];
    h->claim_over = h->in.claimed;
    if (!h->claim_over) {
        ps_worker_end_claim(ctx, h, side);
    }
}

void ps_worker_end_claim(struct ps_worker *w, struct ps_half *h, enum ps_side side)
{
    w->claimed -= h->claim.state == PS_CLAIM_HELD ? h->claim.bytes : 0;
    h->claim_over = false;
    ps_budget_end(&w->shared->budget, line_of(side), &h->claim);
}

void ps_worker_take_turns(struct ps_worker *w)
{
    for (int side = 0; side < 2; side++) {
        const struct ps_claim *claim;
        do {
            claim = ps_budget_turn(&w->shared->budget, line_of((enum ps_side)side), w);
            if (claim != NULL) {
                ps_conn_resume(claim->owner, (enum ps_side)side);
            }
        } while (claim != NULL && claim->state != PS_CLAIM_WAITING);
    }
}

/* ------------------------------------------------------------------------------------------------ addresses */

/* Asked for at every broker of a Metadata response: kept for one connection at a time. */
static const char *local_address(struct ps_worker *w, const struct ps_conn *c)
{
    if (w->local_of != c) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        if (getsockname(c->half[PS_CLIENT].fd, (struct sockaddr *)&address, &len) != 0) {
            address = c->listener->address;
        }
        ps_address_text(&address, false, w->local, sizeof w->local);
        w->local_of = c;
    }
    return w->local;
}

/* A name that no client can resolve, so that it never goes round the proxy, and that tells a reader why. */
static enum ps_map_result map_nowhere(int32_t node_id, const char *why, int32_t port, struct ps_address *out)
{
    out->host_len = (size_t)snprintf(out->host, sizeof out->host, "broker-%d.%s.invalid", node_id, why);
    out->port = port;
    return PS_MAP_REWRITE;
}

static enum ps_map_result map(void *ctx, void *conn, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out)
{
    struct ps_worker *w = ctx;
    struct ps_conn *c = conn;
    if (node_id < 0 || host.len == 0 || port <= 0) {
        return PS_MAP_KEEP; /* an error entry: "no node" */
    }
    ps_cluster_learn(w->shared->cluster, node_id, host, port);
    uint16_t bound = 0;
    switch (ps_listener_broker_port(c->listener, node_id, &bound)) {
    case PS_PORT_OUTSIDE:
        return map_nowhere(node_id, "outside-penstock-broker-ports", port, out);
    case PS_PORT_NEVER:
        return map_nowhere(node_id, "penstock-cannot-listen", port, out);
    case PS_PORT_SOON:
        if (c->map_since == 0) {
            c->map_since = w->now;
            c->map_broker = node_id;
        }
        if (w->now - c->map_since < MAP_PATIENCE) {
            return PS_MAP_UNKNOWN;
        }
        if (bound == 0) {
            return map_nowhere(node_id, "penstock-not-listening-yet", port, out);
        }
        break;
    case PS_PORT_OPEN:
        c->map_since = c->map_broker == node_id ? 0 : c->map_since;
        break;
    }
    ps_listener_advertised(c->listener, local_address(w, c), out->host, sizeof out->host);
    out->host_len = strlen(out->host);
    out->port = bound;
    return PS_MAP_REWRITE;
}

/* ---------------------------------------------------------------------------------------------- topic names */

/* A topic id never means another topic, so what stands in the cache is right for ever. */
static struct ps_name_entry *name_entry(struct ps_worker *w, const uint8_t id[16])
{
    return &w->names[ps_hash(id, 16) & (PS_NAME_CACHE - 1)];
}

static void name_store(struct ps_name_entry *e, const uint8_t id[16], struct ps_span name)
{
    memcpy(e->id, id, sizeof e->id);
    memcpy(e->name, name.base, name.len);
    e->len = (uint8_t)name.len;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    struct ps_worker *w = ctx;
    struct ps_name_entry *e = name_entry(w, id);
    if (name.len == 0 || name.len > PS_TOPIC_NAME_MAX) {
        return;
    }
    struct ps_span known = {(const uint8_t *)e->name, e->len};
    if (memcmp(e->id, id, sizeof e->id) != 0 || !ps_span_equal(known, name)) {
        name_store(e, id, name);
        ps_cluster_topic_learned(w->shared->cluster, id, name);
    }
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    struct ps_worker *w = ctx;
    struct ps_name_entry *e = name_entry(w, id);
    if (e->len == 0 || memcmp(e->id, id, sizeof e->id) != 0) {
        size_t len = 0;
        if (!ps_cluster_topic_name(w->shared->cluster, id, w->name_found, &len)) {
            return false;
        }
        name_store(e, id, (struct ps_span){(const uint8_t *)w->name_found, len});
    }
    *name = (struct ps_span){(const uint8_t *)e->name, e->len};
    return true;
}

/* ----------------------------------------------------------------------------------------------------- jobs */

static struct ps_job *job_start(void *ctx, void *conn, const struct ps_job_part *parts, uint32_t count)
{
    struct ps_worker *w = ctx;
    return ps_jobs_start(&w->jobs, conn, parts, count, w->governor.rules->config);
}

static const struct ps_job_result *job_results(void *ctx, const struct ps_job *job)
{
    (void)ctx;
    return ps_jobs_results(job);
}

static void job_end(void *ctx, struct ps_job *job)
{
    (void)ctx;
    ps_jobs_end(job);
}

/* ------------------------------------------------------------------------------------------------- breakers */

void ps_worker_heard(struct ps_worker *w, struct ps_conn *c, bool ok)
{
    if (w->config->breaks) {
        ps_health_heard(&w->health, c->health, &w->config->breaker, ok, w->now);
    }
}

static bool broker_admits(void *ctx, void *conn, enum ps_priority priority, bool *probe)
{
    struct ps_worker *w = ctx;
    struct ps_conn *c = conn;
    *probe = false;
    bool admits = !w->config->breaks || ps_health_admits(c->health, priority, probe, w->now);
    c->probes += *probe ? 1 : 0;
    return admits;
}

static void broker_answered(void *ctx, void *conn, bool ok, bool probe)
{
    struct ps_worker *w = ctx;
    struct ps_conn *c = conn;
    c->probes -= probe && c->probes > 0 ? 1 : 0;
    ps_worker_heard(w, c, ok);
}

/* -------------------------------------------------------------------------------------------------- notices */

static void log_blind(const struct ps_conn *c)
{
    struct ps_span id = ps_session_client_id(c->session);
    char peer[PS_ADDRESS_TEXT];
    ps_log(PS_LOG_WARN, "sasl_blind", "client=%s listener=%s broker=%d client_id=%.*s text=%s", ps_conn_peer(c, peer),
           c->listener->name, c->broker_id, (int)id.len, id.len > 0 ? (const char *)id.base : "",
           "raw SASL tokens (SaslHandshake v0) of a mechanism that does not show where they end: the connection passes "
           "unread, no address is rewritten and no policy applies; let the client use SaslHandshake v1");
}

static void tell_text(struct ps_worker *w, const struct ps_notice *n)
{
    size_t len = n->text.len < PS_NOTICE_TEXT_MAX ? n->text.len : PS_NOTICE_TEXT_MAX;
    struct ps_notice_text_entry entry = {.head = {.kind = (uint32_t)n->kind,
                                                  .text_len = (uint16_t)len,
                                                  .records = n->records,
                                                  .identity = n->identity,
                                                  .group = n->group,
                                                  .at = n->at}};
    if (len > 0) {
        memcpy(entry.text, n->text.base, len);
    }
    (void)!ps_ring_push(w->channel.notice_texts, &entry); /* full: the session tells it again */
}

static void notice(void *ctx, const struct ps_notice *n)
{
    struct ps_worker *w = ctx;
    switch (n->kind) {
    case PS_NOTICE_ADMITTED:
    case PS_NOTICE_APPENDED:
    case PS_NOTICE_COMMITTED:
    case PS_NOTICE_FETCHED:
        ps_notices_add(&w->notices, n);
        break;
    case PS_NOTICE_TXN_OFFSET:
    case PS_NOTICE_TXN_END:
        ps_notices_pass(&w->notices, n);
        break;
    case PS_NOTICE_TOPIC:
    case PS_NOTICE_MEMBER:
    case PS_NOTICE_REBALANCE:
        tell_text(w, n);
        break;
    case PS_NOTICE_BLIND:
        log_blind(w->pumped);
        break;
    }
}

void ps_worker_env_init(struct ps_worker *w)
{
    w->env = (struct ps_session_env){.ctx = w,
                                     .governor = &w->governor,
                                     .stats = &w->stats,
                                     .limits = &w->config->limits,
                                     .block_get = block_get,
                                     .block_put = block_put,
                                     .reserve = reserve,
                                     .release = release,
                                     .map = map,
                                     .topic_learned = topic_learned,
                                     .topic_name = topic_name,
                                     .job_start = job_start,
                                     .job_results = job_results,
                                     .job_end = job_end,
                                     .broker_admits = broker_admits,
                                     .broker_answered = broker_answered,
                                     .notice = notice};
}
