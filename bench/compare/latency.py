"""How late requests are at half of saturation: with nothing else going on, and to a topic without a policy while another
topic is throttled hard through the same proxy.

All contenders of a round run at the same time, idle but for one: they have the load in turn, for short windows, so that each
window stands beside the yardstick's of the same few seconds. What the machine does by itself then hits all alike.

To throttle, a second generator keeps pushing large batches to a topic whose consumers are too slow: Penstock holds
nearly all of them back, all the time. The other proxies have nothing that could hold back; through them a second generator
sends at the rate that Penstock's policy admits, so that everybody carries the same bytes.
"""

import contextlib
import time

from . import contenders
from .contenders import TOPICS, Contender, policy, running, samples
from .loads import Load, drive
from .processes import Failed, Process, free_ports, machine_cpu

DIRECT = "(no proxy)"

END_RATE, PARTITIONS, LAG = 128, 8, 1000  # records/s and records, per partition: what the consumers can and lack
ADMITTED = END_RATE * PARTITIONS / 128  # requests/s: the policy holds the lag where it is
RULES = ("policies:\n" + policy("bench", "bench*", contenders.OPEN)
         + policy("held", "held", LAG * PARTITIONS, ", wait: {max: 5m, client_timeout: 1h}"))
PUSH = ["--mode", "produce-large", "--topic", "held", "--client-id", "pusher", "--seconds", 3600]
PUSH_HARD = [*PUSH, "--connections", 16, "--depth", 5]
PUSH_ADMITTED = [*PUSH, "--rate", ADMITTED]


def load(rate, seconds, *topic):
    return ["--mode", "produce-small", *topic, "--rate", rate, "--seconds", seconds, "--warmup", rate // 10]


def settle(patience=5.0, look=0.2):
    """Until the machine is nearly idle: who could not keep up goes on after its window, and must not do so in another's."""
    deadline = time.monotonic() + patience
    busy = 1.0
    while busy > 0.1 and time.monotonic() < deadline:
        before = machine_cpu()[0]
        time.sleep(look)
        busy = (machine_cpu()[0] - before) / look


def windows(bench, field, options, count):
    """({name: [a result for each window]}, {name: why it has none}); `field` is [(name, the port to connect to)]. The
    order is another in each window. Who drops requests because it cannot keep up is not asked again."""
    results, late = {name: [] for name, _ in field}, {}
    for number in range(count):
        turn = number % len(field)
        order = field[turn:] + field[:turn]
        for name, port in order if number % 2 == 0 else reversed(order):
            settle()
            try:
                if name not in late:
                    results[name].append(drive(bench, port, options))
            except Failed as failure:
                late[name] = str(failure)
    return {name: found for name, found in results.items() if name not in late}, late


def alone(bench, entries, brokers, rate, seconds, count):
    """windows() of all contenders, with nothing beside the load. `brokers` is {number of topics: port}."""
    with contextlib.ExitStack() as stack:
        field = [(DIRECT, brokers[TOPICS])]
        for contender in entries:
            proxy = stack.enter_context(running(bench, contender, brokers[contender.topics]))
            field.append((contender.name, proxy.port))
        return windows(bench, field, load(rate, seconds, "--topics", TOPICS), count)


def throttling():
    """The contenders that are compared beside a throttled topic."""
    return [Contender(contenders.YARDSTICK, contenders.relay()), Contender(contenders.PEER, contenders.haproxy),
            Contender(contenders.GOVERNED, contenders.penstock(RULES))]


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


def beside(bench, names, rate, seconds, count):
    """windows() of those contenders that have one of these names, each beside its pushing generator."""
    broker = free_ports(1)
    argv = [bench.tool("bench_null_broker"), "--listen", f"127.0.0.1:{broker}", "--end-rate", END_RATE, "--lag", LAG]
    with Process(argv, bench.directory, broker, bench=bench), contextlib.ExitStack() as stack:
        field, holding = [(DIRECT, broker)], []
        for contender in throttling():
            if contender.name in names:
                proxy = stack.enter_context(running(bench, contender, broker))
                field.append((contender.name, proxy.port))
                holding += [proxy] if proxy.admin else []
        for _, port in field:
            hard = port in [proxy.port for proxy in holding]
            pusher = stack.enter_context(Load(bench, port, PUSH_HARD if hard else PUSH_ADMITTED))
            pusher.ready()
            pusher.begin()
        for proxy in holding:
            wait_held(proxy)
        found = windows(bench, field, load(rate, seconds, "--topic", "free"), count)
        for proxy in holding:
            wait_held(proxy)
    return found
