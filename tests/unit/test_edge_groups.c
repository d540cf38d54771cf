/* test_edge_groups.c - which groups govern, in the cases that go wrong in practice: slow ones, dead ones, new ones.
 *
 * The control core with one worker that obeys, producers that would write 1000/s, and groups that read what is there at
 * their own rates and commit once a second. The clock is counted; samples come twice a second. */
#include "control_core.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_load.h"
#include "log.h"

#define TICK    PS_CONTROL_TICK
#define OFFERED 1000.0 /* records/s */
#define GROUPS  3
#define UP      "upstream: {bootstrap: [h:1]}\nworkers: 1\npolicies:\n"

/* A consumer group as it really is. */
struct group {
    const char *name;
    double rate, position; /* records/s, records */
    int64_t committed;     /* -1 nothing */
    bool commits;
    enum ps_lag_group_state state;
};

static struct {
    struct ps_channel channel;
    struct ps_channel *list[1];
    struct ps_core *core;
    ps_ns now;
    unsigned ticks;
    double end, admitted; /* of the log; since the topic began */
    struct group groups[GROUPS];
    int log;              /* what was logged so far: a file without a name */
} world;

static void wake(void *worker)
{
    (void)worker;
}

static const struct ps_config *config_of(const char *policy)
{
    static struct ps_config_errors errors;
    char text[2048];
    snprintf(text, sizeof(text), UP "  - {name: p, topics: [t], %s}\n", policy);
    struct ps_config *config = ps_config_parse("test.yaml", text, strlen(text), &errors);
    if (config == NULL) {
        fail_msg("%s: line %u: %s", text, errors.v[0].line, errors.v[0].text);
    }
    return config;
}

static int logged_fd(void)
{
    char path[] = "/tmp/penstock-test-groups-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* How many lines of this event there are. */
static unsigned logged(const char *event)
{
    static char text[1 << 20];
    char wanted[64];
    unsigned count = 0;
    ssize_t len = pread(world.log, text, sizeof(text) - 1, 0);
    text[len < 0 ? 0 : len] = '\0';
    snprintf(wanted, sizeof(wanted), " %s ", event);
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++) {
        count++;
    }
    return count;
}

static void begin(const char *policy)
{
    memset(&world, 0, sizeof(world));
    world.now = 1000 * PS_SECOND;
    world.log = logged_fd();
    ps_log_redirect(world.log, NULL, NULL);
    world.channel.notices = ps_ring_new(sizeof(struct ps_notice_entry), 64);
    world.channel.notice_texts = ps_ring_new(sizeof(struct ps_notice_text_entry), 64);
    world.channel.wake = wake;
    world.list[0] = &world.channel;
    const struct ps_config *config = config_of(policy);
    struct ps_core_hooks hooks = {0};
    world.core = ps_core_new(config, world.list, 1, &hooks, world.now);
    ps_config_put(config);
    const char *topic = "t";
    struct ps_lag_message m = {.kind = PS_LAG_TOPICS, .names = &topic, .name_count = 1};
    ps_core_message(world.core, &m, world.now);
}

static int end(void **state)
{
    (void)state;
    assert_true(ps_core_collect(world.core, world.now));
    ps_core_free(world.core);
    ps_ring_free(world.channel.notices);
    ps_ring_free(world.channel.notice_texts);
    ps_log_redirect(STDERR_FILENO, NULL, NULL);
    close(world.log);
    return 0;
}

static void reload(const char *policy)
{
    const struct ps_config *config = config_of(policy);
    ps_core_configure(world.core, config, world.now);
    ps_config_put(config);
}

/* A group that reads and commits. */
static struct group *add(size_t i, const char *name, double rate)
{
    world.groups[i] = (struct group){name, rate, world.end, -1, true, PS_LAG_GROUP_ALIVE};
    return &world.groups[i];
}

