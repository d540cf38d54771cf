"""Memory has a bound, whatever the size of frames: many connections push requests of 100 MiB while as many receive
responses of 50 MiB, through the release build, against the null broker of bench/. `./run large 200` is the full size.
"""

import concurrent.futures
import json
import re
import socket
import struct
import subprocess
import time

from harness import BUILD, PATIENCE, ports, until
from proxy import Penstock, policy
from scenarios import scenario

MIB = 1 << 20
LIMIT = 64                           # limits.memory in MiB; half of what the promise is usually read with
BESIDES = 64                         # MiB: the program itself, its threads, its caches
REQUEST, RESPONSE = 100, 50          # MiB
LISTED = 4000                        # topics of the cluster: its Metadata, of 0.9 MB, is kept whole
ASKERS = 16                          # that ask for it at the same time
MANY = 25000                         # topics whose Metadata, of 5.8 MB, is more than the kernel holds for a client
STALLED = 20                         # that ask for it and do not read it: more than limits.memory holds
TOPICS, GOVERNED = 3, "bench-1"      # in each request; the middle one is under the policy
BATCH = ["--records", 1024, "--record-bytes", 1020]  # a little more than 1 MiB
PARTITIONS = 34                      # of each topic in a large request, so that it is a little more than 100 MiB
GATHERED = 2                         # ... in one of 6 MiB, which limits.gather (8 MiB) lets be kept whole


class NullBroker:
    def __init__(self, context, topics=LISTED):
        address = f"127.0.0.1:{ports()}"
        self.bootstrap = [address]
        self.process = context.spawn("null-broker", [BUILD / "release/bench/bench_null_broker", "--listen", address,
                                                     "--fetch-bytes", RESPONSE * MIB, "--lag", 1000000, "--threads", 2,
                                                     "--topics", topics])


class Load:
    """bench_load, which waits at the start line: one request on each of its connections, or as many as it is told."""

    def __init__(self, context, proxy, name, connections, requests, options):
        self.connections, self.requests = connections, requests
        argv = [BUILD / "release/bench/bench_load", "--connect", proxy.bootstrap, "--hold", "--depth", 1,
                "--connections", connections, "--requests", requests, "--topic", "bench"]
        self.process = context.spawn(name, argv + options)

    def said(self, event):
        lines = [json.loads(line) for line in self.process.out().splitlines()]
        found = [line for line in lines if line["event"] == event]
        if not found and not self.process.alive():
            raise RuntimeError(f"{self.process.name}: {self.process.err()[-300:]}")
        return found[0] if found else None

    def clean(self):
        result = self.said("result")
        return result["requests"] == self.requests and not result["errors"] + result["dropped"] + result["closed"]


def ask_metadata(proxy):
    """All topics, in version 1; the bytes sent and received, and the port that the client is told of."""
    frame = struct.pack(">ihhihi", 14, 3, 1, 1, -1, -1)
    with socket.create_connection((proxy.bind, proxy.port), 60) as connection, connection.makefile("rb") as answer:
        connection.sendall(frame)
        (size,) = struct.unpack(">i", answer.read(4))
        body = answer.read(size)
    (host_len,) = struct.unpack_from(">h", body, 12)
    (port,) = struct.unpack_from(">i", body, 14 + host_len)
    return len(frame), 4 + len(body), port


