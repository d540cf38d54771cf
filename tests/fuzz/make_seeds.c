/* make_seeds.c - turns recorded connections of real clients and brokers into inputs of the fuzz drivers.
 *
 *     make_seeds RECORDINGS FOLDER
 *
 * RECORDINGS holds what tests/e2e/hop.py wrote under PENSTOCK_RECORDINGS: NAME.up and NAME.down of each connection. Of
 * each API, version and direction a few small messages become FOLDER/{walk,rewrite,produce,parcel,answer}/..., and of
 * each connection its beginning becomes FOLDER/session/... (README.md says how to keep those that reach something
 * new). */
#include "message_input.h"
#include "penstock/bytes.h"
#include "penstock/rewrite.h"
#include "session_steps.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { EACH_MAX = 4, BODY_MAX = 3000, FRAME_MAX = 2000, SESSION_MAX = 12000, VERSIONS = 32, IS_RESPONSE = 1 };

struct frame {
    const uint8_t *at; /* with its length */
    size_t len;
};

struct recording {
    uint8_t *bytes[2]; /* up, down */
    size_t len[2];
};

static const char *folder;
static uint8_t written[2][PS_API_KEY_MAX + 1][VERSIONS]; /* by direction, API and version */
static unsigned sessions;

static void write_input(const char *driver, const char *name, const uint8_t *bytes, size_t len)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, driver);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", folder, driver, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* ---- messages ---- */

static void write_message(const char *driver, const struct ps_api *api, int16_t version, uint8_t option,
                          struct ps_span body, unsigned number)
{
    uint8_t input[MESSAGE_HEAD + BODY_MAX] = {(uint8_t)api->key, (uint8_t)version, option};
    char name[200];
    memcpy(input + MESSAGE_HEAD, body.base, body.len);
    snprintf(name, sizeof name, "recorded-%s-%s-v%d-%u", api->name, option % 2 == 0 ? "request" : "response", version,
             number);
    write_input(driver, name, input, MESSAGE_HEAD + body.len);
}

/* response: else a request. The options mean what the drivers say. */
static void keep_message(const struct ps_api *api, int16_t version, bool response, struct ps_span body)
{
    if (version < 0 || version >= VERSIONS || body.len > BODY_MAX || written[response][api->key][version] == EACH_MAX) {
        return;
    }
    unsigned number = written[response][api->key][version]++;
    uint8_t pieces = (uint8_t)(number % 8 * 8);
    write_message("walk", api, version, (uint8_t)(pieces + (response ? IS_RESPONSE : 0)), body, number);
    if (api->key == PS_API_PRODUCE) {
        write_message("parcel", api, version, (uint8_t)(2 * number + (response ? IS_RESPONSE : 0)), body, number);
    }
    if (response && ps_rewrite_mode_of(api, version) != PS_REWRITE_NONE) {
        write_message("rewrite", api, version, (uint8_t)(11 + 20 * number), body, number);
    } else if (!response) {
        write_message("answer", api, version, (uint8_t)(2 * number), body, number);
        if (api->key == PS_API_PRODUCE) {
            write_message("produce", api, version, (uint8_t)(2 * number), body, number);
        }
    }
}

/* What stands behind the header; base NULL if it is not right. */
static struct ps_span body_of(const struct frame *f, const struct ps_api *api, int16_t version, bool response)
{
    struct ps_reader in = {f->at + (response ? 8 : 12), f->at + f->len, false};
    if (!response) {
        int16_t client_id = ps_read_i16(&in);
        ps_read_raw(&in, client_id > 0 ? (size_t)client_id : 0);
    }
    if (response ? ps_api_response_header_tagged(api, version) : ps_api_flexible(api, version)) {
        ps_read_tags(&in);
    }
    return in.bad ? (struct ps_span){0} : (struct ps_span){in.at, (size_t)(in.end - in.at)};
}

/* ---- connections ---- */