static void tell_groups(void)
{
    const char *names[GROUPS];
    enum ps_lag_group_state states[GROUPS];
    size_t count = 0;
    for (size_t i = 0; i < GROUPS; i++) {
        if (world.groups[i].name != NULL) {
            names[count] = world.groups[i].name;
            states[count++] = world.groups[i].state;
        }
    }
    struct ps_lag_message m = {.kind = PS_LAG_GROUPS, .names = names, .states = states, .name_count = count};
    ps_core_message(world.core, &m, world.now);
}

static void sample(const struct group *group)
{
    struct ps_partition_sample partition = {group->committed, 0, (int64_t)world.end};
    struct ps_lag_message m = {
        .kind = PS_LAG_SAMPLE, .group = group->name, .topic = "t", .isolation = PS_READ_UNCOMMITTED};
    m.sample = (struct ps_sample){world.now, world.now, 1, &partition};
    ps_core_message(world.core, &m, world.now);
}

static const struct ps_core_instance *instance(void)
{
    return world.core->instances[0];
}

/* One tick of everybody. */
static void turn(void)
{
    double dt = (double)TICK / (double)PS_SECOND;
    double allowed = isinf(instance()->rate) ? instance()->headroom : instance()->rate * dt;
    double records = floor(fmin(OFFERED * dt, allowed));
    struct ps_notice_entry entry = {
        .kind = PS_NOTICE_ADMITTED, .slot = 0, .partition = 0, .records = (uint32_t)records};
    assert_true(ps_ring_push(world.channel.notices, &entry));
    world.end += records;
    world.admitted += records;
    world.ticks++;
    for (size_t i = 0; i < GROUPS; i++) {
        struct group *group = &world.groups[i];
        if (group->name == NULL) {
            continue;
        }
        group->position = fmin(world.end, group->position + group->rate * dt);
        if (group->commits && world.ticks % 10 == 0) {
            group->committed = (int64_t)group->position;
        }
        if (world.ticks % 5 == 0) {
            sample(group);
        }
    }
    if (world.ticks % 50 == 0) {
        tell_groups();
    }
    world.now += TICK;
    ps_core_tick(world.core, world.now);
}

/* Lets time pass; returns records per second that were admitted meanwhile. */
static double run(unsigned seconds)
{
    double before = world.admitted;
    for (unsigned i = 0; i < seconds * 10; i++) {
        turn();
    }
    return (world.admitted - before) / seconds;
}

static const struct ps_core_group *find(const char *name)
{
    for (size_t i = 0; i < instance()->group_count; i++) {
        if (strcmp(instance()->groups[i]->name, name) == 0) {
            return instance()->groups[i];
        }
    }
    return NULL;
}

static enum ps_standing standing(const char *name)
{
    assert_non_null(find(name));
    return find(name)->standing;
}

static double lag(const struct group *group)
{
    return world.end - group->position;
}

static void assert_near(double found, double expected, double part)
{
    if (!(fabs(found - expected) <= part * expected)) {
        fail_msg("%g is not within %g of %g", found, part, expected);
    }
}

static bool governs(const char *name)
{
    return instance()->governing != NULL && strcmp(instance()->governing->name, name) == 0;
}

/* ---- roles ---- */

static void test_of_two_groups_the_slow_one_governs(void **state)
{
    (void)state;
    begin("signal: {groups: [slow, fast], target: 1k, limit: 4k}");
    const struct group *slow = add(0, "slow", 200), *fast = add(1, "fast", 700);
    run(30);
    assert_near(run(20), 200, 0.05);
    assert_true(governs("slow"));
    assert_int_equal(standing("fast"), PS_STANDING_GOVERNING); /* it does, but allows more */
    assert_near(lag(slow), 1000, 0.15);
    assert_true(lag(fast) < 200);
}

