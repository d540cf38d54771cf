/* action.c - the matrix: what each client was measured to bear (docs/clients.md). */
#include "penstock/action.h"

#define KINDS 3

#define NEVER PS_CELL_NEVER
#define WHOLE PS_CELL_WHOLE
#define PART  PS_CELL_PART

/* Where the client decides: answers that it must act upon. By kind of producer: plain, idempotent, transactional. */
struct bears {
    enum ps_cell reject[KINDS]; /* 19: sends it again until it passes */
    enum ps_cell shed[KINDS];   /* 44: gives the records up, tells its application, and goes on */
};

/* A transaction of which a part is given up must be aborted, by any client: it is never shed. */
static const struct bears bears[PS_FAMILY_COUNT] = {
    /* It may be any of those below, and a kind of producer that nobody has tried. A plain one has nothing to lose but
     * the batch; but whether it tells partitions from each other is not known. */
    [PS_FAMILY_UNKNOWN] = {{NEVER, NEVER, NEVER}, {WHOLE, NEVER, NEVER}},
    [PS_FAMILY_JAVA] = {{PART, PART, PART}, {PART, PART, NEVER}},
    [PS_FAMILY_LIBRDKAFKA] = {{PART, PART, PART}, {PART, PART, NEVER}},
    /* Shed, it gives up all that it has in its buffer for the partition: more is lost, and all of that is told. */
    [PS_FAMILY_FRANZ_GO] = {{PART, PART, PART}, {PART, PART, NEVER}},
    /* Three retries: 0.3 s, or as many throttle times as it is told. Then records are lost, of an idempotent one
     * too. */
    [PS_FAMILY_SARAMA] = {{NEVER, NEVER, NEVER}, {PART, PART, NEVER}},
    /* To an idempotent one, as it is by default, an error that is final is fatal: it never sends again. */
    [PS_FAMILY_KAFKA_PYTHON_3] = {{PART, PART, PART}, {PART, NEVER, NEVER}},
    /* No retries by default. Idempotent only from 2.1 on, which was not measured. */
    [PS_FAMILY_KAFKA_PYTHON_2] = {{NEVER, NEVER, NEVER}, {PART, NEVER, NEVER}},
    /* Some 6 s of retries, then records are lost. It takes an error of one partition for one of the whole request, and
     * so sends what was accepted again, or calls it lost. */
    [PS_FAMILY_KAFKAJS] = {{NEVER, NEVER, NEVER}, {WHOLE, WHOLE, NEVER}},
};

const char *ps_action_name(enum ps_action action)
{
    static const char *const names[PS_ACTION_COUNT] = {
        [PS_ACTION_THROTTLE] = "throttle", [PS_ACTION_HOLD] = "hold", [PS_ACTION_SAMPLE] = "sample",
        [PS_ACTION_DIVERT] = "divert",     [PS_ACTION_SHED] = "shed", [PS_ACTION_REJECT] = "reject"};
    PS_ASSERT(action < PS_ACTION_COUNT);
    return names[action];
}

/* What is told to be stored and is not leaves a gap in the sequence of an idempotent producer: the next batch is
 * refused by the broker, which ends librdkafka for good. Without a sequence nobody sees it, nor where no answer is
 * awaited. */
static enum ps_cell silent_cell(enum ps_producer producer)
{
    return producer == PS_PRODUCER_PLAIN ? PART : NEVER;
}

enum ps_cell ps_action_cell(enum ps_action action, bool silent, bool answered, enum ps_producer producer,
                            enum ps_family family)
{
    PS_ASSERT(producer >= PS_PRODUCER_PLAIN && producer <= PS_PRODUCER_TRANSACTIONAL && family < PS_FAMILY_COUNT);
    const struct bears *client = &bears[family];
    size_t kind = (size_t)producer - PS_PRODUCER_PLAIN;
    switch (action) {
    case PS_ACTION_THROTTLE:
        return WHOLE;
    case PS_ACTION_HOLD:
        return answered ? WHOLE : NEVER; /* there is nothing to hold */
    case PS_ACTION_SAMPLE:
        /* The client sees nothing of it: the answer is the broker's, and the sequence is taken from every batch. */
        return producer == PS_PRODUCER_TRANSACTIONAL ? NEVER : PART;
    case PS_ACTION_DIVERT:
        /* Answered with success, which is true. Without answers nobody ever learns whether the client may write to the
         * topic at all, and diverting must not be a way around that. */
        return answered && producer != PS_PRODUCER_TRANSACTIONAL ? PART : NEVER;
    case PS_ACTION_SHED:
        return silent || !answered ? silent_cell(producer) : client->shed[kind];
    case PS_ACTION_REJECT:
        return answered ? client->reject[kind] : NEVER;
    case PS_ACTION_COUNT:
        break;
    }
    PS_ASSERT(false);
    return NEVER;
}

enum ps_action ps_action_safer(enum ps_action action)
{
    switch (action) {
    case PS_ACTION_SHED:
    case PS_ACTION_DIVERT:
        return PS_ACTION_REJECT;
    case PS_ACTION_REJECT:
        return PS_ACTION_HOLD;
    case PS_ACTION_HOLD:
    case PS_ACTION_SAMPLE:
    case PS_ACTION_THROTTLE:
    case PS_ACTION_COUNT:
        break;
    }
    return PS_ACTION_THROTTLE;
}
