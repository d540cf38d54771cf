"""The proxy's own controls while traffic flows: admin HTTP, reload, bypass; and once more with ThreadSanitizer."""

import signal
import subprocess
import threading
import time

from harness import BUILD, PATIENCE, happens
from load import Consumers, Producers, group, producer, stream
from measure import judge_client
from proxy import REPORT, Penstock, policy
from scenarios import scenario

# DESIGN.md's names, as far as they exist in this version.
METRICS = ["penstock_consumer_lag_records", "penstock_estimated_lag_records", "penstock_consume_rate",
           "penstock_produce_rate", "penstock_signal_age_seconds", "penstock_policy_level",
           "penstock_policy_admitted_rate", "penstock_records_total", "penstock_bytes_total",
           "penstock_throttle_seconds_total", "penstock_waiting_requests", "penstock_gathered_bytes",
           "penstock_requests_total", "penstock_connections", "penstock_memory_bytes", "penstock_errors_total"]


@scenario(batch="wire")
def controls(context, cluster):
    topic, name = "controls", "g-controls"
    cluster.create(topic)
    proxy = Penstock(context, cluster, [policy("first", topic, name, target="5k", limit="10k")])
    consumers = Consumers(context, "consumers", cluster, [group(name, topic, cluster.direct, 500)])
    producers = Producers(context, "lrk", "lrk", [producer("p-controls", proxy.bootstrap, stream(topic, 1500))])
    producers.begun()
    for path in ("/healthz", "/readyz", "/metrics", "/api/v1/state"):
        status = proxy.status(path)
        context.check(f"GET {path} is 200", status == 200, status)
    context.check("GET of nothing is 404", proxy.status("/nothing") == 404)
    judge_throttled(context, proxy)
    judge_flags(context, proxy)
    judge_reload(context, proxy)
    judge_bypass(context, proxy, producers)
    producers.stop()
    judge_client(context, producers.each["p-controls"])
    consumers.drain()
    proxy.stop()
    judge_command_line(context)


def judge_throttled(context, proxy):
    context.check("the metrics tell that somebody waits",
                  happens(lambda: proxy.total("penstock_throttle_seconds_total", policy="first") > 0))
    context.check("the level says slow", happens(lambda: proxy.total("penstock_policy_level", policy="first") >= 1))
    # Lag and rates are absent until the group has committed twice: unknown is not zero.
    there = happens(lambda: set(METRICS) <= set(proxy.metrics()))
    missing = set(METRICS) - set(proxy.metrics())
    context.check("every metric of the contract is there", there, ", ".join(sorted(missing)))


def judge_flags(context, proxy):
    """What applications are told; who waits for news holds up nobody, and has it at once."""
    context.check("the flags tell of the policy", happens(lambda: proxy.flags()[2]["first"]["level"] != "ok"))
    _, etag, _ = proxy.flags()
    again, same, _ = proxy.flags(etag)
    context.check("with its ETag they are sent only when they changed", again == 304 or same != etag, again)
    proxy.bypass(True)  # whatever it was: now it comes to rest
    context.check("the flags come to rest", happens(lambda: proxy.flags()[2]["first"]["sampling_rate"] == 1))
    heard = []
    _, etag, _ = proxy.flags()
    waiting = threading.Thread(target=lambda: heard.append(proxy.flags(etag, "60s", PATIENCE)))
    waiting.start()
    context.check("others are served meanwhile", proxy.status("/healthz") == 200)
    began = time.monotonic()
    proxy.bypass(False)
    waiting.join()
    took = time.monotonic() - began
    context.check("news come at once", heard[0][0] == 200 and heard[0][1] != etag and took < 45, f"{took:.1f} s")


def judge_reload(context, proxy):
    good = dict(proxy.config)
    proxy.config = {**good, "policies": [{**good["policies"][0], "tpoics": ["x"]}]}
    proxy.write()
    status = proxy.status("/api/v1/reload", "POST")
    context.check("a wrong configuration is not loaded", 400 <= status < 600, status)
    context.check("and the old one stays in force", proxy.metrics().get("penstock_policy_level"))
    proxy.config = {**good, "policies": [{**good["policies"][0], "name": "second"}]}
    proxy.write()
    context.check("a right one is loaded", proxy.status("/api/v1/reload", "POST") == 200)
    judge_policy(context, proxy, "second", "reload")
    proxy.config = {**good, "policies": [{**good["policies"][0], "name": "third"}]}
    proxy.write()
    proxy.process.popen.send_signal(signal.SIGHUP)
    judge_policy(context, proxy, "third", "SIGHUP")