static void test_an_advisory_group_is_shown_and_never_governs(void **state)
{
    (void)state;
    begin("signal: {groups: [slow, fast], advisory: [slow], target: 1k, limit: 4k}");
    const struct group *slow = add(0, "slow", 200), *fast = add(1, "fast", 700);
    run(30);
    assert_near(run(20), 700, 0.05);
    assert_true(governs("fast"));
    assert_near(lag(fast), 1000, 0.15);
    assert_int_equal(standing("slow"), PS_STANDING_ADVISORY);
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    const struct ps_policy_status *policy = &status->policies[0];
    assert_int_equal(policy->group_count, 2);
    assert_true(policy->groups[0].governs);
    assert_false(policy->groups[1].governs);
    assert_string_equal(policy->groups[1].group, "slow");
    assert_int_equal(policy->groups[1].standing, PS_STANDING_ADVISORY);
    assert_near(policy->groups[1].decision.lag_estimated, lag(slow), 0.05); /* measured all the same */
    assert_int_not_equal(policy->level, PS_LEVEL_REJECT); /* as by its lag */
    free(status);
}

static void test_an_advisory_group_does_not_hurry_the_polls(void **state)
{
    (void)state;
    begin("signal: {groups: [slow, fast], advisory: [slow], target: 1k, limit: 4k}");
    add(0, "slow", 200);
    add(1, "fast", 5000);
    run(30);
    assert_true(find("slow")->decision.engaged);
    assert_false(world.core->engaged[0].told);
}

static void test_an_ignored_group_is_not_looked_at(void **state)
{
    (void)state;
    begin("signal: {groups: [\"*\"], ignore: [slow], target: 1k, limit: 4k}");
    add(0, "slow", 0);
    add(1, "fast", 700);
    run(30);
    assert_near(run(20), 700, 0.05);
    assert_int_equal(instance()->group_count, 1);
    assert_null(find("slow"));
}

static void test_a_reload_changes_roles(void **state)
{
    (void)state;
    begin("signal: {groups: [slow, fast], target: 1k, limit: 4k}");
    add(0, "slow", 200);
    add(1, "fast", 700);
    run(30);
    reload("signal: {groups: [slow, fast], advisory: [slow], target: 1k, limit: 4k}");
    run(20);
    assert_true(governs("fast"));
    reload("signal: {groups: [slow, fast], ignore: [fast], target: 1k, limit: 4k}");
    run(1);
    assert_true(governs("slow"));
    assert_null(find("fast"));
}

/* Two policies may measure the same group of the same topic in two ways. */
static void test_a_sample_of_the_other_isolation_is_not_ours(void **state)
{
    (void)state;
    begin("signal: {groups: [g], isolation: read_committed, target: 1k, limit: 4k}");
    const struct group g = {"g", 0, 0, 0, false, PS_LAG_GROUP_ALIVE};
    world.end = 100000;
    sample(&g);
    world.now += TICK;
    ps_core_tick(world.core, world.now);
    assert_int_equal(find("g")->decision.signal, PS_SIGNAL_NONE);
}

/* ---- nobody there ---- */

static void test_an_abandoned_group_is_left_out_after_its_grace(void **state)
{
    (void)state;
    begin("signal: {groups: [left, alive], target: 1k, limit: 4k, empty_grace: 60s}");
    struct group *left = add(0, "left", 800);
    add(1, "alive", 700);
    run(30);
    left->rate = 0; /* all its consumers have gone */
    left->state = PS_LAG_GROUP_EMPTY;
    run(10);
    assert_int_equal(standing("left"), PS_STANDING_EMPTY);
    assert_true(governs("left")); /* they may be back at any moment */
    assert_true(run(40) < 100);
    assert_int_equal(logged("group_abandoned"), 0);
    run(20);
    assert_int_equal(standing("left"), PS_STANDING_ABANDONED);
    run(60);
    assert_true(governs("alive"));
    assert_near(run(30), 700, 0.05);
    assert_true(lag(left) > 50000); /* grows and grows */
    assert_near(find("left")->decision.lag_committed, lag(left), 0.05); /* and is told */
    assert_int_equal(logged("group_abandoned"), 1);
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_int_equal(status->policies[0].groups[1].standing, PS_STANDING_ABANDONED);
    assert_true(status->policies[0].groups[1].empty_for > 60 * PS_SECOND);
    free(status);
}

