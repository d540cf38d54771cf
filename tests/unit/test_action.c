/* The matrix, cell by cell as docs/clients.md has it, and what holds whatever the cells are. */
#include "penstock/action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum ps_cell cell_of(char letter)
{
    return letter == 'P' ? PS_CELL_PART : letter == 'W' ? PS_CELL_WHOLE : PS_CELL_NEVER;
}

/* Letters: plain, idempotent, transactional; of answered requests. */
static void cells_of_each_family(void **state)
{
    (void)state;
    static const struct {
        enum ps_family family;
        const char *reject, *shed;
    } rows[] = {
        {PS_FAMILY_UNKNOWN, "---", "W--"},        {PS_FAMILY_JAVA, "PPP", "PP-"},
        {PS_FAMILY_LIBRDKAFKA, "PPP", "PP-"},     {PS_FAMILY_FRANZ_GO, "PPP", "PP-"},
        {PS_FAMILY_SARAMA, "---", "PP-"},         {PS_FAMILY_KAFKA_PYTHON_3, "PPP", "P--"},
        {PS_FAMILY_KAFKA_PYTHON_2, "---", "P--"}, {PS_FAMILY_KAFKAJS, "---", "WW-"},
    };
    assert_int_equal(PS_ARRAY_LEN(rows), PS_FAMILY_COUNT);
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        assert_int_equal(rows[i].family, i);
        for (size_t k = 0; k < 3; k++) {
            enum ps_producer kind = (enum ps_producer)(PS_PRODUCER_PLAIN + k);
            assert_int_equal(ps_action_cell(PS_ACTION_REJECT, false, true, kind, rows[i].family),
                             cell_of(rows[i].reject[k]));
            assert_int_equal(ps_action_cell(PS_ACTION_SHED, false, true, kind, rows[i].family),
                             cell_of(rows[i].shed[k]));
        }
    }
}

/* Letters as above, for answered requests and for acks=0; the same towards every client. */
static void cells_that_no_family_changes(void **state)
{
    (void)state;
    static const struct {
        enum ps_action action;
        bool silent;
        const char *answered, *unanswered;
    } rows[] = {
        {PS_ACTION_THROTTLE, false, "WWW", "WWW"}, {PS_ACTION_HOLD, false, "WWW", "---"},
        {PS_ACTION_SAMPLE, false, "PP-", "PP-"},   {PS_ACTION_DIVERT, false, "PP-", "---"},
        {PS_ACTION_SHED, true, "P--", "P--"},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        for (size_t k = 0; k < 3; k++) {
            enum ps_producer kind = (enum ps_producer)(PS_PRODUCER_PLAIN + k);
            for (int f = 0; f < PS_FAMILY_COUNT; f++) {
                enum ps_family family = (enum ps_family)f;
                assert_int_equal(ps_action_cell(rows[i].action, rows[i].silent, true, kind, family),
                                 cell_of(rows[i].answered[k]));
                assert_int_equal(ps_action_cell(rows[i].action, rows[i].silent, false, kind, family),
                                 cell_of(rows[i].unanswered[k]));
            }
        }
    }
}

static void nothing_is_answered_that_awaits_no_answer(void **state)
{
    (void)state;
    for (int f = 0; f < PS_FAMILY_COUNT; f++) {
        for (int kind = PS_PRODUCER_PLAIN; kind <= PS_PRODUCER_TRANSACTIONAL; kind++) {
            assert_int_equal(ps_action_cell(PS_ACTION_REJECT, false, false, (enum ps_producer)kind, (enum ps_family)f),
                             PS_CELL_NEVER);
            assert_int_equal(ps_action_cell(PS_ACTION_SHED, false, false, (enum ps_producer)kind, (enum ps_family)f),
                             kind == PS_PRODUCER_PLAIN ? PS_CELL_PART : PS_CELL_NEVER);
        }
    }
}

/* Who is not known is never done what some known client of the kind does not bear. */
static void the_unknown_get_the_least(void **state)
{
    (void)state;
    for (int a = 0; a < PS_ACTION_COUNT; a++) {
        for (int flags = 0; flags < 4; flags++) {
            for (int kind = PS_PRODUCER_PLAIN; kind <= PS_PRODUCER_TRANSACTIONAL; kind++) {
                enum ps_cell least = ps_action_cell((enum ps_action)a, flags & 1, flags & 2, (enum ps_producer)kind,
                                                    PS_FAMILY_UNKNOWN);
                for (int f = 0; f < PS_FAMILY_COUNT; f++) {
                    assert_true(ps_action_cell((enum ps_action)a, flags & 1, flags & 2, (enum ps_producer)kind,
                                               (enum ps_family)f) >= least);
                }
            }
        }
    }
}

