/* session_steps.h - the steps that an input of fuzz_session consists of: a byte that says what happens, then its
 * arguments. New kinds are appended, so that old inputs mean what they meant. */
#ifndef PENSTOCK_FUZZ_SESSION_STEPS_H
#define PENSTOCK_FUZZ_SESSION_STEPS_H

#include "penstock/bytes.h"

enum session_step_kind {
    STEP_CLIENT,   /* two bytes of length, then so many bytes from that side */
    STEP_BROKER,   /* the same */
    STEP_ANSWER,   /* the same, but with the length and correlation id of an answer to the oldest request forwarded */
    STEP_SILENCE,  /* one byte: that request is not answered (acks=0) */
    STEP_TICK,     /* one byte: time goes on by its square in milliseconds */
    STEP_SETTINGS, /* one byte: valves are set at random */
    STEP_RULES,    /* one byte: the next snapshot of rules */
    STEP_END,      /* one byte: one side closes, or the proxy drains */
    STEP_MAP,      /* one byte: addresses are not bound yet when they are asked for, so often (modulo 8) */
    STEP_MEMORY,   /* one byte: so much memory is left, in 64 bytes; 0: enough */
    STEP_KEPT,     /* one byte: twice so many bytes of each side are kept by other sessions */
    STEP_COUNT
};

struct session_step {
    enum session_step_kind kind;
    struct ps_span bytes; /* CLIENT, BROKER, ANSWER: the rest of the input if there is less than was said */
    uint8_t argument;     /* the others */
};

/* False: the input is over. */
static inline bool session_step_read(struct ps_reader *in, struct session_step *step)
{
    if (in->end - in->at < 2) {
        return false;
    }
    *step = (struct session_step){.kind = (enum session_step_kind)(*in->at++ % STEP_COUNT)};
    if (step->kind > STEP_ANSWER) {
        step->argument = *in->at++;
        return true;
    }
    size_t len = (uint16_t)ps_read_i16(in), left = (size_t)(in->end - in->at);
    step->bytes.len = len < left ? len : left;
    step->bytes.base = ps_read_raw(in, step->bytes.len);
    return !in->bad;
}

#endif