static void test_an_empty_group_that_returns_governs_at_once(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 20s}");
    struct group *g = add(0, "g", 400);
    run(30);
    g->rate = 0;
    g->state = PS_LAG_GROUP_EMPTY;
    run(60);
    assert_int_equal(standing("g"), PS_STANDING_ABANDONED);
    assert_null(instance()->governing);
    assert_near(run(5), OFFERED, 0.01);
    g->rate = 2000;
    g->state = PS_LAG_GROUP_ALIVE;
    tell_groups();
    run(1);
    assert_int_equal(standing("g"), PS_STANDING_GOVERNING);
    assert_true(governs("g"));
    assert_true(isfinite(instance()->rate)); /* it is far behind */
    assert_int_equal(logged("group_returned"), 1);
    run(120);
    assert_true(lag(g) < 2000);
    assert_int_equal(logged("group_abandoned"), 1);
}

/* Consumers that assign themselves their partitions are members of no group, which looks empty. */
static void test_a_group_without_members_that_commits_is_not_empty(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 20s}");
    add(0, "g", 400)->state = PS_LAG_GROUP_EMPTY;
    run(60);
    assert_true(ps_standing_governs(standing("g")));
    assert_near(run(60), 400, 0.05);
    assert_int_equal(logged("group_abandoned"), 0);
}

static void test_without_a_grace_an_empty_group_governs_for_ever(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 0s}");
    struct group *g = add(0, "g", 400);
    run(30);
    g->rate = 0;
    g->state = PS_LAG_GROUP_EMPTY;
    run(3600);
    assert_int_equal(standing("g"), PS_STANDING_EMPTY);
    assert_true(run(10) < 40);
    assert_true(lag(g) <= 4000);
}

/* The brokers may not say which groups live: then nobody is given up. */
static void test_a_state_that_is_not_known_abandons_nobody(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 20s}");
    struct group *g = add(0, "g", 400);
    run(30);
    g->rate = 0;
    g->state = PS_LAG_GROUP_UNKNOWN;
    run(120);
    assert_int_equal(standing("g"), PS_STANDING_GOVERNING);
    g->state = PS_LAG_GROUP_EMPTY; /* nor does a word that is not understood end a grace that runs */
    run(15);
    g->state = PS_LAG_GROUP_UNKNOWN;
    run(20);
    assert_int_equal(standing("g"), PS_STANDING_ABANDONED);
}

/* Offsets that cannot be read any more (an ACL, a dead coordinator) are a stale signal, which has its own answer. */
static void test_nobody_is_abandoned_blindly(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 20s, stale_after: 5s}");
    struct group *g = add(0, "g", 400);
    run(30);
    const char *name = "g";
    enum ps_lag_group_state absent = PS_LAG_GROUP_ABSENT;
    struct ps_lag_message m = {.kind = PS_LAG_GROUPS, .names = &name, .states = &absent, .name_count = 1};
    g->name = NULL; /* nothing is heard */
    for (unsigned i = 0; i < 20; i++) {
        run(5);
        ps_core_message(world.core, &m, world.now);
    }
    assert_int_equal(standing("g"), PS_STANDING_EMPTY);
    assert_int_equal(find("g")->decision.signal, PS_SIGNAL_STALE);
    g->name = name;
    g->rate = 0;
    g->state = absent;
    run(10);
    assert_int_equal(standing("g"), PS_STANDING_ABANDONED);
}

static void test_max_rate_holds_without_any_group(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 5s}, max_rate: {records: 600/s}");
    add(0, "g", 0)->state = PS_LAG_GROUP_ABSENT;
    run(20);
    assert_null(instance()->governing);
    assert_near(run(20), 600, 0.02);
}

/* ---- gone, renamed, new ---- */

static void test_a_group_deleted_while_it_governs(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k, empty_grace: 30s}");
    struct group *g = add(0, "g", 400);
    run(30);
    g->rate = 0; /* its offsets go with it */
    g->commits = false;
    g->committed = -1;
    g->state = PS_LAG_GROUP_ABSENT;
    run(25);
    assert_true(governs("g"));
    assert_true(world.end - g->position <= 4000); /* no flood because nothing is committed any more */
    run(15);
    assert_int_equal(standing("g"), PS_STANDING_ABANDONED);
    assert_near(run(10), OFFERED, 0.01);
}