static void every_way_of_safer_actions_ends_at_throttle(void **state)
{
    (void)state;
    assert_int_equal(ps_action_safer(PS_ACTION_SHED), PS_ACTION_REJECT);
    assert_int_equal(ps_action_safer(PS_ACTION_DIVERT), PS_ACTION_REJECT);
    assert_int_equal(ps_action_safer(PS_ACTION_REJECT), PS_ACTION_HOLD);
    for (int a = 0; a < PS_ACTION_COUNT; a++) {
        enum ps_action action = (enum ps_action)a;
        for (int steps = 0; steps < PS_ACTION_COUNT; steps++) {
            action = ps_action_safer(action);
        }
        assert_int_equal(action, PS_ACTION_THROTTLE);
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(ps_action_name(PS_ACTION_THROTTLE), "throttle");
    assert_string_equal(ps_action_name(PS_ACTION_HOLD), "hold");
    assert_string_equal(ps_action_name(PS_ACTION_SAMPLE), "sample");
    assert_string_equal(ps_action_name(PS_ACTION_DIVERT), "divert");
    assert_string_equal(ps_action_name(PS_ACTION_SHED), "shed");
    assert_string_equal(ps_action_name(PS_ACTION_REJECT), "reject");
}

/* ---- who it is ---- */

static enum ps_family told(const char *name, const char *version)
{
    return ps_family_of(ps_span_of(name), ps_span_of(version));
}

static void families_by_the_name_they_tell(void **state)
{
    (void)state;
    assert_int_equal(told("apache-kafka-java", "4.4.0"), PS_FAMILY_JAVA);
    assert_int_equal(told("confluent-kafka-python", "2.16.1-rdkafka-2.16.0"), PS_FAMILY_LIBRDKAFKA);
    assert_int_equal(told("kgo", "1.22.2"), PS_FAMILY_FRANZ_GO);
    assert_int_equal(told("sarama", "1.61.1"), PS_FAMILY_SARAMA);
    assert_int_equal(told("kafka-python", "3.0.12"), PS_FAMILY_KAFKA_PYTHON_3);
    assert_int_equal(told("kafka-python", "2.3.3"), PS_FAMILY_KAFKA_PYTHON_2);
    assert_int_equal(told("kafka-python", "1.4.7"), PS_FAMILY_UNKNOWN);
    assert_int_equal(told("kafka-python", ""), PS_FAMILY_UNKNOWN);
    assert_int_equal(told("kafkajs", "2.2.4"), PS_FAMILY_UNKNOWN); /* it tells none: somebody else took the name */
}

static struct ps_batch batch_with(int64_t id, int16_t epoch, int32_t sequence)
{
    return (struct ps_batch){.producer_id = id, .producer_epoch = epoch, .base_sequence = sequence};
}

static void families_by_what_they_send(void **state)
{
    (void)state;
    struct ps_batch zeros = batch_with(-1, 0, 0), none = batch_with(-1, -1, -1), sarama = batch_with(-1, -1, 0),
                    idempotent = batch_with(7, 0, 0);
    static const struct {
        const char *client_id;
        int16_t version;
        int batch; /* 0 none seen, 1 zeros, 2 none, 3 Sarama's, 4 idempotent */
        enum ps_family family;
    } rows[] = {
        {"kafkajs", 7, 0, PS_FAMILY_KAFKAJS},
        {"kafkajs", 7, 4, PS_FAMILY_KAFKAJS},
        {"kafkajs", 5, 2, PS_FAMILY_KAFKAJS},
        {"kafkajs", 9, 1, PS_FAMILY_UNKNOWN}, /* it speaks no such version */
        {"kafkajs-2", 7, 2, PS_FAMILY_UNKNOWN},
        {"orders", 7, 1, PS_FAMILY_KAFKAJS},
        {"orders", 3, 1, PS_FAMILY_UNKNOWN}, /* as ruby-kafka does */
        {"orders", 9, 1, PS_FAMILY_UNKNOWN},
        {"orders", 7, 2, PS_FAMILY_UNKNOWN},
        {"orders", 7, 3, PS_FAMILY_UNKNOWN},
        {"orders", 7, 4, PS_FAMILY_UNKNOWN},
        {"orders", 7, 0, PS_FAMILY_UNKNOWN},
        {"", 7, 2, PS_FAMILY_UNKNOWN},
        {"kafka-python-2.0.2", 7, 2, PS_FAMILY_KAFKA_PYTHON_2},
        {"kafka-python-producer-1", 7, 0, PS_FAMILY_KAFKA_PYTHON_2},
        {"kafka-python-producer-1", 9, 2, PS_FAMILY_UNKNOWN}, /* version 3 speaks that, and tells its name */
        {"kafka-python", 7, 2, PS_FAMILY_UNKNOWN},
    };
    const struct ps_batch *batches[] = {NULL, &zeros, &none, &sarama, &idempotent};
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        assert_int_equal(ps_family_by_produce(ps_span_of(rows[i].client_id), rows[i].version, batches[rows[i].batch]),
                         rows[i].family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_of_each_family),
        cmocka_unit_test(cells_that_no_family_changes),
        cmocka_unit_test(nothing_is_answered_that_awaits_no_answer),
        cmocka_unit_test(the_unknown_get_the_least),
        cmocka_unit_test(every_way_of_safer_actions_ends_at_throttle),
        cmocka_unit_test(names),
        cmocka_unit_test(families_by_the_name_they_tell),
        cmocka_unit_test(families_by_what_they_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
