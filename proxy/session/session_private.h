/* session_private.h - the insides of a session, shared by the files of this folder and by nobody else.
 *
 * An idle session is this struct and nothing more. What only some sessions need hangs off it in blocks from the
 * worker's pool: the ring of requests in flight, the gate (flows, ticket) of a producer that a policy governs, its
 * sticky refusals, and the walkers of a frame that cannot be judged from its head. */
#ifndef PENSTOCK_SESSION_PRIVATE_H
#define PENSTOCK_SESSION_PRIVATE_H

#include "penstock/ask.h"
#include "penstock/family.h"
#include "penstock/parcel.h"
#include "penstock/produce.h"
#include "penstock/reply.h"
#include "penstock/sasl.h"
#include "penstock/session.h"
#include "penstock/tenant.h"

#define PS_IN_FLIGHT_FEW    4    /* ... that most connections have at the most, and so need no block */
#define PS_IN_FLIGHT_MAX    4096 /* requests without an answer; at the bound the client is not read */
#define PS_GATE_SLOTS_MAX   16   /* that a connection pays at in turn with its place kept, and that one request may wait
                                  * at; those beyond pay, but without a wait */
#define PS_STICKY_MAX       64
#define PS_CLEAR_TOPICS     4    /* topics without a policy that a connection remembers */
#define PS_CLIENT_ID_KEPT   64
#define PS_SOFTWARE_KEPT    32
#define PS_STICKY_TTL       (60 * PS_SECOND)
#define PS_RULE_WAIT        PS_SECOND           /* for the control thread to make the rule of a new topic */
#define PS_MAP_RETRY        (20 * PS_MILLISECOND)
#define PS_MEMBER_INTERVAL  (30 * PS_SECOND)
#define PS_HEAD_MIN         14                  /* length, key, version, correlation id, length of the client id */
#define PS_SLOT_NONE        UINT32_MAX
/* Kafka class Errors: nothing was stored, and whoever may be told so sends it again; final for every client. */
#define PS_ERROR_NOT_ENOUGH_REPLICAS 19
#define PS_ERROR_POLICY_VIOLATION    44
#define PS_ACCEPTED_MAX     8    /* topics that a connection is known to be allowed to write to */
#define PS_ISOLATE_LATELY   (10 * PS_SECOND)
#define PS_CLAIMS_MAX       32   /* partitions of a topic that are waited for in turn; further ones come after them */
#define PS_TEXT_MAX         288  /* of the sentence of a refusal: the names of policy and group are cut (ps_setting) */
#define PS_NOTE_ITEMS_MAX   1024 /* partitions of one request that are remembered until its answer */
#define PS_NOTES_MAX        32   /* requests in flight of a connection that may hold a block for them */

/* One PS_COUNT has one writer (the worker); readers load relaxed. */
#define PS_COUNT(field, n) __atomic_store_n(&(field), (field) + (uint64_t)(n), __ATOMIC_RELAXED)

/* ---- requests in flight (session_inflight.c) ---- */

enum ps_answer {
    PS_ANSWER_BROKER = 1, /* the broker's */
    PS_ANSWER_OURS,       /* stored here */
    PS_ANSWER_MAYBE,      /* unknown */
    PS_ANSWER_TOKEN,      /* the broker's, without a header: a raw SASL token for a raw SASL token */
    PS_ANSWER_KEPT        /* the broker's, to a question of ours: kept from the client */
};

/* A partition that a request told something of. */
struct ps_seen {
    uint32_t slot;
    int32_t partition;
    int64_t value;        /* Produce: records of its batch; commits: the offset */
};

/* What a request told that counts when its answer says so (session_note.c); a block. */
struct ps_note {
    uint64_t group;       /* of a commit: ps_hash of the group id */
    uint64_t identity;    /* of a transaction */
    bool committed;       /* EndTxn: it ends with a commit */
    bool changed;         /* heartbeat of KIP-848: the member joins, leaves, or says what it owns now */
    uint32_t count, cap;
    uint32_t told;        /* those before have had their answer */
    uint32_t text_len;    /* of a group id, which then stands where the items are */
    struct ps_seen v[];
};

struct ps_inflight {
    int32_t correlation_id;
    int16_t api_key, api_version;
    uint8_t answer;       /* enum ps_answer */
    bool tells;           /* BROKER: the answer is looked at: ps_signal_answer */
    bool probe;           /* of the breaker of its broker */
    bool overdue;         /* it was counted as failed at its broker... */
    bool overdue_for_policy; /* ... and at its slot */
    uint32_t slot;        /* Produce: where throttle_time_ms is asked for; PS_SLOT_NONE */
    uint32_t reply_len, reply_cap;
    uint8_t *reply;       /* OURS: a block */
    int32_t told_ms;      /* OURS: its throttle_time_ms */
    ps_ns sent_at;
    ps_ns hold_until;     /* the answer does not pass before; 0: at once */
    struct ps_parcel_answer *ours; /* partitions that the broker did not get, for its answer; a block of ours->size */
    int32_t throttle_ms;  /* ... and what they ask for */
    uint64_t topic;       /* Produce of one batch: hash of the topic's name */
    struct ps_seen seen;  /* Produce of one batch, the first of its slots; slot PS_SLOT_NONE: it is no such */
    struct ps_note *note; /* what else was seen; NULL: nothing */
};

