/* rewrite.h - which bytes of a response change on its way to the client, as a sequence of edits.
 *
 * An edit replaces `cut` bytes at offset `at` by `put`. Edits come in order, do not overlap, and include the frame's
 * own size prefix and the size of a tagged field that contains them; what lies between them passes untouched. Nothing
 * is stored: a first walk over the gathered frame sums the differences, a second one hands out the edits.
 *
 * Rewritten: broker addresses (Metadata, FindCoordinator, DescribeCluster, ShareAcknowledge, the NodeEndpoints of
 * Produce v10+ and, in their tail, of Fetch v16+ and ShareFetch: KIP-951, KIP-932), version ranges (ApiVersions) and
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

/* What the session brings. `map` is asked once for each node id of a frame (of more than PS_MEMO_NODES: perhaps again),
 * so that a frame is of one piece even if the bindings change meanwhile. It is not asked for nodes without an address
 * (host "" or port -1).
 * `topic` (may be NULL) is told every (id, name) pair of a Metadata response v10+. */
struct ps_rewrite_env {
    void *ctx;
    enum ps_map_result (*map)(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out);
    void (*topic)(void *ctx, const uint8_t id[16], struct ps_span name);
    int32_t throttle_time_ms; /* Produce: at least this */
    int16_t produce_max;      /* ceiling of Produce beyond the tables; INT16_MAX for none */
};

enum ps_rewrite_mode {
    PS_REWRITE_NONE = 0, /* stream it */
    PS_REWRITE_WHOLE,    /* gather the frame, then ps_rewrite_init */
    PS_REWRITE_TAIL      /* stream it through a ps_tail, gather from where that says */
};

/* What a response of this API and version needs at the least. api may be NULL. An API or version unknown to the tables:
 * NONE, except that ApiVersions is WHOLE in every version, because its refusal (error 35) always has the layout of
 * version 0. */
enum ps_rewrite_mode ps_rewrite_mode_of(const struct ps_api *api, int16_t version);
/* Of a Produce response of a version that the tables know, of which `have` bytes are there: true if nothing in it could
 * be changed but throttle_time_ms, because it tells of no brokers (KIP-951). False says nothing: ps_rewrite_init finds
 * out. */
bool ps_rewrite_spares(int16_t version, const uint8_t *frame, size_t have, uint64_t frame_len);

struct ps_edit {
    uint64_t at;        /* offset in the frame as it was, size prefix included */
    uint64_t cut;       /* bytes removed there */
    struct ps_span put; /* bytes inserted, perhaps none; valid until the next ps_rewrite_next */
};

#define PS_NODE_PUT_MAX (5 + PS_HOST_MAX + 4) /* length, host, port */

/* What `map` said, by node id: the walks over a frame must agree. */
#define PS_MEMO_NODES 256
#define PS_MEMO_HOSTS 1024 /* bytes of host names; nodes of one host in a row share it */

struct ps_memo {
    uint32_t count, hosts_len;
    struct ps_memo_node {
        int32_t id, port;
        uint16_t host_at; /* in hosts */
        uint8_t host_len;
        uint8_t result;   /* enum ps_map_result */
    } nodes[PS_MEMO_NODES];
    char hosts[PS_MEMO_HOSTS];
};

/* A node (broker, coordinator, endpoint) being read: id, host and port stand in this order wherever they occur. */
struct ps_node {
    int32_t id;
    uint64_t host_at;    /* in the body, where the length of the host begins */
    struct ps_span host; /* content, in the frame */
    uint8_t put[PS_NODE_PUT_MAX];
};

/* An entry of ApiVersions being read. */
struct ps_key_range {
    uint64_t at; /* in the body */
    int16_t key, min, max;
    bool dropped;
};

enum ps_rewrite_phase {
    PS_REWRITE_SUM = 1, /* first walk */
    PS_REWRITE_SIZE,    /* the frame's size prefix comes next */
    PS_REWRITE_EDIT,    /* second walk */
    PS_REWRITE_END
};

