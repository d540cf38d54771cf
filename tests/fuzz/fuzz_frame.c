/* fuzz_frame.c - any bytes as the head of a request, and of its answer: a session decides what a model of the headers
 * decides (Kafka's RequestHeader v1 and v2, ResponseHeader v0), in whatever pieces they come.
 *
 * Input: the size of the pieces (1 byte), the length of the request (2), the request, the answer. */
#include "world.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, REQUEST_HEAD = 14 };

enum verdict {
    OPEN = 1, /* more bytes are needed */
    CLOSES,
    PASSES,   /* as it is, to its end */
    ANSWERED, /* by the session itself */
    ANY       /* a matter of other drivers */
};

/* Tags that end a header: 0 if they run past `left`. */
static size_t tags_len(const uint8_t *at, size_t left)
{
    struct ps_reader r = {at, at + left, false};
    ps_read_tags(&r);
    return r.bad ? 0 : (size_t)(r.at - at);
}

static enum verdict judge_request(const uint8_t *frame, size_t len)
{
    if (len < 4) {
        return OPEN;
    }
    int32_t n = (int32_t)ps_load32(frame);
    if (n < REQUEST_HEAD - 4 || n > WORLD_FRAME) {
        return CLOSES;
    }
    size_t whole = 4 + (size_t)n;
    if (len < REQUEST_HEAD) {
        return OPEN;
    }
    int16_t key = (int16_t)ps_load16(frame + 4), version = (int16_t)ps_load16(frame + 6);
    int16_t client_id = (int16_t)ps_load16(frame + 12);
    size_t head = REQUEST_HEAD + (size_t)(client_id > 0 ? client_id : 0);
    const struct ps_api *api = ps_api_find(key);
    bool knows = api != NULL && ps_api_knows(api, version);
    if (client_id < -1 || head > whole) {
        return CLOSES;
    }
    if (len < whole) {
        return ANY; /* how much of it is looked at first is nobody's business */
    }
    if (knows && ps_api_flexible(api, version) && (head == whole || tags_len(frame + head, whole - head) == 0)) {
        return CLOSES;
    }
    if (knows && key == PS_API_PRODUCE) {
        return ANY;
    }
    return key == PS_API_API_VERSIONS && !knows ? (whole <= PS_NEED_MAX ? ANSWERED : CLOSES) : PASSES;
}

static enum verdict judge_answer(const uint8_t *request, const uint8_t *answer, size_t len)
{
    int16_t key = (int16_t)ps_load16(request + 4), version = (int16_t)ps_load16(request + 6);
    if (len < 8) {
        return len < 4 ? OPEN : ANY;
    }
    if ((int32_t)ps_load32(answer) < 4 || memcmp(answer + 4, request + 8, 4) != 0) {
        return CLOSES;
    }
    if (ps_rewrite_mode_of(ps_api_find(key), version) != PS_REWRITE_NONE || key == PS_API_SASL_HANDSHAKE) {
        return ANY;
    }
    return len - 4 < ps_load32(answer) ? ANY : PASSES;
}

static struct peer *begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->rng.state = 1;
    w->now = PS_SECOND;
    worker_init(w);
    w->limits.memory = 64u << 20;
    w->peer_count = 1;
    struct peer *p = &w->peers[0];
    p->kind = PEER_BAD_CLIENT; /* no model of the world knows what it will say */
    p->connected = true;
    p->session = calloc(1, ps_session_size());
    ps_session_init(p->session, &w->env, p, ps_span_of("127.0.0.1"), w->now);
    ps_session_connected(p->session, w->now);
    return p;
}

static void feed(struct world *w, struct peer *p, enum ps_side side, const uint8_t *bytes, size_t len, size_t piece)
{
    pipe_add(&p->wire[side], bytes, len);
    for (size_t before = SIZE_MAX; pipe_len(&p->wire[side]) < before;) {
        before = pipe_len(&p->wire[side]);
        io_deliver(w, p, side, piece);
    }
}

static bool got(const struct peer *p, enum ps_side side, const uint8_t *bytes, size_t len)
{
    const struct pipe *out = &p->out[side];
    return pipe_len(out) == len && (len == 0 || memcmp(out->bytes + out->at, bytes, len) == 0);
}

static void check_request(const struct peer *p, enum verdict verdict, const uint8_t *frame, size_t len)
{
    switch (verdict) {
    case OPEN:
        PS_ASSERT(!p->closed && got(p, PS_BROKER, frame, 0));
        break;
    case CLOSES:
        PS_ASSERT(p->closed && got(p, PS_BROKER, frame, 0) && got(p, PS_CLIENT, frame, 0));
        break;
    case PASSES:
        PS_ASSERT(!p->closed && got(p, PS_BROKER, frame, len));
        break;
    case ANSWERED:
        PS_ASSERT(!p->closed && got(p, PS_BROKER, frame, 0) && pipe_len(&p->out[PS_CLIENT]) == 20);
        PS_ASSERT(memcmp(p->out[PS_CLIENT].bytes + 4, frame + 8, 4) == 0);
        PS_ASSERT(ps_load16(p->out[PS_CLIENT].bytes + 8) == 35); /* UNSUPPORTED_VERSION, KIP-511 */
        break;
    case ANY:
        break;
    }
}

/* Only the first frame of what may be several. */
static size_t first_frame(const uint8_t *bytes, size_t len)
{
    return len >= 4 && len - 4 > ps_load32(bytes) ? 4 + (size_t)ps_load32(bytes) : len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    if (size < HEAD) {
        return 0;
    }
    size_t piece = data[0] == 0 ? SIZE_MAX : data[0], left = size - HEAD;
    size_t len = ps_load16(data + 1) < left ? ps_load16(data + 1) : left;
    const uint8_t *request = data + HEAD, *answer = request + len;
    size_t answer_len = first_frame(answer, left - len);
    len = first_frame(request, len);
    struct peer *p = begin(&w);
    feed(&w, p, PS_CLIENT, request, len, piece);
    enum verdict verdict = judge_request(request, len);
    check_request(p, verdict, request, len);
    if (verdict == PASSES) {
        feed(&w, p, PS_BROKER, answer, answer_len, piece);
        verdict = judge_answer(request, answer, answer_len);
        PS_ASSERT(verdict != OPEN || !p->closed);
        PS_ASSERT(verdict != CLOSES || (p->closed && got(p, PS_CLIENT, answer, 0)));
        PS_ASSERT(verdict != PASSES || (!p->closed && got(p, PS_CLIENT, answer, answer_len)));
    }
    pipe_free(&p->out[PS_CLIENT]);
    pipe_free(&p->out[PS_BROKER]);
    world_end(&w);
    return 0;
}