struct ps_inflight_ring {
    struct ps_inflight *v; /* few, or a block */
    uint32_t cap, head, count;
    uint32_t maybes; /* PS_ANSWER_MAYBE among them */
    struct ps_inflight few[PS_IN_FLIGHT_FEW];
};

void ps_inflight_init(struct ps_session *s);

/* NULL: at the bound, or no memory. */
struct ps_inflight *ps_inflight_push(struct ps_session *s);
struct ps_inflight *ps_inflight_head(struct ps_session *s);
/* The request in hand, if it is the newest in flight; NULL if it is not: nothing is awaited, or it was answered. */
struct ps_inflight *ps_inflight_newest(struct ps_session *s);
void ps_inflight_pop(struct ps_session *s);
void ps_inflight_make_room(struct ps_session *s); /* at the bound: the oldest that may have no answer are given up */
void ps_inflight_clear(struct ps_session *s);

/* session_note.c. Remembers, unless there are too many already, or no memory. */
void ps_note_add(struct ps_session *s, struct ps_note **note, struct ps_seen seen);
/* One without items; NULL: at the bound. */
struct ps_note *ps_note_new(struct ps_session *s, struct ps_span text);
struct ps_span ps_note_text(const struct ps_note *note);
/* What was seen of this partition, once; NULL: nothing, or it was asked for before. */
const struct ps_seen *ps_note_take(struct ps_note *note, uint32_t slot, int32_t partition);
void ps_note_free(struct ps_session *s, struct ps_note **note);

/* ---- names asked for (session_topic.c) ---- */

enum ps_topic_state {
    PS_TOPIC_NONE = 0, /* free */
    PS_TOPIC_WANTED,   /* to be asked for before the next request passes */
    PS_TOPIC_ASKED,
    PS_TOPIC_UNNAMED   /* the answer had no name for it: not asked for until... */
};

/* A block, while some id is without a name. */
struct ps_topics {
    struct ps_topic_entry {
        uint8_t id[16];
        enum ps_topic_state state;
        ps_ns until;
    } v[PS_ASK_TOPICS_MAX];
    bool asking;          /* a question is in flight */
    ps_ns until;          /* ... and a request waits for its answer until then */
    /* the answer, while it is read */
    struct ps_walk walk;
    uint32_t header_left;
    size_t name_len;      /* of the topic being read; 0: it has none */
    uint8_t name[PS_TOPIC_NAME_MAX];
};

/* ---- the gate: what a governed producer needs (session_gate.c) ---- */

/* Partitions that were refused and will come back, in the order in which they first were; a block. */
struct ps_claims {
    uint32_t count;
    struct ps_claim {
        int32_t partition;
        double records;  /* that it brought last */
        ps_ns seen_at;   /* and when */
    } v[PS_CLAIMS_MAX];
};

/* What was refused at once and will come back (session_isolate.c). */
struct ps_away {
    struct ps_ticket ticket; /* waits in its place */
    struct ps_cost asked;    /* what was refused last */
    struct ps_cost credit;   /* that the valve has let go meanwhile */
    struct ps_claims *claims; /* who is to have it; NULL: whoever comes first */
    ps_ns seen_at;           /* it came last; 0: nothing is kept for it */
    ps_ns since;             /* and has been refused ever since; 0: it passed */
};

struct ps_gate_flow {
    uint32_t slot; /* PS_SLOT_NONE: free */
    ps_ns used_at;
    ps_ns told_max; /* of its policy */
    struct ps_account *account; /* where the slot's policy counts for... */
    uint64_t account_tenant;    /* ... this tenant (ps_session.tenant_id); NULL: not looked up */
    struct ps_flow flow;
    struct ps_away away;
};

/* One slot that the request in hand pays at. Slots in the order met; asked one after the other. */
struct ps_gate_item {
    uint32_t slot;
    bool admitted;   /* asked and charged */
    bool exempt;     /* a member of the governing group, or a tenant that the policy is not about: never asked */
    bool shadow;     /* decided and counted, never asked */
    bool spared;     /* nothing is left to ask for: its records take another way */
    bool diverted;   /* that was tried */
    bool saturated, forbidden, acted; /* was counted */
    uint8_t action;  /* enum ps_action: what was done to it last */
    struct ps_gate_flow *flow;
    const struct ps_policy_config *policy; /* ps_verdict_policy */
    uint64_t rules_version;                /* ... of these rules */
    uint64_t topic;  /* hash of its name */
    int32_t partition; /* of its first batch */
    double known;    /* records that the head told */
    double cost;     /* ... and that are expected of the rest */
    struct ps_cost paid; /* while admitted */
    double seen;     /* records counted as batches passed */
    double bytes;    /* of those batches, in a request that has a plan */
};

/* What a connection needs that pays at more than one slot; a block. */
struct ps_gate_more {
    struct ps_gate_flow flows[PS_GATE_SLOTS_MAX - 1];
    struct ps_gate_item items[PS_GATE_SLOTS_MAX - 1];
};

enum ps_sticky_kind {
    PS_STICKY_REFUSED = 1, /* the sequence comes back, and nothing passes before it */
    PS_STICKY_SHED,        /* it does not: its client begins a new epoch, or gives the sequence to another batch */
    PS_STICKY_ANEW,        /* which it did: what follows must follow one upon the other */
};