struct ps_rewrite {
    const struct ps_rewrite_env *env;
    const struct ps_api *api;
    const uint8_t *frame;
    uint64_t frame_len;
    uint64_t body_at;
    int16_t version; /* of the layout: 0 for an ApiVersions refusal */
    enum ps_rewrite_phase phase;
    bool unbound;         /* a node has no address yet */
    bool torn;            /* the walks did not agree: the edits that were handed out do not fit together */
    int64_t delta;        /* of the whole frame */
    int64_t tag_delta;    /* of the content of the tagged field with the nodes */
    uint32_t tag_count;   /* such fields met: more than one is malformed */
    uint32_t keys_kept;   /* ApiVersions: entries that stay */
    int16_t metadata_max; /* ApiVersions: the newest Metadata that the broker knows; -1: it did not say */
    struct ps_hit prefix; /* of the tagged field or of the array of keys: its length follows from the first walk */
    struct ps_walk walk;
    uint64_t walked; /* bytes of the body fed to the walk */
    struct ps_node node;
    struct ps_memo memo;
    struct ps_key_range range;
    struct ps_span topic; /* name of the topic being read (Metadata) */
    uint8_t put[8];       /* of an edit that is only a number */
};

enum ps_rewrite_result {
    PS_REWRITE_OK = 1,
    PS_REWRITE_WAIT, /* an address is not bound yet (PS_MAP_UNKNOWN); try again later */
    PS_REWRITE_BAD   /* malformed response */
};

/* frame: the whole frame with its 4-byte size prefix; it and env must outlive the edits. The mode of the version must
 * be WHOLE. Every node is shown to env->map, also when the result is WAIT. */
enum ps_rewrite_result ps_rewrite_init(struct ps_rewrite *r, const struct ps_rewrite_env *env, const struct ps_api *api,
                                       int16_t version, const uint8_t *frame, uint64_t frame_len) PS_MUST_CHECK;
/* The next edit, in order; false when there are no more. Only after PS_REWRITE_OK. If r->torn is then set, the frame is
 * not as long as its size prefix says, and the connection must be closed: there were more than PS_MEMO_NODES nodes, or
 * more names than PS_MEMO_HOSTS holds, and `map` changed an answer in between. */
bool ps_rewrite_next(struct ps_rewrite *r, struct ps_edit *edit);

/* Fetch v16+ and ShareFetch: the addresses stand at the very end of a response that may be huge. */
struct ps_tail {
    struct ps_walk walk; /* once the tail is found, it stands at its first byte */
    const struct ps_api *api;
    int16_t version;
    uint64_t body_len;
    bool found;
};

enum ps_tail_step {
    PS_TAIL_PASS = 1, /* all of data passes */
    PS_TAIL_HERE,     /* *used passes, the rest of the frame is the tail */
    PS_TAIL_BAD
};

/* body_len: without the header. The mode of the version must be TAIL. */
void ps_tail_init(struct ps_tail *t, const struct ps_api *api, int16_t version, uint64_t body_len);
/* Not after HERE or BAD. */
enum ps_tail_step ps_tail_next(struct ps_tail *t, const uint8_t *data, size_t len, size_t *used);
/* Bytes of the tail; once it is found. */
uint64_t ps_tail_len(const struct ps_tail *t);
/* Rewrites a gathered tail of ps_tail_len bytes into out, at exactly its own length: shorter addresses are made up for
 * by an unknown tagged field, and if that cannot be, the endpoints are left out (the client then refreshes its
 * metadata: KIP-951). `tail` and `out` may not overlap. */
enum ps_rewrite_result ps_tail_rewrite(const struct ps_tail *t, const struct ps_rewrite_env *env, const uint8_t *tail,
                                       size_t len, uint8_t *out) PS_MUST_CHECK;

#endif
