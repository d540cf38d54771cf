"""Steady producing: DRIVER --steady SPEC.json ACKS.bin, with the files and lines of tests/java/ProducerLoad.java, which
says what they hold. Producers keep going through errors until they are told to stop."""

import collections
import json
import struct
import sys
import threading
import time

ACK = struct.Struct(">iqiqqi")
VALUE_HEAD = struct.Struct(">iqq")
ERRORS_SHOWN = 100
CATCH_UP = 1.0
FAILED = -2  # in the place of an offset


def now_ms():
    return int(time.time() * 1000)


class Stream:
    """One topic written by one producer."""

    def __init__(self, spec):
        self.origin, self.topic, self.rate = spec["origin"], spec["topic"], spec["rate"]
        self.padding = bytes(max(0, spec["size"] - VALUE_HEAD.size))
        self.partitions, self.keys = spec.get("partitions", 0), spec.get("keys", 0)
        self.sent = self.acked = self.errors = self.slowest = 0

    def record(self):
        """(key, value, partition or None) of the next one."""
        number = self.sent
        value = VALUE_HEAD.pack(self.origin, number, now_ms()) + self.padding
        return (b"key-%d" % (number % self.keys) if self.keys else None, value,
                number % self.partitions if self.partitions else None)

    def status(self):
        slowest, self.slowest = self.slowest, 0
        return {"sent": self.sent, "acked": self.acked, "errors": self.errors, "slowest_ms": slowest}


class Steady:
    def __init__(self, library, spec, acks):
        self.library, self.stop, self.lock = library, threading.Event(), threading.Lock()
        self.acks = acks
        self.flows = [(flow, [Stream(one) for one in flow["streams"]]) for flow in spec["producers"]]
        self.failures = collections.Counter()
        self.clients = {}

    def say(self, **line):
        with self.lock:
            print(json.dumps({**line, "t": now_ms()}), flush=True)

    def status(self):
        return {str(stream.origin): stream.status() for _, streams in self.flows for stream in streams}

    def done(self, stream, number, begun, partition, offset, error):
        now = now_ms()
        if error is not None:
            offset, text = FAILED, " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if stream.errors < ERRORS_SHOWN:
                self.say(error=text, origin=stream.origin, seq=number)
        with self.lock:
            self.acks.write(ACK.pack(stream.origin, number, partition, offset, now, now - begun))
            if error is None:
                stream.acked += 1
                stream.slowest = max(stream.slowest, now - begun)
            else:
                stream.errors += 1
                self.failures[text] += 1

    def send(self, producer, stream):
        key, value, partition = stream.record()
        number, begun = stream.sent, now_ms()
        stream.sent += 1

        def report(at, offset, error):
            self.done(stream, number, begun, partition if at is None else at, offset, error)
        try:
            producer.send(stream.topic, key, value, partition, report)
        except Exception as error:  # a user's program would log it and go on
            self.done(stream, number, begun, -1, FAILED, error)

    def write(self, producer, streams):
        """One thread writes all streams of a producer, each at its pace."""
        due = {stream: time.monotonic() for stream in streams}
        while not self.stop.is_set():
            now = time.monotonic()
            for stream in streams:
                due[stream] = max(due[stream], now - CATCH_UP)
                while due[stream] <= now and not self.stop.is_set():
                    self.send(producer, stream)
                    due[stream] += 1 / stream.rate if stream.rate else 0.0001
            producer.serve()
            self.stop.wait(max(0.001, min(due.values()) - time.monotonic()))

    def flow(self, flow, streams):
        try:
            producer = self.library.pipe(flow)
        except Exception as error:
            self.say(client_error=repr(error), client=flow["client_id"])
            self.clients[flow["client_id"]] = {"fatal": repr(error)}
            return
        self.write(producer, streams)
        try:
            producer.close()
        except Exception as error:
            self.say(client_error=repr(error), client=flow["client_id"])
        self.clients[flow["client_id"]] = {"throttled_ms": producer.throttled_ms()}

    def run(self):
        def listen():
            for line in sys.stdin:
                if line.strip() == "stop":
                    break
            self.stop.set()
        threading.Thread(target=listen, daemon=True).start()
        threads = [threading.Thread(target=self.flow, args=flow) for flow in self.flows]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1)
                self.say(streams=self.status())
        self.say(streams=self.status(), final=True, clients=self.clients, failures=self.failures)


def main(library, spec_path, acks_path):
    with open(spec_path) as text, open(acks_path, "wb") as acks:
        Steady(library, json.load(text), acks).run()