/* A refusal that stands (session_sticky.c). */
struct ps_sticky {
    int64_t producer_id; /* -1: free */
    uint64_t topic_hash; /* of the topic as the wire named it: by name or by id */
    int32_t partition;
    int32_t sequence;    /* the first one withheld that has not come back, or that has not passed: what is awaited */
    int32_t newest;      /* ... and the last one */
    int16_t epoch;
    enum ps_sticky_kind kind;
    ps_ns since;         /* it was refused last, or came to be awaited; ANEW: what it follows was shed, or refused */
};

struct ps_stickies {
    uint32_t count;
    struct ps_sticky v[PS_STICKY_MAX];
};

/* What was seen of a frame from its head, kept while it waits. */
struct ps_look {
    bool governed;        /* a rule covers a topic that was seen */
    bool complete;        /* the whole frame was seen */
    bool strips;          /* a batch of those that lose their idempotence was seen */
    bool single;          /* one topic, one partition, its batch seen: the rest has nothing to tell */
    bool batch_valid;
    uint32_t unnamed;     /* topics seen that nobody has named */
    int32_t topic_count;
    int32_t partition;    /* of the last batch seen */
    uint64_t topic_hash;  /* of the last topic seen, as the wire names it */
    uint64_t free_topic;  /* of the last topic seen that no policy covers, by its name; 0: none */
    struct ps_batch batch;
};

/* A topic that passed without a wait. */
struct ps_healthy {
    uint64_t topic; /* hash of its name; of one that no policy covers, as the wire names it */
    ps_ns at;       /* 0: none */
};

struct ps_gate {
    struct ps_look look;      /* of the request that waits */
    struct ps_gate_flow flow; /* the first, and for most connections the only one: ps_gate_flow_at */
    struct ps_gate_item item; /* likewise: ps_gate_item_at */
    struct ps_gate_more *more; /* NULL: one slot has been enough */
    uint32_t item_count;
    uint32_t item_next;       /* the one being asked for */
    struct ps_ticket ticket;
    ps_ns wait_since;         /* the request began to wait; 0: it does not */
    ps_ns wait_max, client_timeout; /* tightest over the items that are asked for; PS_NEVER if none is */
    ps_ns waited_at;          /* something waited then: read in small pieces for a while; 0 never */
    ps_ns look_at;            /* WAIT: the request is looked at again then */
    ps_ns hold_until;         /* its answer waits until then; 0: it does not */
    bool unlisted;            /* it has more slots than items */
    bool waited;              /* the request in hand did */
    bool queued;              /* it was asked whether there is room in the queue */
    bool evicted;             /* ps_session_evict */
    bool away;                /* some flow waits for what was refused */
    bool over_limit;          /* the request in hand was let through although its turn had not come */
    bool blocked;             /* a sticky refusal stands against a batch of the request in hand */
    struct ps_stickies *sticky; /* a block; NULL while no refusal stands */
    ps_ns sticky_at;            /* the newest of them was made then */
    struct ps_healthy healthy[2]; /* the one that did last, and the last other one */
    uint64_t accepted[PS_ACCEPTED_MAX]; /* hashes of names: the broker took a batch of this client for them */
    uint32_t accepted_next;
};

static inline uint32_t ps_gate_cap(const struct ps_gate *g)
{
    return g->more == NULL ? 1 : PS_GATE_SLOTS_MAX;
}
/* i < ps_gate_cap. Neither moves while the gate is there: valves and tickets point to flows. */
static inline struct ps_gate_flow *ps_gate_flow_at(struct ps_gate *g, uint32_t i)
{
    return i == 0 ? &g->flow : &g->more->flows[i - 1];
}
static inline struct ps_gate_item *ps_gate_item_at(struct ps_gate *g, uint32_t i)
{
    return i == 0 ? &g->item : &g->more->items[i - 1];
}

/* ---- SASL (session_sasl.c) ---- */

enum ps_auth {
    PS_AUTH_NONE = 0,  /* no exchange is under way, and none has come to its end */
    PS_AUTH_HANDSHAKE, /* SaslHandshake is forwarded and not answered */
    PS_AUTH_TOKENS,    /* the broker agreed to the mechanism: tokens pass, raw or as SaslAuthenticate */
    PS_AUTH_DONE,
    PS_AUTH_BLIND      /* raw tokens of a mechanism that is not known: no frames any more */
};

/* What is remembered while an exchange is under way; a block. */
struct ps_sasl_exchange {
    enum ps_sasl_mechanism mechanism;
    bool client_spoke;       /* its first token has passed */
    uint8_t server_tokens;
    uint8_t principal_len;   /* 0: unknown */
    char principal[PS_PRINCIPAL_MAX]; /* as the client claims */
};

/* ---- frames ---- */

