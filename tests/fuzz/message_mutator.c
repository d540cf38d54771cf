/* message_mutator.c - mutations that know what a message is: a fresh one, the same body under another head, or the
 * fuzzer's own mutation of the body alone. Linked into the libFuzzer drivers of message_input.h. */
#include "message.h"
#include "message_input.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

enum { TRIES = 8 };

static void choose_head(struct random *random, uint8_t *head)
{
    for (int i = 0; i < TRIES; i++) {
        head[0] = (uint8_t)random_below(random, PS_API_KEY_MAX);
        head[1] = (uint8_t)random_next(random);
        head[2] = (uint8_t)random_next(random);
        if (message_shape_of(head).schema != NULL) {
            return;
        }
    }
}

/* The body of a random message; 0 if none came out that fits. */
static size_t write_body(struct random *random, const uint8_t *head, uint8_t *body, size_t cap)
{
    static struct message m;
    struct message_shape shape = message_shape_of(head);
    for (unsigned i = 0; i < TRIES && shape.schema != NULL; i++) {
        struct message_options options = {.seed = random_next(random),
                                          .elements_max = 1 + (unsigned)random_below(random, 4) / (1 + i),
                                          .string_max = 1 + (unsigned)random_below(random, 40) / (1 + i),
                                          .unknown_tags = random_chance(random, 30),
                                          .nodes = shape.nodes};
        message_clear(&m);
        message_write(&m, shape.schema, shape.version, &options);
        if (m.len <= cap) {
            memcpy(body, m.base, m.len);
            return m.len;
        }
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct random random = {seed};
    if (max_size <= MESSAGE_HEAD) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    uint64_t roll = random_below(&random, 32);
    if (size < MESSAGE_HEAD || roll == 0) {
        choose_head(&random, data);
        return MESSAGE_HEAD + write_body(&random, data, data + MESSAGE_HEAD, max_size - MESSAGE_HEAD);
    }
    if (roll == 1) {
        return MESSAGE_HEAD + write_body(&random, data, data + MESSAGE_HEAD, max_size - MESSAGE_HEAD);
    }
    if (roll == 2) {
        data[1 + random_below(&random, 2)] = (uint8_t)random_next(&random);
        return size;
    }
    return MESSAGE_HEAD + LLVMFuzzerMutate(data + MESSAGE_HEAD, size - MESSAGE_HEAD, max_size - MESSAGE_HEAD);
}
