/* rewrite.h - which bytes of a response change on its way to the client, as a sequence of edits.
 *
 * An edit replaces `cut` bytes at offset `at` by `put`. Edits come in order, do not overlap, and include the frame's own
 * size prefix and the size of a tagged field that contains them; what lies between them passes untouched. Nothing
 * is stored: a first walk over the gathered frame sums the differences, a second one hands out the edits.
 *
 * Rewritten: broker addresses (Metadata, FindCoordinator, DescribeCluster, and the NodeEndpoints of Produce v10+ and,
 * in their tail, of Fetch v16+, ShareFetch, ShareAcknowledge: KIP-951, KIP-932), version ranges (ApiVersions) and
 * ThrottleTimeMs (Produce). */
#ifndef PENSTOCK_REWRITE_H
#define PENSTOCK_REWRITE_H

#include "penstock/api.h"
#include "penstock/walk.h"

#define PS_HOST_MAX 255

struct ps_address {
    char host[PS_HOST_MAX + 1]; /* not terminated by contract; host_len counts */
    size_t host_len;
    int32_t port;
};

enum ps_map_result {
    PS_MAP_REWRITE, /* `out` is to stand in the response */
    PS_MAP_KEEP,    /* leave as it is (no address: error entries, host "" or port -1) */
    PS_MAP_UNKNOWN  /* not bound yet: the frame must wait; see ps_rewrite_init */
};

/* What the session brings. `map` may be called twice for the same node. `topic` (may be NULL) is told every
 * (id, name) pair of a Metadata response v10+. */
struct ps_rewrite_env {
    void *ctx;
    enum ps_map_result (*map)(void *ctx, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out);
    void (*topic)(void *ctx, const uint8_t id[16], struct ps_span name);
    int32_t throttle_time_ms; /* Produce: at least this */
    int16_t produce_max;      /* ceilings beyond the tables; INT16_MAX for none */
};

enum ps_rewrite_mode {
    PS_REWRITE_NONE = 0, /* stream it */
    PS_REWRITE_WHOLE,    /* gather the frame, then ps_rewrite_init */
    PS_REWRITE_TAIL      /* stream it through a ps_tail, gather from where that says */
};

/* What a response of this API and version needs at the least. Produce v1+ is WHOLE (throttle time). An API or
 * version unknown to the tables: NONE. */
enum ps_rewrite_mode ps_rewrite_mode_of(const struct ps_api *api, int16_t version);

struct ps_edit {
    uint64_t at;        /* offset in the frame as it was, size prefix included */
    uint64_t cut;       /* bytes removed there */
    struct ps_span put; /* bytes inserted; valid until the next ps_rewrite_next */
};

struct ps_rewrite {
    const struct ps_rewrite_env *env;
    const struct ps_api *api;
    const uint8_t *frame;
    uint64_t frame_len;
    uint64_t body_at;
    int16_t version;
    uint8_t phase;
    int64_t delta;       /* of the whole frame */
    int64_t tag_delta;   /* of the tagged field that holds NodeEndpoints */
    int64_t key_count;   /* ApiVersions: entries that stay */
    struct ps_walk walk;
    uint64_t walked;     /* bytes of the body fed to the walk */
    int32_t node_id;
    struct ps_span host;
    uint64_t host_at, host_len, port_at;
    uint8_t scratch[PS_HOST_MAX + 32];
    uint64_t state[8];   /* rewrite.c */
};

enum ps_rewrite_result {
    PS_REWRITE_OK = 1,
    PS_REWRITE_WAIT, /* an address is not bound yet (PS_MAP_UNKNOWN); try again later */
    PS_REWRITE_BAD   /* malformed response */
};

/* frame: the whole frame with its 4-byte size prefix; it and env must outlive the edits. */
enum ps_rewrite_result ps_rewrite_init(struct ps_rewrite *r, const struct ps_rewrite_env *env,
                                       const struct ps_api *api, int16_t version,
                                       const uint8_t *frame, uint64_t frame_len) PS_MUST_CHECK;
/* The next edit, in order; false when there are no more. */
bool ps_rewrite_next(struct ps_rewrite *r, struct ps_edit *edit);

/* Fetch v16+, ShareFetch, ShareAcknowledge: the addresses stand at the very end of a response that may be huge. */
struct ps_tail {
    struct ps_walk walk;
    const struct ps_api *api;
    int16_t version;
    uint64_t body_len;
    bool found;
};
enum ps_tail_step { PS_TAIL_PASS = 1, /* all of data passes */ PS_TAIL_HERE, /* *used passes, the rest is the tail */ PS_TAIL_BAD };
void ps_tail_init(struct ps_tail *t, const struct ps_api *api, int16_t version, uint64_t body_len);
enum ps_tail_step ps_tail_next(struct ps_tail *t, const uint8_t *data, size_t len, size_t *used);
/* Rewrites a gathered tail into out, at exactly its own length: shorter addresses are made up for by an unknown tagged
 * field, and if they do not fit the endpoints are left out (the client then refreshes its metadata: KIP-951). `tail`
 * and `out` may not overlap. OK, WAIT or BAD as above. */
enum ps_rewrite_result ps_tail_rewrite(const struct ps_tail *t, const struct ps_rewrite_env *env,
                                       const uint8_t *tail, size_t len, uint8_t *out) PS_MUST_CHECK;

#endif