static void test_a_group_renamed_while_it_governs(void **state)
{
    (void)state;
    begin("signal: {groups: [\"app-*\"], target: 1k, limit: 4k}");
    struct group *old = add(0, "app-1", 400);
    run(30);
    double position = old->position;
    old->name = NULL; /* its consumers go on as app-2, where they stopped */
    add(1, "app-2", 400)->position = position;
    run(30);
    assert_non_null(find("app-1")); /* for a minute: lists may be incomplete for a moment */
    run(45);
    assert_null(find("app-1"));
    assert_true(governs("app-2"));
    assert_near(run(30), 400, 0.05);
}

static void test_a_group_that_appears_by_a_glob_governs_at_once(void **state)
{
    (void)state;
    begin("signal: {groups: [\"app-*\"], target: 1k, limit: 4k}");
    run(10);
    assert_near(run(10), OFFERED, 0.01); /* no group, nobody to wait for */
    struct group *g = add(0, "app-1", 300);
    g->position = world.end - 15000;
    g->committed = (int64_t)g->position;
    run(2);
    assert_true(governs("app-1"));
    run(120);
    assert_near(run(20), 300, 0.1);
    assert_near(lag(g), 1000, 0.25);
}

/* ---- nothing committed ---- */

static void test_a_group_without_a_commit_is_not_behind(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k}");
    world.end = 5000000; /* a long log, and a group that has just been thought of */
    struct group *g = add(0, "g", 0);
    g->commits = false;
    double first = run(1);
    assert_true(first > 0); /* its lag is not the log */
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_true(isnan(status->policies[0].lag_committed)); /* and not nothing either */
    free(status);
    run(29);
    assert_true(world.admitted <= 1000 * 1.1 + 30 * 0.05 * 1000); /* what fits, and then 5 % of the target per second */
    assert_near(run(20), 50, 0.2);
}

static void test_a_group_that_never_commits_beside_one_that_does(void **state)
{
    (void)state;
    begin("signal: {groups: [never, g], target: 1k, limit: 4k, empty_grace: 60s}");
    struct group *never = add(0, "never", 0); /* named, and not there */
    never->commits = false;
    never->state = PS_LAG_GROUP_ABSENT;
    add(1, "g", 400);
    run(30);
    assert_true(governs("never"));
    assert_near(run(20), 50, 0.25);
    run(40);
    assert_int_equal(standing("never"), PS_STANDING_ABANDONED); /* a typing error stops nobody for ever */
    run(30);
    assert_near(run(20), 400, 0.05);
}

/* ---- the topic, the configuration ---- */

static void test_a_topic_made_anew(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k}");
    struct group *g = add(0, "g", 400);
    run(40);
    world.end = 0; /* deleted with its partitions and its offsets, and made again */
    g->position = 0;
    g->committed = -1;
    run(30);
    assert_near(run(30), 400, 0.1);
    assert_near(lag(g), 1000, 0.25);
}

/* What is no longer there has no lag, and what comes has its own. */
static void test_partitions_that_go_and_come(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k}");
    struct ps_partition_sample partitions[] = {{100, 0, 200}, {100, 0, 200}, {0, 0, 5000}, {0, 0, 5000}};
    static const uint32_t counts[] = {4, 2, 3};
    static const double lags[] = {10200, 200, 5200};
    for (size_t i = 0; i < PS_ARRAY_LEN(counts); i++) {
        world.now += PS_SECOND;
        struct ps_lag_message m = {
            .kind = PS_LAG_SAMPLE, .group = "g", .topic = "t", .isolation = PS_READ_UNCOMMITTED};
        m.sample = (struct ps_sample){world.now, world.now, counts[i], partitions};
        ps_core_message(world.core, &m, world.now);
        ps_core_tick(world.core, world.now);
        assert_true(find("g")->decision.lag_committed == lags[i]);
    }
}

