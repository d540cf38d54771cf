/* make_seeds - writes the first inputs of fuzz_walk and fuzz_rewrite: small messages of every API, from the random
 * writer.
 *
 *     make_seeds tests/fuzz/corpus
 *
 * The newest request and response of the APIs that hold something peculiar (taps, tagged fields, structs that may be
 * null), and every version of what is rewritten: a few dozen small files. */
#include <stdio.h>
#include <stdlib.h>

#include "message.h"

static void write_seed(const char *folder, const char *driver, const char *name, int version, const uint8_t head[3],
                       const struct message *m)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s/%s-%d", folder, driver, name, version);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(head, 1, 3, file) != 3 || fwrite(m->base, 1, m->len, file) != m->len ||
        fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_walk(const char *folder, struct message *m, const struct ps_api *api, int side)
{
    const struct ps_schema *schema = side == 0 ? api->request : api->response;
    struct message_options options = {
        .seed = (uint64_t)api->key, .elements_max = 2, .string_max = 6, .unknown_tags = true};
    uint8_t head[3] = {(uint8_t)api->key, (uint8_t)(schema->valid_max - schema->valid_min), (uint8_t)(6 + side)};
    message_clear(m);
    message_write(m, schema, schema->valid_max, &options);
    write_seed(folder, "walk", schema->name, schema->valid_max, head, m);
}

static const int16_t walked[] = {0, 1, 3, 8, 9, 10, 11, 12, 18, 55, 60, 68, 69, 71, 75, 76, 78, 79, 88, 89};

/* The order of fuzz_rewrite.c. */
static const int16_t rewritten[] = {
    PS_API_PRODUCE,      PS_API_METADATA, PS_API_FIND_COORDINATOR, PS_API_DESCRIBE_CLUSTER, PS_API_SHARE_ACKNOWLEDGE,
    PS_API_API_VERSIONS, PS_API_FETCH,    PS_API_SHARE_FETCH};

static void write_rewrite(const char *folder, struct message *m, size_t index)
{
    const struct ps_api *api = ps_api_find(rewritten[index]);
    for (int16_t version = api->response->valid_min; version <= api->max_version; version++) {
        struct message_options options = {.seed = (uint64_t)version, .elements_max = 2, .string_max = 6, .nodes = true};
        uint8_t head[3] = {(uint8_t)index, (uint8_t)(version - api->response->valid_min), (uint8_t)(9 + 4 * version)};
        message_clear(m);
        message_write(m, api->response, version, &options);
        write_seed(folder, "rewrite", api->name, version, head, m);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    struct message m = {0};
    for (size_t i = 0; i < PS_ARRAY_LEN(walked); i++) {
        write_walk(argv[1], &m, ps_api_find(walked[i]), 0);
        write_walk(argv[1], &m, ps_api_find(walked[i]), 1);
    }
    for (size_t i = 0; i < PS_ARRAY_LEN(rewritten); i++) {
        write_rewrite(argv[1], &m, i);
    }
    message_free(&m);
    return 0;
}
