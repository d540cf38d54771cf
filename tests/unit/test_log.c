/* test_log.c - the lines of the log: their form, what hostile values do to them, and the bound per event. */
#include "log.h"
#include "log_line.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define STAMP "2026-11-21T06:40:27.123Z"

static ps_ns monotonic_now;
static int pipe_fds[2];

static ps_ns fake_monotonic(void)
{
    return monotonic_now;
}

static ps_ns fake_since_epoch(void)
{
    return UINT64_C(1795243227) * PS_SECOND + 123 * PS_MILLISECOND + 999999;
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    fcntl(pipe_fds[0], F_SETPIPE_SZ, 1 << 20);
    monotonic_now = 100 * PS_SECOND;
    ps_log_setup(PS_LOG_INFO, PS_LOG_TEXT);
    ps_log_redirect(pipe_fds[1], fake_monotonic, fake_since_epoch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ps_log_redirect(STDERR_FILENO, NULL, NULL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

/* Everything written since the last call. */
static const char *written(void)
{
    static char text[1 << 20];
    ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static size_t lines_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

static void test_text(void **state)
{
    (void)state;
    ps_log(PS_LOG_INFO, "listen", "listener=%s address=%s:%u ports=%u-%u", "public", "0.0.0.0", 9192u, 9193u, 9292u);
    assert_string_equal(written(), STAMP " info listen listener=public address=0.0.0.0:9192 ports=9193-9292\n");
    ps_log(PS_LOG_WARN, "bare", NULL);
    assert_string_equal(written(), STAMP " warn bare\n");
    ps_log(PS_LOG_ERROR, "close", "reason=%s text=%s, it seems bytes=%" PRIu64 " share=%.2f%% none=%s", "idle",
           "nothing moved", UINT64_C(18446744073709551615), 12.5, "");
    assert_string_equal(written(), STAMP " error close reason=idle text=\"nothing moved, it seems\" "
                                         "bytes=18446744073709551615 share=12.50% none=\"\"\n");
}

static void test_json(void **state)
{
    (void)state;
    ps_log_setup(PS_LOG_INFO, PS_LOG_JSON);
    ps_log(PS_LOG_INFO, "close", "client=%s n=%d u=%zu rate=%.1f inf=%f zero=%02d neg=%ld id=%s:%d", "a b", -3,
           (size_t)7, 2.5, INFINITY, 5, -9L, "12", 34);
    assert_string_equal(written(), "{\"ts\":\"" STAMP "\",\"level\":\"info\",\"event\":\"close\",\"client\":\"a b\","
                                   "\"n\":-3,\"u\":7,\"rate\":2.5,\"inf\":\"inf\",\"zero\":\"05\",\"neg\":-9,"
                                   "\"id\":\"12:34\"}\n");
}

static void test_levels(void **state)
{
    (void)state;
    ps_log(PS_LOG_DEBUG, "quiet", NULL);
    assert_string_equal(written(), "");
    assert_false(ps_log_enabled(PS_LOG_DEBUG));
    ps_log_setup(PS_LOG_DEBUG, PS_LOG_TEXT);
    assert_true(ps_log_enabled(PS_LOG_DEBUG));
    ps_log(PS_LOG_DEBUG, "quiet", NULL);
    assert_string_equal(written(), STAMP " debug quiet\n");
}

/* A client may call itself anything: never a second line, a second pair, or bytes that are no UTF-8. */
static void test_hostile_values(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text;
    } table[] = {
        {"x\ny", "\"x\\ny\""},
        {"a=b", "\"a=b\""},
        {"\"", "\"\\\"\""},
        {"\\", "\"\\\\\""},
        {"\x1b[2J", "\"\\u001b[2J\""},
        {"\x7f", "\"\\u007f\""},
        {"\xff\xfe", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\xa4", "\"\xc3\xa4\""},
        {"\xc3", "\"\xef\xbf\xbd\""},
        {"\xe2\x82\xac", "\"\xe2\x82\xac\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        char expected[256];
        ps_log_setup(PS_LOG_INFO, PS_LOG_TEXT);
        monotonic_now += PS_SECOND;
        ps_log(PS_LOG_INFO, "e", "v=%s next=%d", table[i].value, 1);
        snprintf(expected, sizeof(expected), STAMP " info e v=%s next=1\n", table[i].text);
        assert_string_equal(written(), expected);

        ps_log_setup(PS_LOG_INFO, PS_LOG_JSON);
        ps_log(PS_LOG_INFO, "e", "v=%s next=%d", table[i].value, 1);
        json_error_t error;
        json_t *json = json_loads(written(), 0, &error);
        if (json == NULL) {
            fail_msg("row %zu: %s", i, error.text);
        }
        assert_int_equal(json_object_size(json), 5);
        json_decref(json);
    }
}

static void test_not_terminated(void **state)
{
    (void)state;
    char *exact = malloc(3);
    memcpy(exact, "abc", 3);
    ps_log(PS_LOG_INFO, "e", "v=%.*s w=%d", 3, exact, 4);
    assert_string_equal(written(), STAMP " info e v=abc w=4\n");
    free(exact);
}

/* What does not fit is left out whole, the line says so, and JSON stays JSON. */
static void test_long_lines(void **state)
{
    (void)state;
    char *big = malloc(5000);
    memset(big, '\x01', 4999); /* six bytes each when escaped */
    big[4999] = '\0';
    for (int format = PS_LOG_TEXT; format <= PS_LOG_JSON; format++) {
        ps_log_setup(PS_LOG_INFO, (enum ps_log_format)format);
        ps_log(PS_LOG_INFO, "e", "big=%s small=%d", big, 1);
        const char *text = written();
        assert_true(strlen(text) <= PS_LOG_LINE_MAX);
        assert_int_equal(lines_of(text), 1);
        if (format == PS_LOG_TEXT) {
            assert_string_equal(text, STAMP " info e small=1 cut=true\n");
        } else {
            json_t *json = json_loads(text, 0, NULL);
            assert_non_null(json);
            assert_true(json_is_true(json_object_get(json, "cut")));
            json_decref(json);
        }
    }
    memset(big, 'x', 4999);
    ps_log_setup(PS_LOG_INFO, PS_LOG_TEXT);
    ps_log(PS_LOG_INFO, "e", "a=%s b=%s c=%s d=%s e=%s", big, big, big, big, big);
    const char *text = written();
    assert_true(strlen(text) <= PS_LOG_LINE_MAX);
    assert_string_equal(text + strlen(text) - 10, " cut=true\n");
    free(big);
}

static void test_bound_per_event(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        ps_log(PS_LOG_INFO, "flood", "i=%d", i);
    }
    ps_log(PS_LOG_INFO, "other", NULL);
    assert_int_equal(lines_of(written()), PS_LOG_PER_SECOND + 1);
    monotonic_now += PS_SECOND - 1;
    ps_log(PS_LOG_INFO, "flood", "i=%d", 100);
    assert_string_equal(written(), "");
    monotonic_now += 1;
    ps_log(PS_LOG_INFO, "flood", "i=%d", 101);
    assert_string_equal(written(), STAMP " info flood suppressed=81 i=101\n");
    ps_log(PS_LOG_INFO, "flood", "i=%d", 102);
    assert_string_equal(written(), STAMP " info flood i=102\n");
}

static void test_flush_tells_what_was_suppressed(void **state)
{
    (void)state;
    for (int i = 0; i < 25; i++) {
        ps_log(PS_LOG_WARN, "flood", NULL);
    }
    written();
    ps_log_flush();
    assert_string_equal(written(), STAMP " warn flood suppressed=5\n");
    ps_log_flush();
    assert_string_equal(written(), "");
}

static void test_more_events_than_counts(void **state)
{
    (void)state;
    static char names[100][16];
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof(names[i]), "e%d", i);
        ps_log(PS_LOG_INFO, names[i], NULL);
    }
    assert_int_equal(lines_of(written()), 64 + PS_LOG_PER_SECOND);
    ps_log_flush();
    assert_string_equal(written(), STAMP " info other_events suppressed=16\n");
}

static void *write_lines(void *name)
{
    for (int i = 0; i < PS_LOG_PER_SECOND; i++) {
        ps_log(PS_LOG_INFO, name, "v=%s", "0123456789012345678901234567890123456789");
    }
    return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static char names[4][4] = {"t0", "t1", "t2", "t3"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, write_lines, names[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    char *text = strdup(written());
    assert_int_equal(lines_of(text), 4 * PS_LOG_PER_SECOND);
    char *rest = text;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        assert_int_equal(strlen(line), strlen(STAMP " info t0 v=0123456789012345678901234567890123456789"));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_terminated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_per_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_tells_what_was_suppressed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_events_than_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_threads_do_not_mix, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