def high_water(process):
    """MiB that were resident at most."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) / 1024


def passed(proxy):
    """Bytes that clients and brokers have sent, as the proxy counts them."""
    workers = proxy.state()["workers"]
    return [sum(worker[key] for worker in workers) for key in ("client_bytes", "broker_bytes")]


def loads(context, proxy, armed):
    count = context.options.connections
    push = ["--mode", "produce-large", *BATCH]
    large = ["--together", TOPICS, "--partitions", PARTITIONS] if armed else ["--partitions", TOPICS * PARTITIONS]
    started = [Load(context, proxy, f"push-{armed}", count, count, push + large),
               Load(context, proxy, f"fetch-{armed}", count, count, ["--mode", "fetch", "--version", 16])]
    if armed:
        started.append(Load(context, proxy, "gather", count, 2 * count,
                            push + ["--together", TOPICS, "--partitions", GATHERED]))
    for load in started:
        until(f"{load.process.name} ready", lambda: load.said("ready"))
    return started


def relay(context, proxy, armed):
    """All at once; returns the most that was kept whole at a time, in MiB."""
    started = loads(context, proxy, armed)
    before, kept = passed(proxy), 0
    for load in started:
        load.process.tell("go")
    with concurrent.futures.ThreadPoolExecutor(ASKERS) as pool:
        answers = [pool.submit(ask_metadata, proxy) for _ in range(ASKERS)]
        while not all(load.said("result") for load in started):
            kept = max(kept, proxy.total("penstock_gathered_bytes") / MIB)
            time.sleep(0.2)
    answers = [answer.result() for answer in answers]
    results = [load.said("result") for load in started]
    title = "armed: " if armed else "unarmed: "
    context.check(f"{title}every request is answered, without an error",
                  all(load.clean() for load in started), [load.said("result")["requests"] for load in started])
    context.check(f"{title}every Metadata answer names the proxy", {port for _, _, port in answers} == {proxy.port + 1},
                  f"{len(answers)} of {answers[0][1]} bytes")
    out = sum(result["bytes_out"] for result in results)
    back = sum(result["bytes_in"] for result in results)
    context.check(f"{title}they were as large as they should be",
                  out >= context.options.connections * REQUEST * MIB
                  and back >= context.options.connections * RESPONSE * MIB, f"{out} out, {back} in")
    out += sum(sent for sent, _, _ in answers)
    back += sum(received for _, received, _ in answers)
    until("counters are published", lambda: sum(passed(proxy)) >= sum(before) + out + back)
    context.check(f"{title}every byte is counted, once", [b - a for a, b in zip(before, passed(proxy))] == [out, back])
    peak = high_water(proxy.process)
    context.check(f"{title}at most limits.memory and {BESIDES} MiB are resident", peak <= LIMIT + BESIDES,
                  f"{peak:.0f} MiB")
    seconds = max(result["seconds"] for result in results)
    context.figure(f"{title}{len(started)} x {context.options.connections} connections, {(out + back) / 1e9:.1f} GB in "
                   f"{seconds:.0f} s, {peak:.0f} MiB resident at most (limits.memory {LIMIT} MiB), "
                   f"{kept:.0f} MiB of frames kept whole")
    for load in started:
        load.process.popen.stdin.close()
        load.process.wait(PATIENCE)
    return kept


def start(context, broker, name, policies):
    limits = {"frame": f"{2 * REQUEST}MiB", "gather": "8MiB", "memory": f"{LIMIT}MiB"}
    return Penstock(context, broker, policies, preset="release", name=name, extra={"limits": limits}, first_id=0)


@scenario(batch="memory")
def large_frames(context, _):
    broker = NullBroker(context)
    proxy = start(context, broker, "unarmed", [])
    relay(context, proxy, False)
    proxy.stop()
    shut = policy("large", GOVERNED, "readers", target="1k", limit="2k")
    shut["wait"] = {"max": "1s", "told_max": "1s", "client_timeout": "15s"}
    proxy = start(context, broker, "armed", [shut])
    subprocess.run([BUILD / "release/bench/bench_load", "--connect", proxy.bootstrap, "--mode", "produce-small",
                    "--topic", GOVERNED, "--connections", "1", "--requests", "1"], check=True, capture_output=True,
                   timeout=PATIENCE)  # so that the policy knows its topic
    until("the policy is engaged", lambda: proxy.total("penstock_policy_level", policy="large") > 0)
    kept = relay(context, proxy, True)
    context.check("armed: frames were kept whole, in no more than three quarters of the memory",
                  0 < kept <= LIMIT * 3 / 4, f"{kept:.0f} MiB")
    context.check("armed: large requests waited where the governed topic is met",
                  proxy.total("penstock_records_total", policy="large", outcome="over_limit") > 0)
    proxy.stop()


def stall(proxy):
    """Asks for all topics and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((proxy.bind, proxy.port))
    connection.sendall(struct.pack(">ihhihi", 14, 3, 1, 1, -1, -1))
    return connection


@scenario(batch="memory")
def slow_readers(context, _):
    """Clients that do not read hold responses that are kept whole; those who do read must not pay for it."""
    proxy = start(context, NullBroker(context, MANY), "penstock", [])
    stalled = [stall(proxy) for _ in range(STALLED)]
    until("they hold the memory", lambda: proxy.total("penstock_memory_bytes") > LIMIT * MIB * 3 / 4)
    begun = time.monotonic()
    _, received, port = ask_metadata(proxy)
    seconds = time.monotonic() - begun
    context.check("whoever reads gets its answer", port == proxy.port + 1, f"{received} bytes after {seconds:.0f} s")
    context.check("those who did not have given way", proxy.total("penstock_errors_total", reason="slow_client") > 0,
                  proxy.total("penstock_errors_total", reason="slow_client"))
    context.check("nobody else was closed", proxy.total("penstock_errors_total", reason="memory") == 0)
    for connection in stalled:
        connection.close()
    proxy.stop()
