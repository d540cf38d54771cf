/* test_config_mistakes.c - for each mistake in a configuration the place and the words.
 *
 * The table is the specification of the messages: a user sees nothing else when a proxy does not start. */
#include "config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct ps_config_errors errors;

static struct ps_config *parse(const char *text)
{
    return ps_config_parse("test.yaml", text, strlen(text), &errors);
}

/* All messages, as they would be printed without the name of the file. */
static char *messages(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < errors.count; i++) {
        fprintf(out, "%u:%u: %s\n", errors.v[i].line, errors.v[i].column, errors.v[i].text);
    }
    fclose(out);
    return text;
}

#define UP     "upstream: {bootstrap: [h:1]}\n"
#define POLICY UP "policies:\n  - name: p\n    topics: [t]\n    signal: {groups: [g], limit: 10k}\n"

static const struct {
    const char *yaml, *expected; /* every message, in the order of the file */
} mistakes[] = {
    /* the file as a whole */
    {"", "1:1: the file is empty; it must at least say upstream: {bootstrap: [HOST:PORT]}\n"},
    {"# only this\n", "1:1: the file is empty; it must at least say upstream: {bootstrap: [HOST:PORT]}\n"},
    {"hello", "1:1: the file is a single value; it must be a map that begins with \"upstream:\"\n"},
    {"- a", "1:1: the file is a list; it must be a map that begins with \"upstream:\"\n"},
    {"log: {}", "1:1: the file lacks the key \"upstream\": The Kafka cluster behind Penstock\n"},
    {UP "---\nlog: {}\n", "2:1: a second YAML document begins here: a configuration is one\n"},

    /* YAML */
    {"upstream:\n\tbootstrap: [h:1]\n",
     "2:1: not YAML: found character that cannot start any token: a tab: YAML is indented by spaces\n"},
    {UP "log: {level: @x}\n", "2:14: not YAML: found character that cannot start any token: a value that begins like "
                              "this needs quotes\n"},
    {UP "log: {level: info\n",
     "3:1: not YAML: did not find expected ',' or '}' while parsing a flow mapping that began "
     "in line 2: a comma or a closing } is missing\n"},
    {UP "log: {level: \"info}\n", "3:1: not YAML: found unexpected end of stream while scanning a quoted scalar that "
                                  "began in line 2: a quote is not closed\n"},
    {UP "log:\n  level: info\n format: text\n", "4:2: not YAML: did not find expected key while parsing a block "
                                                "mapping that began in line 1: is this line indented "
                                                "like the other keys of its map?\n"},
    {UP "workers: 1: 2\n",
     "2:11: not YAML: mapping values are not allowed in this context: a second colon on this line, "
     "or a wrong indentation? a value that holds \": \" needs quotes\n"},
    {UP "workers\nlog: {}\n",
     "3:1: not YAML: could not find expected ':' while scanning a simple key that began in line "
     "2: a key without a colon, or a quote that is not closed?\n"},
    {UP "policies: [*]\n", "2:13: not YAML: did not find expected alphabetic or numeric character: a value that begins "
                           "with * needs quotes, like \"*\" or \"*-dlq\"\n"},
    {UP "policies: *dlq\n", "2:11: aliases (*name) are not supported; a value that begins with * needs quotes, like "
                            "\"*-dlq\"\n"},
    {UP "log: &a {level: info}\n", "2:6: anchors (&) and tags (!) are not supported: write the value out\n"},
    {UP "workers: !!int 3\n", "2:10: anchors (&) and tags (!) are not supported: write the value out\n"},
    {UP "? [a]\n: b\n", "2:3: a key must be a plain word\n"},
    {UP "log: {level: \"in\\0fo\"}\n", "2:14: a zero byte in a value\n"},
    {UP "log: \xff\n", "2:6: not YAML: invalid leading UTF-8 octet: save the file as UTF-8\n"},
    {UP "\xc3\xa4\xc3\xa4: \x01\n", "2:5: not YAML: control characters are not allowed: is this a text file?\n"},
    {UP "a: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n", "2:19: nested deeper than any configuration is\n"},

    /* keys */
    {UP "lgo: {}\n",
     "2:1: unknown key \"lgo\" in the file: did you mean \"log\"? The keys here are upstream, listeners, "
     "tenants, policies, admin, limits, workers, instances, log\n"},
    {UP "log: {colour: red}\n", "2:7: unknown key \"colour\" in log; the keys here are level, format\n"},
    {UP "log: {Level: info}\n", "2:7: unknown key \"Level\" in log: did you mean \"level\"? The keys here are level, "
                                "format\n"},
    {UP "log: {level: info, level: warn}\n", "2:20: the key \"level\" was already given in line 2\n"},
    {UP "log: {level: warn}\nlog: {lvl: x}\n", "3:1: the key \"log\" was already given in line 2\n"},
    {UP "\"lo\\ng\": {}\n", "2:1: unknown key \"lo?g\" in the file: did you mean \"log\"? The keys here are upstream, "
                            "listeners, tenants, policies, admin, limits, workers, instances, log\n"},
    {UP "faults: []\n", "2:1: faults is not supported by this version yet: remove it\n"},
    {"upstream:\n  bootstrap: [h:1]\n  tls: {}\n",
     "3:3: upstream.tls is not supported by this version yet: remove it\n"},
    {"upstream:\n  bootstrap: [h:1]\n  sasl: {mechanism: OAUTHBEARER, username: \"\"}\n",
     "3:9: upstream.sasl lacks the key \"password_file\": A file with the password; relative to the directory of the "
     "configuration\n"
     "3:21: upstream.sasl.mechanism: OAUTHBEARER is not supported by this version yet; it is one of PLAIN, "
     "SCRAM-SHA-256, SCRAM-SHA-512\n"
     "3:44: upstream.sasl.username: \"\" must be text without control characters\n"},
    {UP "tenants:\n- name: a\n  match: {client_id: a, cidr: 10.0.0.0/8}\n  quota: {}\n",
     "4:25: tenants[0].match.cidr is not supported by this version yet: remove it\n"
     "5:3: tenants[0].quota is not supported by this version yet: remove it\n"},

    /* shapes */
    {"upstream: h:1\n", "1:11: upstream is a single value; it must be a map\n"},
    {"upstream: {bootstrap: h:1}\n", "1:23: upstream.bootstrap is a list: write [h:1]\n"},
    {"upstream: {bootstrap: []}\n", "1:23: upstream.bootstrap is an empty list; it needs an item\n"},
    {"upstream:\n", "1:10: upstream is empty; it must be a map\n"},
    {"upstream: {}\n", "1:11: upstream lacks the key \"bootstrap\": Brokers that are asked for the addresses of all "
                       "others, the first that answers\n"},
    {UP "workers: [1]\n", "2:10: workers is a list; it must be a whole number, or auto; 1 to 256\n"},
    {UP "listeners: {name: a}\n", "2:12: listeners is a map; it must be a list of maps; 1 to 64\n"},
    {UP "listeners: []\n", "2:12: listeners is an empty list; it needs an item\n"},
    {UP "listeners: [a]\n", "2:13: listeners[0] is a single value; it must be a map that begins with \"name:\"\n"},
    {UP "policies: x\n", "2:11: policies is a single value; it must be a list of maps; at most 1000\n"},
    {POLICY "    tenants: [[a]]\n", "6:15: policies[0].tenants[0] must be a name or a glob\n"},

    /* quantities */
    {UP "limits: {idle: 5 secs}\n", "2:16: limits.idle: \"5 secs\" is not a duration: did you mean 5s? In general, "
                                    "durations are written 250ms, 5s, 10m or 1h\n"},
    {UP "limits: {idle: 5}\n", "2:16: limits.idle: \"5\" lacks its unit; durations are written 250ms, 5s, 10m or 1h\n"},
    {UP "limits: {idle: soon}\n",
     "2:16: limits.idle: \"soon\" is not a duration; durations are written 250ms, 5s, 10m or "
     "1h\n"},
    {UP "limits: {idle: 10ms}\n", "2:16: limits.idle: 10ms is too small; the least is 1s\n"},
    {UP "limits: {idle: 1000h}\n", "2:16: limits.idle: 1000h is too large; the most is 168h\n"},
    {UP "limits: {frame: 99999999999GiB}\n",
     "2:17: limits.frame: 99999999999GiB is too large; the most is 2147483647\n"},
    {UP "limits: {frame: 100mb}\n",
     "2:17: limits.frame: \"100mb\" is not a size: did you mean 100MB? In general, sizes "
     "are written 64KiB, 10MiB or 1GiB\n"},
    {UP "limits: {frame: 2000.5}\n", "2:17: limits.frame: \"2000.5\" is a fraction of the smallest unit; sizes are "
                                     "written 64KiB, 10MiB or 1GiB\n"},
    {UP "limits: {connections: -1}\n", "2:23: limits.connections: \"-1\" is not a whole number; write it in digits, "
                                       "like 12\n"},
    {UP "limits: {connections: 0x10}\n", "2:23: limits.connections: \"0x10\" is not a whole number; write it in "
                                         "digits, like 12\n"},
    {UP "limits: {gather: 64MiB, memory: 32MiB}\n",
     "2:18: limits.gather: one gathered request (gather, 67108864 bytes) "
     "must fit in memory (33554432 bytes)\n"},
    {UP "limits: {memory: 4MiB}\n", "2:18: limits.memory: one gathered request (gather, 8388608 bytes) must fit in "
                                    "memory (4194304 bytes)\n"},
    {UP "limits: {gather: 1 GiB, memory: 32MiB}\n", /* no echo about memory */
     "2:18: limits.gather: \"1 GiB\" is not a size: did you mean 1GiB? In general, sizes are written 64KiB, 10MiB or "
     "1GiB\n"},
    {UP "workers: 0\n", "2:10: workers: 0 is too small; the least is 1\n"},
    {UP "workers: 257\n", "2:10: workers: 257 is too large; the most is 256\n"},

    /* words */
    {UP "log: {level: warning}\n", "2:14: log.level: \"warning\" is not known: did you mean warn? It is one of error, "
                                   "warn, info, debug\n"},
    {UP "log: {format: xml}\n", "2:15: log.format: \"xml\" is not known; it is one of text, json\n"},
    {POLICY "    loss: maybe\n", "6:11: policies[0].loss: \"maybe\" is not known; it is one of never, allowed\n"},
    {POLICY "    exempt_members: yes\n", "6:21: policies[0].exempt_members: \"yes\" is neither true nor false\n"},
    {UP "tenants: [{name: a b, match: {client_id: a}}]\n",
     "2:18: tenants[0].name: \"a b\" is not a name: letters, digits, dot, underscore and dash, at most 64\n"},
    {UP "tenants: [{name: a, match: {client_id: a}, weight: 0}]\n",
     "2:52: tenants[0].weight: 0 is not between 0.001 and 1000\n"},
    {UP "tenants: [{name: a, match: {client_id: a}, weight: nan}]\n",
     "2:52: tenants[0].weight: \"nan\" is not a number; write it like 1, 2.5 or 0.25\n"},
    {UP "tenants: [{name: a, match: {client_id: a}, weight: 1.2.3}]\n",
     "2:52: tenants[0].weight: \"1.2.3\" is not a number; write it like 1, 2.5 or 0.25\n"},

    /* actions */
    {POLICY "    actions: [hold, sample, shed, divert]\n    divert: {topic: d}\n",
     "6:21: policies[0].actions[1]: sample loses records, and loss is never: say \"loss: allowed\", or leave it out\n"
     "6:29: policies[0].actions[2]: shed loses records, and loss is never: say \"loss: allowed\", or leave it out\n"},
    {POLICY "    loss: never\n    queue: {records: 10k, overflow: drop_oldest}\n",
     "7:37: policies[0].queue.overflow: drop_oldest loses records, and loss is never: say \"loss: allowed\", or take "
     "block or reject\n"},
    {POLICY "    actions: [throttle]\n",
     "6:15: policies[0].actions[0]: \"throttle\" is not known; it is one of hold, sample, divert, shed\n"},
    {POLICY "    actions: [hold, hold]\n", "6:21: policies[0].actions[1]: hold stands here already\n"},
    {POLICY "    actions: [[hold]]\n", "6:15: policies[0].actions[0] must be a single word\n"},
    {POLICY "    actions: hold\n", "6:14: policies[0].actions is a list: write [hold]\n"},
    {POLICY "    actions: [hold, hold, hold, hold, hold]\n", "6:14: policies[0].actions has 5 items; the most is 4\n"},
    {POLICY "    actions: [divert]\n",
     "6:14: policies[0].actions: divert lacks its topic: add \"divert: {topic: NAME}\"\n"},
    {POLICY "    actions: [divert]\n    divert: {}\n",
     "7:13: policies[0].divert lacks the key \"topic\": Where the records go; it must exist, and Penstock's own name "
     "may write to it\n"},
    {POLICY "    actions: [divert]\n    divert: {topic: d*}\n",
     "7:21: policies[0].divert.topic: \"d*\" is a glob; it must be the name of one topic\n"},
    {POLICY "    actions: [divert]\n    divert: {topic: t}\n",
     "7:21: policies[0].divert.topic: t is one of the topics of this policy: what is diverted would be diverted "
     "again\n"},
    {POLICY "    actions: [divert]\n    divert: {topic: u}\n  - name: q\n    topics: [u]\n"
            "    signal: {groups: [g], limit: 1}\n    actions: [divert]\n    divert: {topic: v}\n",
     "7:21: policies[0].divert.topic: the policy q diverts from u: what is diverted would be diverted again\n"},
    {POLICY "    hold: {max: 1s}\n    sample: {}\n    shed: {silent: true}\n    divert: {topic: d}\n",
     "6:5: policies[0].hold is without effect: add hold to actions, or remove it\n"
     "7:5: policies[0].sample is without effect: add sample to actions, or remove it\n"
     "8:5: policies[0].shed is without effect: add shed to actions, or remove it\n"
     "9:5: policies[0].divert is without effect: add divert to actions, or remove it\n"},
    {POLICY "    actions: [hold]\n    hold: {max: 2s, side: request}\n",
     "7:27: policies[0].hold.side: \"request\" is not known; it is response\n"},
    {POLICY "    actions: [hold]\n    hold: {max: 20s}\n",
     "7:17: policies[0].hold.max: an answer may not be held (max 20000ms) for longer than wait.client_timeout "
     "(15000ms)\n"},
    {POLICY "    loss: allowed\n    actions: [sample]\n    sample: {min: 0, by: value}\n",
     "8:19: policies[0].sample.min: 0 is not between 0.001 and 1\n"
     "8:26: policies[0].sample.by: \"value\" is not known; it is one of key, random, every\n"},
    {POLICY "    loss: allowed\n    actions: [sample]\n    sample: {min: 0.1, keep: 0.2}\n",
     "8:24: policies[0].sample.keep is a fixed share, and min the least of one that follows the load: give one of "
     "them\n"},
    {POLICY "    queue: {}\n", "6:12: policies[0].queue bounds nothing: give records, bytes or time\n"},
    {POLICY "    queue: {time: 5s, high: 0.5}\n",
     "6:19: policies[0].queue.time: nothing waits so long: it must be less than wait.max (5000ms)\n"
     "6:29: policies[0].queue.high: high (0.5) must be above low (0.8)\n"},
    {POLICY "    breaker: {error_rate: 0, lags: 2}\n",
     "6:27: policies[0].breaker.error_rate: 0 is not between 0.01 and 1\n"
     "6:30: unknown key \"lags\" in policies[0].breaker: did you mean \"lag\"? The keys here are error_rate, "
     "min_requests, window, open_for, timeout, lag\n"},
    {"upstream: {bootstrap: [h:1], breaker: {lag: 2}}\n",
     "1:40: unknown key \"lag\" in upstream.breaker; the keys here are error_rate, min_requests, window, open_for, "
     "timeout\n"},

    /* globs */
    {UP "tenants: [{name: a, match: {client_id: \"ads-[ab]\"}}]\n",
     "2:40: tenants[0].match.client_id: \"ads-[ab]\" is no glob: only * (anything) and ? (one character) are special, "
     "and [ ] { } \\ are not allowed\n"},
    {UP "policies: [{name: p, topics: [\"\", \"ads/*\", ok], signal: {groups: [g], limit: 1}}]\n",
     "2:31: policies[0].topics[0]: \"\" is empty; * matches everything\n"
     "2:35: policies[0].topics[1]: \"ads/*\" can match no topic: topics have letters, digits, dot, underscore and "
     "dash; "
     "globs also * and ?\n"},

    /* addresses */
    {"upstream: {bootstrap: [kafka, \"::1:9092\", \"h:0\", h:65536, \"h:9 2\", ok:1]}\n",
     "1:24: upstream.bootstrap[0]: \"kafka\" is not a broker; write it like kafka-1.example.com:9092\n"
     "1:31: upstream.bootstrap[1]: \"::1:9092\" is not a broker; write it like kafka-1.example.com:9092\n"
     "1:43: upstream.bootstrap[2]: \"h:0\" is not a broker; write it like kafka-1.example.com:9092\n"
     "1:50: upstream.bootstrap[3]: \"h:65536\" is not a broker; write it like kafka-1.example.com:9092\n"
     "1:59: upstream.bootstrap[4]: \"h:9 2\" is not a broker; write it like kafka-1.example.com:9092\n"},
    {UP "listeners: [{name: a, bind: 9192}]\n",
     "2:29: listeners[0].bind: \"9192\" is not an address and a port; write it like 127.0.0.1:9192, 0.0.0.0:9192 or "
     "[::]:9192\n"},
    {UP "listeners: [{name: a, bind: kafka:9192}]\n", "2:29: listeners[0].bind: \"kafka\" is a name; to bind takes a "
                                                      "numeric address: 127.0.0.1, 0.0.0.0 for all of them, "
                                                      "or one of this machine\n"},
    {UP "listeners: [{name: a, bind: 0.0.0.0:9192, advertise: \"p:9192\"}]\n",
     "2:54: listeners[0].advertise: \"p:9192\" has a port; give only the host, the ports are those of bind and "
     "broker_ports\n"},
    {UP "listeners: [{name: a, bind: 0.0.0.0:9192, advertise: p/q}]\n",
     "2:54: listeners[0].advertise: \"p/q\" is not a host name\n"},
    {UP "listeners: [{name: a, bind: 0.0.0.0:9192, broker_ports: 9299-9200}]\n",
     "2:57: listeners[0].broker_ports: \"9299-9200\" is not a range of ports; write it like 9200-9299, from 1 to "
     "65535\n"},

    /* ports against each other */
    {"upstream: {bootstrap: [a:1, b:1, c:1]}\nlisteners: [{name: a, bind: 0.0.0.0:9192, broker_ports: 9200-9201}]\n",
     "2:57: listeners[0].broker_ports: 2 ports are too few for the 3 brokers of upstream.bootstrap\n"},
    {UP "listeners: [{name: a, bind: 0.0.0.0:9192, broker_ports: 9100-9199}]\n",
     "2:57: listeners[0].broker_ports (ports 9100-9199) overlap listeners[0].bind (port 9192)\n"},
    {UP "listeners:\n- {name: a, bind: 0.0.0.0:9192}\n- {name: b, bind: 127.0.0.1:9200}\n",
     "4:19: listeners[1].bind (port 9200) overlaps the broker ports 9193-9292 that follow listeners[0].bind: set "
     "broker_ports\n"
     "4:19: the broker ports 9201-9300 that follow listeners[1].bind overlap the broker ports 9193-9292 that follow "
     "listeners[0].bind: set broker_ports\n"},
    {UP "listeners:\n- {name: a, bind: 127.0.0.1:9192}\n- {name: a, bind: 127.0.0.2:9192}\n",
     "4:10: listeners[1].name: the name \"a\" is already taken in line 3\n"},
    {UP "listeners: [{name: a, bind: 127.0.0.1:9600}]\n",
     "2:29: the default admin.bind (port 9644) overlaps the broker ports 9601-9700 that follow listeners[0].bind: set "
     "broker_ports\n"},
    {UP "admin: {bind: 127.0.0.1:9192}\n", "2:15: admin.bind (port 9192) overlaps the default listener (port 9192)\n"},
    {UP "listeners: [{name: a, bind: 127.0.0.1:65500}]\n",
     "2:29: listeners[0].bind: there are no 100 ports after 65500 for the brokers: set broker_ports\n"},
    {UP "admin: {bind: 0.0.0.0:9644}\n", "2:15: admin.bind: 0.0.0.0 is reachable from other machines: set "
                                         "admin.token_file, or bind it to 127.0.0.1\n"},
    {UP "admin: {bind: \"[::]:9644\"}\n",
     "2:15: admin.bind: :: is reachable from other machines: set admin.token_file, "
     "or bind it to 127.0.0.1\n"},
    {UP "admin: {token_file: /nowhere/at/all}\n",
     "2:21: admin.token_file: cannot read \"/nowhere/at/all\": No such file or directory\n"},
    {UP "admin: {token_file: /dev/null}\n", "2:21: admin.token_file: cannot read \"/dev/null\": not a regular file\n"},
    {UP "admin: {token_file: \"\"}\n", "2:21: admin.token_file: cannot read \"\": no file is named\n"},

    /* tenants */
    {UP "tenants:\n- {name: a, match: {client_id: a}}\n- {name: a, match: {client_id: b}}\n",
     "4:10: tenants[1].name: the name \"a\" is already taken in line 3\n"},
    {UP "tenants: [{name: a}]\n", "2:11: tenants[0] lacks the key \"match\": who belongs to it, like {client_id: "
                                  "\"ads-*\"}\n"},
    {UP "tenants: [{name: a, match: {}}]\n",
     "2:28: tenants[0].match is empty: whom does it match? {client_id: ...} or {principal: ...}\n"},
    {UP "tenants: [{name: default, match: {client_id: a}}]\n",
     "2:27: tenants[0].match: the tenant default is whoever matches no other: remove its match\n"},

    /* policies */
    {POLICY "    tenants: [defualt]\n", "6:15: policies[0].tenants[0]: \"defualt\" matches no tenant; they are "
                                        "default\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g]}}\n",
     "3:34: policies[0].signal lacks a target or a limit: the lag to hold, or never to reach, in records or "
     "in time\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], target: 40k, limit: 20k}}\n",
     "3:56: policies[0].signal.target: the target 40k is not below the limit 20k; leave one of them out, or take 0.6 "
     "of "
     "the limit\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], target: 4 k, limit: 2}}\n", /* no echo */
     "3:56: policies[0].signal.target: \"4 k\" is not a count: did you mean 4k? In general, counts are written 20000, "
     "500k or 2M\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], limit: 0}}\n",
     "3:55: policies[0].signal.limit: 0 is too small; the least is 1\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], limit: 9, poll: 1m}}\n",
     "3:64: policies[0].signal.poll: every lag would be stale: stale_after (10000ms) must be at least twice poll "
     "(60000ms)\n"},
    {UP "policies:\n- topics: [t]\n", "3:3: policies[0] lacks the key \"name\": What metrics and logs call it; unique\n"
                                      "3:3: policies[0] lacks the key \"signal\": Whose lag, and how much of it\n"},
    {POLICY "    wait: {max: 20s}\n", "6:17: policies[0].wait.max: a wait (max 20000ms) may not be longer than "
                                      "client_timeout (15000ms)\n"},
    {POLICY "    wait: {client_timeout: 2s}\n", "6:28: policies[0].wait.client_timeout: a wait (max 5000ms) may not be "
                                                "longer than client_timeout (2000ms)\n"},
    {POLICY "    on_stale: {factor: 0.5}\n", "6:16: policies[0].on_stale.factor is only used with \"do: factor\": add "
                                             "that, or remove it\n"},
    {UP "tenants: [{name: a, match: {client_id: a}, priority: hihg}]\n",
     "2:54: tenants[0].priority: \"hihg\" is not known: did you mean high? It is one of high, normal, low\n"},
    {POLICY "    max_rate: {records: 5k, bytes: 10mib/s}\n",
     "6:25: policies[0].max_rate.records: \"5k\" is not a rate: did you mean 5k/s? In general, rates are written "
     "5000/s or 5k/s\n"
     "6:36: policies[0].max_rate.bytes: \"10mib/s\" is not a byte rate: did you mean 10MiB/s? In general, byte rates "
     "are written 64KiB/s or 10MiB/s\n"},
    {UP "instances: 0\n", "2:12: instances: 0 is too small; the least is 1\n"},

    /* lag in time */
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], target: 30s, limit: 500k}}\n",
     "3:56: policies[0].signal.target: the target 30s and the limit 500k do not compare: give both in records or both "
     "in time, or leave one of them out\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], target: 1m, limit: 60s}}\n",
     "3:56: policies[0].signal.target: the target 1m is not below the limit 60s; leave one of them out, or take 0.6 of "
     "the limit\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], limit: 100ms}}\n",
     "3:55: policies[0].signal.limit: 100ms is too small; the least is 500ms\n"},

    /* groups */
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [billing, \"app-*\"], limit: 9,\n"
        "  advisory: [biling, app-1, \"*-2\"], ignore: [\"b*\", \"c?\", d]}}\n",
     "4:14: policies[0].signal.advisory[0]: \"biling\" is none of signal.groups: add it there, or remove it here\n"
     "4:58: policies[0].signal.ignore[2]: \"d\" is none of signal.groups: add it there, or remove it here\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g, h], limit: 9, advisory: [\"?\"], ignore: [h]}}\n",
     "3:43: policies[0].signal.groups: every group is advisory or ignored, so that none governs; to watch only, say "
     "\"mode: shadow\" instead\n"},
    {UP "policies:\n- {name: p, topics: [t], signal: {groups: [g], limit: 9, isolation: read_comitted}}\n",
     "3:69: policies[0].signal.isolation: \"read_comitted\" is not known: did you mean read_committed? It is one of "
     "read_uncommitted, read_committed\n"},

    /* controllers */
    {POLICY "    controller: {type: watermrak}\n",
     "6:24: policies[0].controller.type: \"watermrak\" is not known: did you mean watermark? It is one of drain, "
     "watermark, steps\n"},
    {POLICY "    controller: {hihg: 1}\n",
     "6:18: unknown key \"hihg\" in policies[0].controller: did you mean \"high\"? The keys here are type, tau_fill, "
     "tau_drain, phi, high, low, levels\n"},
    {POLICY "    controller: {type: watermark, high: 0.3, low: 0.3}\n",
     "6:41: policies[0].controller.high: high (0.3) must be above low (0.3)\n"},
    {POLICY "    controller: {type: watermark, low: 0.9}\n",
     "6:40: policies[0].controller.low: high (0.8) must be above low (0.9)\n"},
    {POLICY "    controller: {type: watermark, tau_fill: 4s, high: 1.5}\n",
     "6:55: policies[0].controller.high: 1.5 is not between 0.02 and 1\n"},
    {POLICY "    controller: {type: steps, tau_fill: 4s, levels: [{at: 0.7, keep: 0.8}]}\n",
     "6:31: policies[0].controller.tau_fill is only used with \"type: drain\": add that, or remove it\n"},
    {POLICY "    controller: {levels: [{at: 0.7, keep: 0.8}]}\n",
     "6:18: policies[0].controller.levels is only used with \"type: steps\": add that, or remove it\n"},
    {POLICY "    controller: {type: steps, levels: []}\n",
     "6:39: policies[0].controller.levels is an empty list; it needs an item\n"},
    {POLICY "    controller: {type: steps, levels: [0.7]}\n",
     "6:40: policies[0].controller.levels[0] is a single value; it must be a map that begins with \"at:\"\n"},
    {POLICY "    controller: {type: steps, levels: [{at: 0.7, keep: 1.5}, {at: 0.9}]}\n",
     "6:56: policies[0].controller.levels[0].keep: 1.5 is not between 0 and 1\n"
     "6:62: policies[0].controller.levels[1] lacks the key \"keep\": this share of what is offered passes\n"},
    {POLICY "    controller: {type: steps, levels: [{at: 0.7, keep: 0.5}, {at: 0.7, keep: 0.4}, {at: 1, keep: 0.6}]}\n",
     "6:62: policies[0].controller.levels[1]: levels stand in ascending order, and 0.7 is not above the 0.7 before it\n"
     "6:84: policies[0].controller.levels[2] keeps 0.6, more than the 0.4 of the level before, although lag is "
     "greater\n"},
    {POLICY "    controller: {type: steps, levels: [{at: 1, keep: 1}, {at: 2, keep: 1}, {at: 3, keep: 1}, "
            "{at: 4, keep: 1}, {at: 5, keep: 1}, {at: 6, keep: 1}, {at: 7, keep: 1}, {at: 8, keep: 1}, "
            "{at: 9, keep: 1}]}\n",
     "6:39: policies[0].controller.levels has 9 items; the most is 8\n"},
    {POLICY "    controller: {type: drain, tau_fill: 4}\n",
     "6:41: policies[0].controller.tau_fill: \"4\" lacks its unit; durations are written 250ms, 5s, 10m or 1h\n"},
    {POLICY "  - {name: p, topics: [t], signal: {groups: [g], limit: 1}}\n",
     "6:12: policies[1].name: the name \"p\" is already taken in line 3\n"},
};

