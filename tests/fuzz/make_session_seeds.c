/* make_session_seeds.c - writes the first inputs of fuzz_session: short conversations in the frames of the schedules.
 *
 *     make_session_seeds tests/fuzz/corpus/session */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 36, REQUESTS = 6, FRAME_MAX = 1500 };
enum {
    STEP_CLIENT,
    STEP_BROKER,
    STEP_ANSWER,
    STEP_SILENCE,
    STEP_TICK,
    STEP_SETTINGS,
    STEP_RULES,
    STEP_END
}; /* fuzz_session.c */

static void put_bytes(struct ps_writer *w, uint8_t step, const uint8_t *bytes, size_t len)
{
    ps_write_raw(w, &step, 1);
    ps_write_i16(w, (int16_t)len);
    ps_write_raw(w, bytes, len);
}

static void put_step(struct ps_writer *w, uint8_t step, uint8_t argument)
{
    uint8_t both[2] = {step, argument};
    ps_write_raw(w, both, sizeof both);
}

/* What makes requests wait, be refused, or be forgotten. */
static void put_event(struct world *world, struct ps_writer *w)
{
    switch (rng_below(&world->rng, 4)) {
    case 0:
        put_step(w, STEP_SETTINGS, (uint8_t)rng_next(&world->rng));
        break;
    case 1:
        put_step(w, STEP_TICK, (uint8_t)(rng_one_in(&world->rng, 3) ? 75 : 10)); /* 5.6 s, or 0.1 s */
        break;
    case 2:
        put_step(w, STEP_RULES, (uint8_t)rng_next(&world->rng));
        break;
    default:
        break;
    }
}

static void put_conversation(struct world *world, struct ps_writer *w, bool events)
{
    struct peer *p = &world->peers[0];
    for (int i = 0; i < REQUESTS; i++) {
        struct request r;
        make_request(world, p, &r, 100 + i);
        p->request_count++;
        if (r.len < FRAME_MAX) {
            put_bytes(w, STEP_CLIENT, r.frame, r.len);
            make_response(world, p, &r);
            if (r.expects_answer && !r.version_refused && r.response_len < FRAME_MAX) {
                put_bytes(w, STEP_ANSWER, r.response + 8, r.response_len - 8);
            } else if (!r.version_refused) {
                put_step(w, STEP_SILENCE, 0);
            }
            free(r.response);
        }
        free(r.frame);
        if (events) {
            put_event(world, w);
        }
    }
    if (events) {
        put_step(w, STEP_END, (uint8_t)rng_next(&world->rng));
    }
}

int main(int argc, char **argv)
{
    static struct world world;
    static uint8_t buffer[REQUESTS * 2 * FRAME_MAX + 100];
    static const enum peer_kind kinds[] = {PEER_MIXED, PEER_WANDERER, PEER_RAW};
    for (int seed = 0; argc == 2 && seed < SEEDS; seed++) {
        char path[4096];
        bool events = seed % 2 == 1;
        world.rng.state = (uint64_t)seed;
        world.peers[0] = (struct peer){.kind = kinds[seed / 2 % 3]};
        struct ps_writer w = {.base = buffer, .cap = sizeof buffer};
        uint8_t options = (uint8_t)(events ? 1 : seed % 7 << 2);
        ps_write_raw(&w, &options, 1);
        put_conversation(&world, &w, events);
        snprintf(path, sizeof path, "%s/conversation-%02d", argv[1], seed);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(w.base, 1, w.len, file) != w.len || fclose(file) != 0) {
            perror(path);
            return 1;
        }
    }
    return argc == 2 ? 0 : 2;
}
