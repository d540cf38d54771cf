/* test_track.c - what may be committed: every order of taking, delivering and committing a few records, beside a model
 * that looks at them one by one. */
#include "track.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RECORDS 5
#define CAP     3

/* The n-th record; offsets have gaps. */
static int64_t offset_of(unsigned n)
{
    return 10 + (int64_t)(n * n);
}

struct world {
    struct ps_track track;
    struct ps_track_entry entries[CAP];
    struct ps_track_entry *of[RECORDS];
    bool done[RECORDS];
    unsigned taken, committed; /* records; committed: all below are */
    unsigned steps;
};

static unsigned long leaves;

/* Records from the first that is not committed, up to the first that is not delivered. */
static unsigned deliverable(const struct world *w)
{
    unsigned n = w->committed;
    while (n < w->taken && w->done[n]) {
        n++;
    }
    return n;
}

static void check(const struct world *w)
{
    unsigned up_to = deliverable(w), open = 0;
    for (unsigned i = 0; i < w->taken; i++) {
        open += w->done[i] ? 0 : 1;
    }
    assert_int_equal(ps_track_offset(&w->track), up_to == w->committed ? -1 : offset_of(up_to - 1) + 1);
    assert_int_equal(ps_track_held(&w->track), w->taken - w->committed);
    assert_int_equal(ps_track_open(&w->track), open);
}

/* A copy is a world of its own: its entries point to its own track. */
static void copy(struct world *to, const struct world *from)
{
    *to = *from;
    to->track.entries = to->entries;
    for (unsigned i = 0; i < CAP; i++) {
        to->entries[i].track = &to->track;
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        to->of[i] = from->of[i] == NULL ? NULL : to->entries + (from->of[i] - from->entries);
    }
}

static void explore(const struct world *from)
{
    struct world w;
    check(from);
    if (from->committed == RECORDS) {
        leaves++;
        return;
    }
    if (from->taken < RECORDS) { /* takes one more */
        copy(&w, from);
        w.of[w.taken] = ps_track_take(&w.track, offset_of(w.taken));
        assert_int_equal(w.of[w.taken] == NULL, w.taken - w.committed == CAP);
        if (w.of[w.taken] != NULL) {
            w.taken++;
            explore(&w);
        }
    }
    for (unsigned i = from->committed; i < from->taken; i++) { /* delivers any one */
        if (!from->done[i]) {
            copy(&w, from);
            ps_track_done(w.of[i]);
            w.done[i] = true;
            explore(&w);
        }
    }
    for (unsigned up_to = from->committed + 1; up_to <= deliverable(from); up_to++) { /* commits all, or some of it */
        copy(&w, from);
        ps_track_committed(&w.track, offset_of(up_to - 1) + 1);
        w.committed = up_to;
        explore(&w);
    }
}

static void test_every_order(void **state)
{
    struct world w = {.taken = 0};
    (void)state;
    ps_track_init(&w.track, w.entries, CAP);
    explore(&w);
    assert_true(leaves > 1000);
    print_message("%lu orders\n", leaves);
}

/* What was committed meanwhile may be less than what could be now, and may be told twice. */
static void test_late_commit(void **state)
{
    struct ps_track_entry entries[4];
    struct ps_track t;
    (void)state;
    ps_track_init(&t, entries, 4);
    struct ps_track_entry *first = ps_track_take(&t, 7), *second = ps_track_take(&t, 9);
    ps_track_done(first);
    int64_t offset = ps_track_offset(&t);
    assert_int_equal(offset, 8);
    ps_track_done(second);
    ps_track_committed(&t, offset);
    ps_track_committed(&t, offset);
    assert_int_equal(ps_track_offset(&t), 10);
    assert_int_equal(ps_track_held(&t), 1);
    ps_track_committed(&t, 10);
    assert_int_equal(ps_track_offset(&t), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_late_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