enum ps_request_phase {
    PS_REQUEST_HEAD = 1,   /* between frames */
    PS_REQUEST_TOPICS,     /* the broker is being asked for names of topics */
    PS_REQUEST_RULE,       /* the topic is covered, its rule is being made */
    PS_REQUEST_RESERVE,    /* must be gathered, memory is not there yet */
    PS_REQUEST_GATHER,
    PS_REQUEST_JOB,        /* its records are being rebuilt, or stored elsewhere */
    PS_REQUEST_WAIT,       /* a ticket waits at a valve; nothing of the frame has passed */
    PS_REQUEST_STREAM,     /* passing, walked to count batches */
    PS_REQUEST_STREAM_WAIT,/* a ticket waits in the middle of a frame too large to gather */
    PS_REQUEST_EDIT,       /* passing in parts, or with other records */
    PS_REQUEST_SWALLOW,    /* dropped while our answer is being written */
    PS_REQUEST_HANDSHAKE,  /* SaslHandshake v0 is being answered: what follows depends on that */
    PS_REQUEST_TOKENS,     /* between raw SASL tokens, which come one by one until the exchange is over */
    PS_REQUEST_BLIND       /* raw SASL tokens whose end cannot be told: no frames any more */
};

/* Head of the request in hand. */
struct ps_request {
    uint64_t frame_len;    /* with the size prefix */
    uint64_t left;         /* STREAM, SWALLOW: bytes of the frame not yet ordered */
    uint32_t header_len;   /* size prefix and request header */
    int32_t correlation_id;
    int16_t api_key, api_version;
    int16_t acks;
    enum ps_producer producer;
    bool probes;           /* a breaker's probe, and not yet in flight */
    bool counted;          /* in requests_total: a frame is looked at more than once */
    bool claims;           /* memory for frame_len is reserved or waited for */
    bool gathered;         /* it is reserved */
    bool ungatherable;     /* memory did not come in time: judged by its head */
    struct ps_note *note;  /* what was seen of it; its entry's once that is in flight */
    ps_ns held_at;         /* it waits, for a rule, for memory or at a valve, since then; 0: it does not */
    ps_ns held;            /* ... and has waited so long before */
};

/* A frame that is walked while it passes; a block. */
struct ps_request_walk {
    struct ps_produce produce;
    uint32_t header_left;
    struct ps_reply reply;
    uint8_t *reply_block;
    size_t reply_cap;
    char message[PS_TEXT_MAX];
    size_t message_len;
    uint32_t unnamed;                        /* topics passed that nobody has named */
    uint64_t topic_hash;                     /* of the topic being passed, as the wire names it */
    uint32_t rule_slots[PS_TOPIC_RULES_MAX]; /* of the topic being passed */
    bool rule_applies[PS_TOPIC_RULES_MAX];   /* ps_gate_applies, for those that have no item */
    uint32_t rule_slot_count;
    bool free;                               /* no policy covers it */
    bool strips;                             /* its batches lose their idempotence */
    int32_t throttle_ms;
    /* SWALLOW */
    enum ps_action action;                   /* that befalls all partitions */
    int16_t error;
    bool planned;                            /* each has its own, in the plan */
    uint32_t partitions;                     /* answered */
    /* STREAM, session_strip.c */
    bool stripping;                          /* some batch may need another header */
    bool put;                                /* the new header is out, the old one is not */
    uint32_t header_len;                     /* of the header to be put; 0: none */
    uint64_t pass;                           /* bytes that go behind it */
    uint8_t header[PS_BATCH_HEADER_LEN];
};

/* ---- the group that this client is a member of (session_group.c) ---- */

struct ps_group_seen {
    uint64_t hash;         /* of its id; 0: none so far */
    uint64_t version;      /* of the rules under which... */
    bool governs;          /* ... it is a policy's */
    uint8_t protocol;      /* enum ps_rebalance that its rebalances are; 0: unknown */
    uint8_t phase;         /* enum ps_rebalance told last; 0: none */
    uint8_t quiet_beats;   /* KIP-848: heartbeats without news since then */
    ps_ns told_at;
};

/* ---- whether this client does as told (session_census.c) ---- */

struct ps_obeys {
    ps_ns until;           /* it was told to send nothing before (nearly) then; 0: that is over */
    enum ps_family family; /* that the connection is counted in, if counted */
    bool counted;
    bool crossed;          /* one request has come since it was told */
};

enum ps_response_phase {
    PS_RESPONSE_HEAD = 1,
    PS_RESPONSE_GATHER,   /* a whole frame is being collected or waits for an address to be bound */
    PS_RESPONSE_EDIT,     /* its pieces are being ordered */
    PS_RESPONSE_TAIL,     /* streaming; its end will be gathered */
    PS_RESPONSE_TAIL_GATHER,
    PS_RESPONSE_KEPT,     /* an answer to a question of ours: read and dropped */
    PS_RESPONSE_BLIND
};

/* A response that is changed; a block, not zeroed. */
struct ps_response_work {
    struct ps_rewrite_env env;
    union {
        struct ps_rewrite rewrite; /* GATHER, EDIT */
        struct ps_tail tail;       /* TAIL, TAIL_GATHER */
    };
    struct ps_edit edit;      /* EDIT: the next one, if has_edit */
    uint32_t header_left;     /* TAIL: bytes before the body */
    bool has_edit;
    bool put_done;            /* the edit's bytes are out, its cut is not */
    uint8_t *merged;          /* EDIT: the frame with our partitions in it, a block; NULL: it is the broker's */
    size_t merged_len, merged_cap;
};