static void test_mistakes(void **state)
{
    (void)state;
    size_t failed = 0;
    for (size_t i = 0; i < PS_ARRAY_LEN(mistakes); i++) {
        struct ps_config *config = parse(mistakes[i].yaml);
        char *found = messages();
        if (config != NULL || strcmp(found, mistakes[i].expected) != 0) {
            print_error("row %zu:\n%s--- expected\n%s--- found\n%s\n", i, mistakes[i].yaml, mistakes[i].expected,
                        found);
            failed++;
        }
        ps_config_put(config);
        free(found);
    }
    assert_int_equal(failed, 0);
}

static void test_mistakes_are_bounded(void **state)
{
    (void)state;
    char text[8192] = UP "limits:\n";
    size_t len = strlen(text);
    for (int i = 0; i < 60; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "  key%d: x\n", i);
    }
    assert_null(parse(text));
    assert_int_equal(errors.count, PS_CONFIG_ERRORS_MAX);
    assert_int_equal(errors.left_out, 60 - PS_CONFIG_ERRORS_MAX);
    for (unsigned i = 0; i < PS_CONFIG_ERRORS_MAX; i++) {
        assert_int_equal(errors.v[i].line, 3 + i); /* the first of them, in order */
    }
    char *printed = NULL;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    ps_config_errors_print(&errors, "test.yaml", out);
    fclose(out);
    assert_non_null(strstr(printed, "test.yaml:3:3: unknown key \"key0\" in limits"));
    assert_non_null(strstr(printed, "test.yaml: 10 more mistakes are not shown\n"));
    free(printed);
}

/* What is read last may stand first: the check of ports comes after the keys below it. */
static void test_mistakes_are_sorted(void **state)
{
    (void)state;
    assert_null(parse(UP "listeners: [{name: a, bind: 0.0.0.0:9192, broker_ports: 9192}]\nlog: {level: x}\nbad: 1\n"));
    assert_int_equal(errors.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(errors.v[i].line, 2 + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_mistakes_are_bounded),
        cmocka_unit_test(test_mistakes_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