def judge_policy(context, proxy, name, how):
    def rules():
        return any(labels.get("policy") == name for labels, _ in proxy.metrics().get("penstock_policy_level", []))
    context.check(f"{how}: the new policy rules", happens(rules))


def waited(proxy):
    return proxy.total("penstock_throttle_seconds_total")


def judge_bypass(context, proxy, producers):
    context.check("bypass is accepted", proxy.bypass(True) == 200)
    time.sleep(2)
    held, before, begun = waited(proxy), producers.acked(), time.monotonic()
    time.sleep(4)
    rate = (producers.acked() - before) / (time.monotonic() - begun)
    context.check("with bypass nobody waits, or everything passes all the same",
                  rate >= 1300 or (waited(proxy) == held and rate > 0), f"{waited(proxy) - held:.1f} s, {rate:.0f}/s")
    context.quality("with bypass everything passes", rate >= 1300, f"{rate:.0f} of 1500/s")
    context.check("bypass ends", proxy.bypass(False) == 200)


def judge_command_line(context):
    """check names the place and the nearest valid key."""
    wrong = context.folder / "wrong.yaml"
    wrong.write_text("upstream:\n  bootstrap: [127.0.0.1:9092]\nlisteners:\n  - name: public\n"
                     "    bnid: 127.0.0.1:9192\n")
    binary = BUILD / "asan/penstock"
    done = subprocess.run([binary, "check", "-c", wrong], capture_output=True, text=True, timeout=PATIENCE)
    said = done.stderr + done.stdout
    context.check("check: a wrong key is exit 2", done.returncode == 2, done.returncode)
    context.check("check: FILE:LINE:COL and the nearest key", f"{wrong}:5:5" in said and "bind" in said, said[:200])
    for option in ("--version", "--help"):
        done = subprocess.run([binary, option], capture_output=True, text=True, timeout=PATIENCE)
        context.check(f"{option}: exit 0 and text",
                      done.returncode == 0 and done.stdout and not REPORT.search(done.stderr))


# --- the threads --------------------------------------------------------------------------------------------------

@scenario(batch="transparent")
def races(context, cluster):
    """Under ThreadSanitizer: pressure on several workers, while everything that threads hand over is handed over."""
    topic, name = "races", "g-races"
    cluster.create(topic)
    proxy = Penstock(context, cluster, [policy("races", topic, name, target="2k", limit="4k")], preset="tsan")
    consumers = Consumers(context, "consumers", cluster, [group(name, topic, cluster.direct, 1000)])
    producers = [Producers(context, "lrk", "lrk", [producer(f"p-{n}", proxy.bootstrap, stream(topic, 0),
                                                            queue_buffering_max_messages=500) for n in range(6)])]
    stop = threading.Event()
    disturbances = [threading.Thread(target=disturb, args=(proxy, stop, act)) for act in
                    (reload, bypass_twice, look)]
    for thread in disturbances:
        thread.start()
    for turn in range(4):
        time.sleep(5)
        churn = Producers(context, f"churn-{turn}", "lrk", [producer(f"p-churn-{turn}", proxy.bootstrap,
                                                                     stream(topic, 100))])
        time.sleep(1)
        churn.stop()
        producers.append(churn)
    stop.set()
    for thread in disturbances:
        thread.join()
    proxy.bypass(True)
    producers[0].stop()
    consumers.drain()
    for one in producers:
        errors = one.errors()
        context.check(f"{one.name}: no client error", not errors, errors[0] if errors else "")
    proxy.stop()


def disturb(proxy, stop, act):
    while not stop.wait(0.4):
        try:
            act(proxy)
        except OSError:
            pass  # an answer that comes late; the proxy's end is judged


def reload(proxy):
    proxy.config["policies"][0]["signal"]["target"] = f"{1500 + int(time.time() * 10) % 1000}"
    proxy.write()
    proxy.status("/api/v1/reload", "POST")


def bypass_twice(proxy):
    proxy.bypass(True)
    proxy.bypass(False)
    time.sleep(3)


def look(proxy):
    proxy.metrics()
    proxy.state()