struct ps_session {
    const struct ps_session_env *env;
    void *conn;
    enum ps_session_state state;      /* set_state in session.c only */
    enum ps_close close_reason;       /* set: the next order is CLOSE */
    enum ps_request_phase request_phase;
    enum ps_response_phase response_phase;
    struct ps_request request;
    struct ps_request_walk *request_walk;
    struct ps_response_work *response_work;
    struct ps_plan *plan;             /* of the request in hand: session_actions.h; NULL: none */
    struct ps_gate *gate;
    struct ps_topics *topics;
    struct ps_inflight_ring in_flight;
    uint64_t response_len;            /* GATHER, EDIT: bytes of the whole frame */
    uint64_t response_at;             /* EDIT: offset reached; TAIL, KEPT: bytes of the frame not yet ordered */
    bool response_claims;             /* memory for it is reserved or waited for */
    uint64_t response_kept;           /* ... and so many bytes are reserved */
    ps_ns response_until;             /* ... and waited for until then; 0: it is not */
    uint8_t *spent_block;             /* a reply whose bytes were handed out by the last INSERT */
    size_t spent_cap;
    ps_ns read_empty_at[2];
    ps_ns retry_at;                   /* RULE: look again then; RESERVE: do without then */
    ps_ns rule_until;                 /* a rule is awaited until then; 0: none is */
    ps_ns rule_told_at;               /* the control thread was told of a topic last */
    ps_ns rule_missed_until;          /* one did not come: none is awaited until then */
    ps_ns answer_held_until;          /* the broker's side waits so long; 0: it does not */
    ps_ns map_retry_at;               /* a response waits for an address; 0: none does */
    ps_ns member_noticed_at;
    struct ps_group_seen group;       /* of the member that this connection belongs to */
    struct ps_obeys obeys;
    uint64_t rules_seen;              /* version that had no rule for the topic awaited */
    uint64_t clear[PS_CLEAR_TOPICS];  /* hashes of topics that no policy covers, under clear_version; 0: none */
    uint64_t clear_version;
    uint64_t identity;                /* ps_member_identity */
    const struct ps_tenant_config *tenant; /* under tenant_version of the rules; not looked at under any other */
    uint64_t tenant_version;
    uint64_t tenant_id;               /* of its parties (governor.h) */
    struct ps_sasl_exchange *exchange;     /* a block; NULL: none is under way */
    char *principal;                  /* a block of principal_len bytes: "User:alice"; NULL: nobody, so far */
    uint8_t principal_len;
    uint8_t auth;                     /* enum ps_auth; set_auth in session_sasl.c only */
    enum ps_family family;
    bool first_request_seen;
    bool ids_named;                   /* every topic id of the last request with several topics had a name */
    bool metadata_too_old;            /* ApiVersions said that this broker knows no Metadata by id */
    bool client_left;                 /* the client closed, but acks=0 requests of it still wait */
    bool answer_awaited;              /* the client side waits for an answer: at PS_IN_FLIGHT_MAX, or to a handshake */
    bool response_passing;            /* a FORWARD of the broker's side may not have been carried out to its end */
    bool backlog_old;                 /* past client_timeout: nothing waits until the socket is read empty */
    uint8_t notes;                    /* blocks of struct ps_note, at most PS_NOTES_MAX */
    uint8_t peer_len, client_id_len, software_len;
    char peer[46];
    char client_id[PS_CLIENT_ID_KEPT];
    char software[PS_SOFTWARE_KEPT];
};

/* session.c. Ends the session: takes its ticket back and orders CLOSE. */
struct ps_order ps_session_fail(struct ps_session *s, enum ps_close reason, ps_ns now);
static inline struct ps_order ps_order_need(uint64_t n)
{
    return (struct ps_order){.kind = PS_ORDER_NEED, .n = n};
}
static inline struct ps_order ps_order_wait(ps_ns until)
{
    return (struct ps_order){.kind = PS_ORDER_WAIT, .until = until};
}
static inline struct ps_order ps_order_move(enum ps_order_kind kind, uint64_t n)
{
    return (struct ps_order){.kind = kind, .n = n};
}

/* session_request.c */
struct ps_order ps_request_next(struct ps_session *s, struct ps_span in, ps_ns now);
bool ps_request_ready(const struct ps_session *s, ps_ns now);
void ps_request_done(struct ps_session *s); /* the frame has been ordered to its end */
void ps_request_release(struct ps_session *s); /* the memory that was reserved for it, or its place in the line */
struct ps_order ps_request_need_more(const struct ps_session *s, struct ps_span in);
struct ps_order ps_request_pass(struct ps_session *s, enum ps_answer answer, ps_ns now); /* whole and unread */

/* session_sasl.c: exchanges that pass, and the principal. */
/* True if a request of ours may go to the broker in front of the client's request in hand: no exchange is under way.
 * Not to be asked at ApiVersions or a SASL request: what comes before the exchange is all that a broker with SASL takes
 * (SaslServerAuthenticator). */