static void test_a_limit_below_the_lag_that_is_there(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 10k, limit: 20k}");
    const struct group *g = add(0, "g", 400);
    run(60);
    assert_near(lag(g), 10000, 0.1);
    reload("signal: {groups: [g], target: 1k, limit: 4k}");
    run(1);
    assert_int_equal(instance()->level, PS_LEVEL_REJECT);
    double admitted = run(10);
    assert_true(admitted >= 0.45 * 400 && admitted <= 0.6 * 400); /* it drains, but producers keep phi */
    assert_near(find("g")->decision.consume_rate, 400, 0.05);      /* what was learned stays */
    run(60);
    assert_near(lag(g), 1000, 0.2);
    assert_int_not_equal(instance()->level, PS_LEVEL_REJECT);
}

/* ---- lag in time ---- */

static void test_a_target_in_time_follows_the_consumers(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 5s, limit: 20s}");
    struct group *g = add(0, "g", 400);
    world.now += TICK;
    ps_core_tick(world.core, world.now);
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_true(status->policies[0].target_s == 5 && status->policies[0].limit_s == 20);
    assert_true(status->policies[0].limit >= 3.9 * status->policies[0].target);
    free(status);
    run(60);
    assert_near(run(20), 400, 0.05);
    assert_near(lag(g), 5 * 400, 0.15);
    assert_near(find("g")->decision.limit, 20 * 400, 0.1);
    g->rate = 100; /* slower consumers are held less of */
    run(150);
    assert_near(run(20), 100, 0.1);
    assert_near(lag(g), 5 * 100, 0.25);
}

/* ---- limits that cannot be kept ---- */

static void test_an_infeasible_limit_is_told(void **state)
{
    (void)state;
    begin("signal: {groups: [g], target: 1k, limit: 4k}");
    assert_int_equal(logged("limit_feasible"), 1); /* at load: up to which rate */
    struct group *g = add(0, "g", 900);
    run(60);
    assert_int_equal(logged("limit_infeasible"), 0); /* 1000 + 900 (1.4 x 1 + 0.2 + 0.25) */
    reload("signal: {groups: [g], target: 1k, limit: 2k}");
    run(25);
    assert_int_equal(logged("limit_infeasible"), 0); /* for good? */
    run(60);
    assert_int_equal(logged("limit_infeasible"), 1); /* once */
    g->rate = 200;
    run(60);
    g->rate = 900;
    run(90);
    assert_int_equal(logged("limit_infeasible"), 2);
    reload("signal: {groups: [g], target: 10s, limit: 15s}");
    assert_int_equal(logged("limit_infeasible"), 3); /* in time it is known at load */
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_of_two_groups_the_slow_one_governs),
        TEST(test_an_advisory_group_is_shown_and_never_governs),
        TEST(test_an_advisory_group_does_not_hurry_the_polls),
        TEST(test_an_ignored_group_is_not_looked_at),
        TEST(test_a_reload_changes_roles),
        TEST(test_a_sample_of_the_other_isolation_is_not_ours),
        TEST(test_an_abandoned_group_is_left_out_after_its_grace),
        TEST(test_an_empty_group_that_returns_governs_at_once),
        TEST(test_a_group_without_members_that_commits_is_not_empty),
        TEST(test_without_a_grace_an_empty_group_governs_for_ever),
        TEST(test_a_state_that_is_not_known_abandons_nobody),
        TEST(test_nobody_is_abandoned_blindly),
        TEST(test_max_rate_holds_without_any_group),
        TEST(test_a_group_deleted_while_it_governs),
        TEST(test_a_group_renamed_while_it_governs),
        TEST(test_a_group_that_appears_by_a_glob_governs_at_once),
        TEST(test_a_group_without_a_commit_is_not_behind),
        TEST(test_a_group_that_never_commits_beside_one_that_does),
        TEST(test_a_topic_made_anew),
        TEST(test_partitions_that_go_and_come),
        TEST(test_a_limit_below_the_lag_that_is_there),
        TEST(test_a_target_in_time_follows_the_consumers),
        TEST(test_an_infeasible_limit_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
