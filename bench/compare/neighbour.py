"""How late requests to a topic without a policy are while another topic is throttled hard through the same proxy.

A second generator keeps pushing large batches to a topic whose policy has a consumer that is too slow: Penstock holds
nearly all of them back, all the time. The other proxies have nothing that could hold back; beside them the second
generator sends at the rate that Penstock's policy admits, so that everybody carries the same bytes.
"""

import time

from . import contenders
from .contenders import policy, policy_records, running, samples
from .loads import Load, drive
from .processes import Failed, Process, free_ports

END_RATE, PARTITIONS, LAG = 128, 8, 1000  # records/s and records, per partition: what the consumers can and lack
ADMITTED = END_RATE * PARTITIONS / 128  # requests/s: the policy holds the lag where it is
RULES = ("policies:\n" + policy("bench", "bench*", contenders.OPEN)
         + policy("held", "held", LAG * PARTITIONS, ", wait: {max: 5m, client_timeout: 1h}"))
PUSH = ["--mode", "produce-large", "--topic", "held", "--client-id", "pusher"]


def measured():
    """The contenders that this is measured for, by name."""
    return {contenders.YARDSTICK: contenders.relay(), contenders.PEER: contenders.haproxy,
            contenders.GOVERNED: contenders.penstock(RULES)}


def wait_held(proxy):
    """Until the policy holds requests back, and admits about what the consumers take."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        waiting = samples(proxy.admin, r'penstock_policy_waiting_requests\{.*policy="held"')
        rates = samples(proxy.admin, r'penstock_policy_admitted_rate\{.*policy="held"')
        if waiting and waiting[0] >= 8 and rates and rates[0] < 2 * END_RATE * PARTITIONS:
            return
        time.sleep(0.2)
    raise Failed("the policy does not hold its topic back")


def beside(bench, proxy, options):
    """The load of `options` beside the pushing generator."""
    if proxy.admin is None:
        push = [*PUSH, "--rate", ADMITTED, "--seconds", 3600]
    else:
        push = [*PUSH, "--connections", 16, "--depth", 5, "--seconds", 3600]
    with Load(bench, proxy.port, push) as pusher:
        pusher.ready()
        pusher.begin()
        if proxy.admin is None:
            return drive(bench, proxy.port, options, proxy)
        wait_held(proxy)
        held = policy_records(proxy, "held")
        began = time.monotonic()
        result = drive(bench, proxy.port, options, proxy)
        result["held_records_per_s"] = (policy_records(proxy, "held") - held) / (time.monotonic() - began)
        wait_held(proxy)
        return result


def measure(bench, contender, options):
    """One fresh contender with a broker of its own, whose consumers are slow."""
    port = free_ports(1)
    argv = [bench.tool("bench_null_broker"), "--listen", f"127.0.0.1:{port}", "--end-rate", END_RATE, "--lag", LAG]
    with Process(argv, bench.directory, port, bench=bench), running(bench, contender, port) as proxy:
        return beside(bench, proxy, options)


def measure_direct(bench, options):
    """Without a proxy, the second generator at the admitted rate."""
    port = free_ports(1)
    with Process([bench.tool("bench_null_broker"), "--listen", f"127.0.0.1:{port}"], bench.directory, port, bench=bench):
        with Load(bench, port, [*PUSH, "--rate", ADMITTED, "--seconds", 3600]) as pusher:
            pusher.ready()
            pusher.begin()
            return drive(bench, port, options)