bool ps_sasl_may_insert(const struct ps_session *s);
bool ps_sasl_is(int16_t api_key);
/* A SaslHandshake or SaslAuthenticate, its header read if the tables know its version. */
struct ps_order ps_sasl_request(struct ps_session *s, struct ps_span in, bool knows, ps_ns now);
void ps_sasl_other_request(struct ps_session *s, int16_t api_key); /* any other: tells that SASL is done */
struct ps_order ps_sasl_client_raw(struct ps_session *s, struct ps_span in, ps_ns now); /* phase TOKENS */
/* Bytes of the answer to a SASL request that ps_sasl_answered is to be given. */
uint64_t ps_sasl_response_wants(const struct ps_inflight *entry, uint64_t frame_len);
/* The answer is about to pass, and its request is off the ring. False: no memory. */
bool ps_sasl_answered(struct ps_session *s, int16_t api_key, int16_t version, struct ps_span frame);
/* The same of a raw token; at least its first PS_SASL_LOOK bytes, or all. */
bool ps_sasl_server_raw(struct ps_session *s, struct ps_span token);
void ps_sasl_free(struct ps_session *s);

/* session_identity.c: what a connection tells about itself. */
void ps_identity_first_request(struct ps_session *s, struct ps_span client_id);
/* Bytes of the frame that ps_identity_request wants to see; 0: none. */
uint64_t ps_identity_wants(const struct ps_request *r);
void ps_identity_request(struct ps_session *s, const struct ps_request *r, const struct ps_api *api, struct ps_span in);
/* A Produce was looked at: of a client that told no name it may tell the family. */
void ps_identity_produce(struct ps_session *s, const struct ps_look *look);
/* The client is a member of this group: told now and then. */
void ps_identity_member(struct ps_session *s, struct ps_span group, bool joins, ps_ns now);

/* A message of which the beginning is there in one piece, most often all of it; tapped values, in order. */
struct ps_scan {
    struct ps_walk walk;
    struct ps_span body;    /* what is there */
    size_t at;
    struct ps_hit hit;      /* its text in the body, however long; absent if it is not all there */
    enum ps_walk_step step; /* once ps_scan_next has said false: how it ended */
};
void ps_scan_init(struct ps_scan *scan, const struct ps_schema *schema, int16_t version, struct ps_span body,
                  uint64_t body_len);
bool ps_scan_next(struct ps_scan *scan);

/* session_signal.c: where logs end and consumers are, as it passes by. */
/* Bytes of the frame that ps_signal_request wants to see; 0: none. */
uint64_t ps_signal_wants(const struct ps_session *s, const struct ps_request *r);
void ps_signal_request(struct ps_session *s, const struct ps_api *api, struct ps_span in, ps_ns now);
/* A governed Produce of one batch passes. */
void ps_signal_single(struct ps_session *s, struct ps_inflight *entry, const struct ps_look *look);
/* A governed batch passes, of a Produce that is walked. */
void ps_signal_batch(struct ps_session *s, uint32_t slot, int32_t partition, const struct ps_batch *batch);
/* The answer to the oldest request has come, all of it or the first PS_NEED_MAX bytes; about to pass. Returns true if
 * nothing in it could be changed but throttle_time_ms (as ps_rewrite_spares). */
bool ps_signal_answer(struct ps_session *s, struct ps_span in, ps_ns now);

/* session_answers.c. One partition of a Produce under the slot was answered, or one request is overdue. */
void ps_answers_count(struct ps_session *s, uint32_t slot, bool ok);
/* A whole one was. */
void ps_answers_tell_broker(struct ps_session *s, const struct ps_inflight *entry, bool ok);

/* session_census.c */
/* An answer is being sent; 0: it tells nothing. */
void ps_census_told(struct ps_session *s, int32_t throttle_ms, ps_ns now);
void ps_census_came(struct ps_session *s, ps_ns now); /* a Produce has come: once for each */
void ps_census_leave(struct ps_session *s);

/* session_group.c: how assignments change. */
bool ps_group_is(int16_t api_key);
void ps_group_request(struct ps_session *s, const struct ps_api *api, struct ps_span in, ps_ns now);
void ps_group_answer(struct ps_session *s, const struct ps_inflight *entry, struct ps_scan *scan, ps_ns now);
/* The policy is about this group: it names it, or names none, and does not ignore it. */
bool ps_group_concerns(const struct ps_policy_config *policy, struct ps_span group);

/* session_peek.c: a look at a Produce that consumes nothing. */
struct ps_peek {
    struct ps_look look;
    bool sticky;           /* a refusal stands: batches must be looked at */
    bool wanted;           /* there is a topic without a name, which the broker can be asked for */
    bool by_id;            /* topics are named by id */
    bool topic_seen, batch_seen;
    bool no_memory;
    double records;        /* counted in governed batches */
    uint64_t record_bytes; /* ... and their bytes */
    uint64_t seen_to;      /* offset in the body up to which costs are known */
    struct ps_span ruleless; /* the first topic that is covered and has no rule yet, in name_bytes; absent if none */
    uint8_t name_bytes[PS_TOPIC_NAME_MAX];
};
enum ps_peek_result { PS_PEEK_SEEN = 1, PS_PEEK_MORE /* bytes are needed */, PS_PEEK_BAD, PS_PEEK_MEMORY };
/* Sets the request's acks and kind of producer, and the items of the gate. */
enum ps_peek_result ps_peek_frame(struct ps_session *s, struct ps_span in, struct ps_peek *peek, ps_ns now);
/* The verdict on a request needs all of its topics, so it has to be seen whole. */
bool ps_produce_needs_whole(const struct ps_session *s, int32_t topic_count, bool by_id);
/* The topic's name, whether the request gives the name or the id (v13). Absent: an id that nobody named. */
struct ps_span ps_produce_topic_name(struct ps_session *s, const struct ps_produce *p);
uint64_t ps_produce_topic_hash(const struct ps_produce *p); /* of the topic as the wire names it */
/* The rules of a topic, NULL if none; *ruleless: a policy covers it, but the control thread has yet to make the rule.
 */