static bool next_frame(const struct recording *r, int side, size_t *at, struct frame *f)
{
    size_t left = r->len[side] - *at;
    if (left < 4 || left - 4 < ps_load32(r->bytes[side] + *at)) {
        return false;
    }
    *f = (struct frame){r->bytes[side] + *at, 4 + (size_t)ps_load32(r->bytes[side] + *at)};
    *at += f->len;
    return f->len >= (side == 0 ? 14u : 8u);
}

static void put_step(struct ps_writer *w, enum session_step_kind kind, const uint8_t *bytes, size_t len)
{
    uint8_t byte = (uint8_t)kind;
    ps_write_raw(w, &byte, 1);
    ps_write_i16(w, (int16_t)len);
    ps_write_raw(w, bytes, len);
}

static void convert(const struct recording *r)
{
    static uint8_t buffer[SESSION_MAX + 2 * FRAME_MAX];
    struct ps_writer w = {.base = buffer, .cap = sizeof buffer};
    struct frame request, response = {0};
    size_t up = 0, down = 0, steps = 0;
    bool answered = next_frame(r, 1, &down, &response);
    uint8_t options = (uint8_t)(sessions * 20); /* pieces of some size */
    ps_write_raw(&w, &options, 1);
    while (next_frame(r, 0, &up, &request)) {
        const struct ps_api *api = ps_api_find((int16_t)ps_load16(request.at + 4));
        int16_t version = (int16_t)ps_load16(request.at + 6);
        bool mine = answered && ps_load32(response.at + 4) == ps_load32(request.at + 8);
        if (api != NULL && ps_api_knows(api, version)) {
            keep_message(api, version, false, body_of(&request, api, version, false));
            if (mine) {
                keep_message(api, version, true, body_of(&response, api, version, true));
            }
        }
        if (w.len < SESSION_MAX && request.len <= FRAME_MAX && (!mine || response.len <= FRAME_MAX)) {
            steps++;
            put_step(&w, STEP_CLIENT, request.at, request.len);
            if (mine) {
                put_step(&w, STEP_ANSWER, response.at + 8, response.len - 8);
            }
        }
        if (mine) {
            answered = next_frame(r, 1, &down, &response);
        }
    }
    if (steps > 1) {
        char name[60];
        snprintf(name, sizeof name, "recorded-%03u", sessions++);
        write_input("session", name, w.base, w.len);
    }
}

static bool read_file(const char *path, uint8_t **bytes, size_t *len)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        return false;
    }
    *len = (size_t)st.st_size;
    *bytes = malloc(*len + 1);
    bool whole = *bytes != NULL && fread(*bytes, 1, *len, file) == *len;
    fclose(file);
    return whole;
}

int main(int argc, char **argv)
{
    DIR *recordings = argc == 3 ? opendir(argv[1]) : NULL;
    if (recordings == NULL) {
        fprintf(stderr, "usage: make_seeds RECORDINGS FOLDER\n");
        return 2;
    }
    folder = argv[2];
    mkdir(folder, 0777);
    for (struct dirent *entry; (entry = readdir(recordings)) != NULL;) {
        char path[2][4096];
        struct recording r = {0};
        size_t len = strlen(entry->d_name);
        if (len < 4 || strcmp(entry->d_name + len - 3, ".up") != 0) {
            continue;
        }
        int stem = (int)len - 3;
        snprintf(path[0], sizeof path[0], "%s/%.*s.up", argv[1], stem, entry->d_name);
        snprintf(path[1], sizeof path[1], "%s/%.*s.down", argv[1], stem, entry->d_name);
        if (read_file(path[0], &r.bytes[0], &r.len[0]) && read_file(path[1], &r.bytes[1], &r.len[1])) {
            convert(&r);
        }
        free(r.bytes[0]);
        free(r.bytes[1]);
    }
    closedir(recordings);
    printf("%u connections\n", sessions);
    return sessions > 0 ? 0 : 1;
}