const struct ps_topic_rules *ps_produce_rules(struct ps_session *s, struct ps_span topic, bool *ruleless);

/* session_topic.c: names for topic ids. */
/* A request has a topic of this id, which nobody has named. True: the broker is or will be asked for it. */
bool ps_topics_want(struct ps_session *s, const uint8_t id[16], ps_ns now);
/* At the beginning of a request, of which nothing has passed: true if it has to wait for names, and *order says how. */
bool ps_topics_hold(struct ps_session *s, struct ps_span in, struct ps_order *order, ps_ns now);
bool ps_topics_answered(const struct ps_session *s, ps_ns now); /* ... and then, that it has to wait no longer */
/* The broker's answer: its header has come, of this length; then all of it. */
void ps_topics_answer_begin(struct ps_session *s, uint64_t header_len);
struct ps_order ps_topics_answer(struct ps_session *s, struct ps_span in, ps_ns now);
void ps_topics_free(struct ps_session *s);

/* session_produce.c: one Produce, from its head to its verdict. */
struct ps_order ps_produce_begin(struct ps_session *s, struct ps_span in, ps_ns now);
struct ps_order ps_produce_resume(struct ps_session *s, struct ps_span in, ps_ns now); /* phases TOPICS to WAIT */
/* Tells the control thread that the topic is covered and has no rule: once a second at the most. */
void ps_produce_tell_topic(struct ps_session *s, struct ps_span topic, ps_ns now);
void ps_produce_notice(struct ps_session *s, uint32_t slot, int32_t partition, int32_t records);
struct ps_request_walk *
ps_produce_walk(struct ps_session *s); /* begins a walk over the frame in hand; NULL: no memory */
/* Until when the request in hand may wait for what it takes to judge it: memory, names and a rule, all in all. */
ps_ns ps_produce_unjudged_until(const struct ps_session *s, ps_ns now);
ps_ns ps_produce_deadline(const struct ps_session *s);          /* when the request in hand must be held no longer */
bool ps_produce_held(const struct ps_session *s);               /* it waits for something other than its own bytes */
void ps_produce_hold(struct ps_session *s, ps_ns now);
void ps_produce_unhold(struct ps_session *s, ps_ns now);
ps_ns ps_produce_held_for(const struct ps_session *s, ps_ns length); /* when it will have been held for so long */
/* The client is gone: true if the request in hand was dropped, or cut in the middle where it waited. */
bool ps_produce_abandon(struct ps_session *s, ps_ns now);
/* The proxy drains: what waits and nobody would send again passes, the rest is dropped. */
void ps_produce_drain(struct ps_session *s, ps_ns now);

/* session_stream.c */
/* The topic that the walk has come to: how refusals know it, and the slots that its records count at. */
const struct ps_topic_rules *ps_stream_enter_topic(struct ps_session *s, ps_ns now);
/* True if the rest of the frame may go on: every valve that the topic is under was asked. */
bool ps_stream_topic(struct ps_session *s, ps_ns now);
void ps_stream_partition(struct ps_session *s, ps_ns now);
/* The last byte of the frame has been ordered: the message must have come to its end too. */
bool ps_stream_is_whole(struct ps_session *s);
void ps_stream_end(struct ps_session *s, ps_ns now);

struct ps_order ps_produce_stream(struct ps_session *s, struct ps_span in, ps_ns now);
struct ps_order ps_produce_swallow(struct ps_session *s, struct ps_span in, ps_ns now);
/* session_gate.c */
/* Makes it, with room for the slots of this topic; NULL: no memory. */
struct ps_gate *ps_gate_of(struct ps_session *s, const struct ps_topic_rules *rules);
void ps_gate_reset(struct ps_gate *g);            /* no items */
/* Adds records to the item of this rule of a topic, making it; false if there are too many slots. partition: of their
 * batch; -1: not known yet. */
bool ps_gate_add(struct ps_session *s, const struct ps_topic_rules *rules, size_t rule, int32_t partition,
                 double records, ps_ns now);
enum ps_gate_result { PS_GATE_OPEN = 1, PS_GATE_WAITS };
enum ps_gate_result ps_gate_ask(struct ps_session *s, ps_ns now); /* from item_next on */
void ps_gate_calm(struct ps_session *s, ps_ns now); /* forgets a wait of long ago */
void ps_gate_cancel(struct ps_session *s, bool keep_place, ps_ns now);
void ps_gate_force(struct ps_session *s, ps_ns now); /* admits the rest over the limit */
void ps_gate_settle(struct ps_session *s, ps_ns now);/* the frame has passed: trues up, counts, forgets the items */
void ps_gate_true_up(struct ps_session *s, ps_ns now); /* as planned: pays for what passed, forgets the items */
/* None of the frame passed: counts what was seen of it, forgets the items. */
void ps_gate_none_passed(struct ps_session *s, enum ps_outcome outcome);
enum ps_outcome ps_gate_outcome(const struct ps_session *s, const struct ps_gate_item *item); /* of what passes */
/* This was done to the request at this item, at last. */
void ps_gate_did(struct ps_session *s, struct ps_gate_item *item, enum ps_action action);
void ps_gate_waits(struct ps_session *s, ps_ns now); /* ... for something else than a valve */
void ps_gate_pause(struct ps_session *s, ps_ns now); /* takes the ticket out; its place is kept */
/* The topic of the item that waits takes another way: none of its valves is asked any more. */
void ps_gate_leave(struct ps_session *s, struct ps_gate_item *item, enum ps_action action, ps_ns now);
/* Passes at the item that waits, and pays; its answer will wait instead. */
void ps_gate_hold(struct ps_session *s, struct ps_gate_item *item, ps_ns now);
void ps_gate_bind_tenant(struct ps_session *s);
/* NULL: none is configured. Bound at the first request; looked up again when the configuration may have changed, or a
 * principal is known. */
static inline const struct ps_tenant_config *ps_gate_tenant(struct ps_session *s)
{
    if (s->tenant_version != s->env->governor->rules->version) {
        ps_gate_bind_tenant(s);
    }
    return s->tenant;
}
/* throttle_time_ms of a refusal. */
int32_t ps_gate_pause_ms(const struct ps_session *s, ps_ns now);
/* The one place where records are counted, by slot, and by policy and tenant: as OFFERED, and as what they end as. So
 * they are when it is known what becomes of them. bytes: of the frame, or of the batches. */
void ps_gate_ended(struct ps_session *s, uint32_t slot, enum ps_outcome outcome, double records, uint64_t bytes);
void ps_gate_count_told(struct ps_session *s, uint32_t slot, int32_t throttle_ms); /* in an answer */
/* Where the answer asks for throttle_time_ms: at the valve that will hold the next request longest. NULL: at none. */
struct ps_gate_item *ps_gate_longest(const struct ps_session *s, ps_ns now);
uint32_t ps_gate_slot(const struct ps_session *s, ps_ns now);
struct ps_gate_item *ps_gate_item(const struct ps_session *s, uint32_t slot); /* NULL: the request has none for it */
/* More records were seen than the head had told: charged as they pass. */
void ps_gate_seen(struct ps_session *s, struct ps_gate_item *item, double records, ps_ns now);
/* Records of a request that has too many slots: the valve pays for them, but nobody waits there. */
void ps_gate_seen_unlisted(struct ps_session *s, uint32_t slot, double records, ps_ns now);
void ps_gate_pay_unlisted(struct ps_session *s, uint32_t slot, double records, ps_ns now);
/* The rule's valve is one that this client has to pay at. */
bool ps_gate_applies(struct ps_session *s, const struct ps_rule *rule);
/* Batches that this client writes under the rule lose their idempotence. While it is exempt as well: it may come to be
 * and cease, and sequences that are seen now and then only are gaps to the broker. */
bool ps_gate_strips(struct ps_session *s, const struct ps_rule *rule);
int32_t ps_gate_throttle_ms(const struct ps_session *s, uint32_t slot, ps_ns now);
/* Nothing is in hand or in flight: forgets flows that have repaid what they took, and gives back what nobody needs. */
void ps_gate_tidy(struct ps_session *s, ps_ns now);
void ps_gate_free(struct ps_session *s, ps_ns now);

/* session_sticky.c. topic_hash: of the topic as the wire names it. */
bool ps_sticky_any(struct ps_session *s, ps_ns now); /* some refusal stands; forgets those that are too old */
/* The batch comes after one that was withheld and has not come back. */
bool ps_sticky_blocks(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b,
                      ps_ns now);
/* The batch was refused, or shed, and its client hears of it. False: no memory to remember it. */
bool ps_sticky_withheld(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b,
                        bool shed, ps_ns now);
void ps_sticky_passed(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b,
                      ps_ns now);
void ps_sticky_free(struct ps_session *s);

/* session_response.c */
struct ps_order ps_response_next(struct ps_session *s, struct ps_span in, ps_ns now);
bool ps_response_ready(const struct ps_session *s, ps_ns now);
void ps_response_free(struct ps_session *s);
/* Bytes of a response before its body; 0: more than `in` are needed. */
uint64_t ps_response_header_len(const struct ps_api *api, int16_t version, struct ps_span in);
void ps_response_release(struct ps_session *s); /* the memory that was reserved for it, or its place in the line */

/* session_text.c: the sentence of an answer of ours, without stdio. Returns its length. */
size_t ps_text_refusal(char *out, size_t cap, const struct ps_setting *setting, int32_t retry_ms);
size_t ps_text_shed(char *out, size_t cap, const struct ps_setting *setting);
/* Of what befell the request at this slot (PS_SLOT_NONE: nobody knows). */
size_t ps_text_of(const struct ps_session *s, uint32_t slot, enum ps_action action, int32_t retry_ms, char *out,
                  size_t cap);

#include "session_actions.h"

#endif
