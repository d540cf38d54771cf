"""What every Python driver does: the exercises, their records, the judgement, and the loop that reports them.

A driver shows that one client library works against the brokers it is pointed at, whatever stands in between:

    DRIVER --bootstrap HOST:PORT --prefix P EXERCISE [EXERCISE...]
    DRIVER --steady SPEC.json ACKS.bin      (steady.py)
    DRIVER --version

It does the exercises in the order given and prints one line of JSON for each; everything else goes to stderr. Each
exercise runs in a process of its own, which an alarm ends: a library that hangs or crashes costs its own exercise
only. The topic is P-EXERCISE with three partitions, made beforehand; the group, where there is one, has the same name.

A driver is CLIENT.py, run in a virtual environment with the packages of CLIENT.txt. It holds a library: a class whose
methods open producers, consumers and an administrator of one common shape, described by `Library` below. What a
library does not have it says by raising Absent.
"""

import argparse
import collections
import contextlib
import functools
import json
import os
import random
import signal
import sys
import threading
import time

import steady

PARTITIONS = 3
RECORD_MAX = 32 << 20   # what the topics, and so the clients, allow
ROUND = 50              # records between two flushes: an exercise shall take several requests
WAIT = 25               # seconds for one step
DEADLINE = 55           # seconds for an exercise; the harness allows 60

Record = collections.namedtuple("Record", "partition key value headers")


class Absent(Exception):
    """The client library has no such feature."""


class Failed(Exception):
    """The exercise did not come out as it must."""


class Library:
    """What a driver implements. Client ids and groups are given; every call raises what the library raises."""

    def version(self):
        """'name version', read from the library."""
        raise NotImplementedError

    def producer(self, client_id, acks, idempotent, codec, transactional_id):
        """Something with send(topic, record), flush() (raises if a record was not delivered) and close(); with a
        transactional_id also with begin(), commit(), abort() and send_offsets(consumer) -> {partition: offset}."""
        raise NotImplementedError

    def pipe(self, flow):
        """A steady producer (steady.py): send(topic, key, value, partition or None, report), where report(partition,
        offset, error) is called once, from any thread; serve(), called often; close(), which waits for all reports;
        throttled_ms(), or -1 if the library does not tell."""
        raise NotImplementedError

    def reader(self, client_id, topic, committed):
        """Reads every partition from its beginning: poll() -> records (waits a moment), at_end(), close()."""
        raise NotImplementedError

    def member(self, client_id, group, topic, protocol):
        """A member of a group ("classic" or "consumer"), read_committed, from the earliest offset: poll(),
        partitions() -> set, commit() of what was polled, close()."""
        raise NotImplementedError

    def share_member(self, client_id, group, topic):
        """A member of a share group: accept() -> records polled and acknowledged, the broker agreeing; close()."""
        raise Absent("no share consumer")

    def committed(self, client_id, group, topic):
        """{partition: offset} of what the group has committed."""
        raise NotImplementedError

    def admin(self, client_id):
        """create(topic, partitions, config), topics(), partitions(topic), config(topic, name), alter(topic, name,
        value), end_offsets(topic), groups(), members(group) -> client ids, group_offsets(group, topic),
        delete(topic), close(); what raises Absent, or returns a remark, is named in the report."""
        raise NotImplementedError


# --- records and their judgement ------------------------------------------------------------------------------

def records_of(exercise, count, value=None, first=0):
    """The records of an exercise: bytes that only its name and their number decide. Every seventh has no key."""
    dice = random.Random(f"{exercise} {first}")
    records = []
    for i in range(first, first + count):
        key = None if i % 7 == 3 else f"{exercise}-{i}".encode()
        body = value(dice, i) if value else dice.randbytes(dice.randrange(16, 400))
        headers = (("origin", f"{i}".encode()), ("bytes", dice.randbytes(9)), ("empty", b"")) if i % 2 else ()
        records.append(Record(i % PARTITIONS, key, body, headers))
    return records


def one_byte(dice, i):
    return bytes([i % 256])


def compressible(dice, i):
    return (f"record {i} says the same again and again; ".encode() * 60)[:2000 + i]


def judge(expected, seen, ordered=False):
    """Every record once, nothing else; in the order sent within each partition if that was promised."""
    wanted, got = collections.Counter(expected), collections.Counter(seen)
    missing, foreign = wanted - got, got - wanted
    if missing or foreign:
        again = sum(1 for record in foreign if record in wanted)
        raise Failed(f"{sum(missing.values())} of {len(expected)} records missing, {again} more than once, "
                     f"{sum(foreign.values()) - again} that nobody sent")
    for partition in range(PARTITIONS) if ordered else ():
        if [r for r in seen if r.partition == partition] != [r for r in expected if r.partition == partition]:
            raise Failed(f"partition {partition} is out of order")


def until(what, condition):
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"timeout: {what}: not within {WAIT} s")
        time.sleep(0.02)


# --- one run of one exercise ----------------------------------------------------------------------------------

class Run:
    """Opens what an exercise needs, under the names that the contract prescribes."""

    def __init__(self, library, prefix, exercise):
        self.library = library
        self.exercise = exercise
        self.topic = self.group = f"{prefix}-{exercise}"
        self.opened = contextlib.ExitStack()

    def name(self, role):
        return f"{self.topic}-{role}"

    def _keep(self, client):
        self.opened.callback(client.close)
        return client

    def producer(self, acks="all", idempotent=False, codec=None, transactional_id=None):
        return self._keep(self.library.producer(self.name("producer"), acks=acks, idempotent=idempotent, codec=codec,
                                                transactional_id=transactional_id))

    def member(self, role, protocol="classic"):
        return self._keep(self.library.member(self.name(role), self.group, self.topic, protocol))

    def admin(self):
        return self._keep(self.library.admin(self.name("admin")))

    def deliver(self, producer, records):
        for start in range(0, len(records), ROUND):
            for record in records[start:start + ROUND]:
                producer.send(self.topic, record)
            producer.flush()

    def read(self, count, committed=True):
        """What the topic holds: at least `count` records, and then whatever follows to its end."""
        seen = []
        deadline = time.monotonic() + WAIT
        with contextlib.closing(self.library.reader(self.name("reader"), self.topic, committed)) as reader:
            while len(seen) < count or not reader.at_end():
                if time.monotonic() > deadline:
                    raise Failed(f"timeout: {len(seen)} of {count} records read back after {WAIT} s")
                seen += reader.poll()
        return seen

    def committed(self):
        return self.library.committed(self.name("offsets"), self.group, self.topic)


class Member:
    """A member of a group on a thread of its own, because a rebalance needs all its members to poll at once."""

    def __init__(self, run, role, protocol):
        self.member = run.member(role, protocol)
        self.records = []
        self.partitions = set()
        self.error = None
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    def _main(self):
        uncommitted = False
        try:
            while not self.leaving.is_set() or uncommitted:
                records = self.member.poll()
                self.partitions = self.member.partitions()
                self.records += records
                uncommitted = uncommitted or bool(records)
                if uncommitted and self.member.commit():
                    uncommitted = False
            self.member.close()
        except Exception as error:  # told to whoever waits
            self.error = error

    def check(self):
        if self.error is not None:
            raise self.error

    def leave(self):
        self.leaving.set()
        self.thread.join(WAIT)
        self.check()
        if self.thread.is_alive():
            raise Failed(f"timeout: a member did not leave within {WAIT} s")
        self.partitions = set()


# --- the exercises --------------------------------------------------------------------------------------------

def produce(run, count=300, value=None, ordered=False, **settings):
    records = records_of(run.exercise, count, value)
    if settings.get("acks") == 0:
        run.read(0)  # a leader that is not ready yet would drop the records and could not say so
    run.deliver(run.producer(**settings), records)
    judge(records, run.read(count), ordered)
    return f"{count} records"


def size_20mib(run):
    record = Record(1, b"large", random.Random("20 MiB").randbytes(20 << 20), ())
    producer = run.producer()
    producer.send(run.topic, record)
    producer.flush()
    judge([record], run.read(1))
    return "1 record of 20971520 bytes"


def txn_commit(run):
    """Two transactions: the second writes what a member of a group has read of the first, and commits its offsets."""
    source, result = records_of(run.exercise, 60), records_of(run.exercise, 60, first=60)
    producer = run.producer(idempotent=True, transactional_id=run.topic)
    producer.begin()
    run.deliver(producer, source)
    producer.commit()
    member, seen = run.member("member"), []
    until("the first transaction is read", lambda: seen.extend(member.poll()) or len(seen) >= len(source))
    judge(source, seen)
    producer.begin()
    run.deliver(producer, result)
    sent = producer.send_offsets(member)
    producer.commit()
    until(f"the group's offsets are {sent}", lambda: run.committed() == sent)
    judge(source + result, run.read(120), ordered=True)
    return "120 records in 2 transactions, offsets sent to the second"


def txn_abort(run):
    aborted = records_of(run.exercise, 60)
    markers = [Record(p, b"marker", f"after {p}".encode(), ()) for p in range(PARTITIONS)]
    producer = run.producer(idempotent=True, transactional_id=run.topic)
    producer.begin()
    run.deliver(producer, aborted)
    producer.abort()
    producer.begin()
    run.deliver(producer, markers)
    producer.commit()
    judge(markers, run.read(len(markers)), ordered=True)
    judge(aborted + markers, run.read(63, committed=False), ordered=True)
    return "60 aborted records unseen, 3 committed after them seen"


def group(run, protocol):
    """One member reads, a second joins and takes partitions over, then leaves; nothing is missed on the way."""
    records = records_of(run.exercise, 300)
    everything = set(range(PARTITIONS))
    producer = run.producer()
    run.deliver(producer, records[:100])
    first = Member(run, "first", protocol)
    members = [first]

    def reached(what, condition):
        def now():
            for member in members:
                member.check()
            return condition()
        until(what, now)

    def seen_by(*of):
        return set().union(*(member.records for member in of))

    reached("the first member owns every partition", lambda: first.partitions == everything)
    reached("the first member reads", lambda: seen_by(first) >= set(records[:100]))
    second = Member(run, "second", protocol)
    members.append(second)
    reached("partitions move to the second member", lambda: first.partitions and second.partitions
            and first.partitions | second.partitions == everything and not first.partitions & second.partitions)
    moved = sorted(second.partitions)
    run.deliver(producer, records[100:200])
    reached("both members read on", lambda: seen_by(first, second) >= set(records[:200]) and
            {r for r in records[100:200] if r.partition in moved} <= seen_by(second))
    second.leave()
    reached("all partitions move back", lambda: first.partitions == everything)
    run.deliver(producer, records[200:])
    reached("the first member reads to the end", lambda: seen_by(first, second) >= set(records))
    first.leave()
    judge(records, seen_by(first, second))
    ends = {p: sum(1 for r in records if r.partition == p) for p in everything}
    until(f"the group has committed {ends}", lambda: run.committed() == ends)
    return f"300 records, partitions {moved} moved to a second member and back"


def group_share(run):
    """Two share consumers; records are added until both have had some, for one may take all that is there."""
    records = records_of(run.exercise, 300)
    accepted, errors, done = {"first": [], "second": []}, [], threading.Event()

    def work(role):
        try:
            with contextlib.closing(run.library.share_member(run.name(role), run.group, run.topic)) as member:
                while not done.is_set():
                    accepted[role] += member.accept()
        except Exception as error:
            errors.append(error)

    def complete():
        if errors:
            raise errors[0]
        return sum(len(some) for some in accepted.values()) >= len(records)

    producer = run.producer()
    run.deliver(producer, records)
    threads = [threading.Thread(target=work, args=(role,), daemon=True) for role in accepted]
    for thread in threads:
        thread.start()
    until("all records are acknowledged", complete)
    while not all(accepted.values()):
        more = records_of(run.exercise, 30, first=len(records))
        records += more
        run.deliver(producer, more)
        until("more records are acknowledged", complete)
        if len(records) > 3000:
            raise Failed("one of two share consumers was given nothing")
    done.set()
    for thread in threads:
        thread.join(WAIT)
    judge(records, accepted["first"] + accepted["second"])
    return f"{len(records)} records, {len(accepted['first'])} and {len(accepted['second'])} acknowledged"


def admin(run):
    topic = f"{run.topic}-made"
    administrator = run.admin()
    remarks = []

    def step(what, does):
        try:
            remark = does()
        except Absent as absent:
            remark = f"left out, {absent}"
        if remark:
            remarks.append(f"{what}: {remark}")

    def described():
        until("the topic is described", lambda: administrator.partitions(topic) == [0, 1, 2])

    def configured(value):
        until(f"retention.ms is {value}", lambda: administrator.config(topic, "retention.ms") == value)

    def altered():
        remark = administrator.alter(topic, "retention.ms", "7200000")
        configured("7200000")
        return remark

    def expect(what, got, wanted):
        if got != wanted:
            raise Failed(f"{what}: {got} instead of {wanted}")

    administrator.create(topic, PARTITIONS, {"retention.ms": "3600000", "max.message.bytes": str(RECORD_MAX)})
    step("describe topic", described)
    step("describe config", lambda: configured("3600000"))
    step("alter config", altered)

    run.topic = topic
    records = records_of(run.exercise, 60)
    run.deliver(run.producer(), records)
    ends = {p: len(records) // PARTITIONS for p in range(PARTITIONS)}
    step("list offsets", lambda: expect("end offsets", administrator.end_offsets(topic), ends))
    member = Member(run, "member", "classic")
    until("the group has read", lambda: member.check() or len(member.records) == len(records))
    step("list groups", lambda: expect("the group is listed", run.group in administrator.groups(), True))
    step("describe group", lambda: expect("members", administrator.members(run.group), [run.name("member")]))
    member.leave()
    step("list group offsets", lambda: expect("group offsets", administrator.group_offsets(run.group, topic), ends))

    administrator.delete(topic)
    until("the topic is gone", lambda: topic not in administrator.topics())
    return "; ".join(remarks) or "everything"


def streams_eos(run):
    raise Absent("Kafka Streams is a Java library")


EXERCISES = {
    "acks_0": functools.partial(produce, acks=0),
    "acks_1": functools.partial(produce, acks=1),
    "acks_all": functools.partial(produce, acks="all"),
    "idempotent": functools.partial(produce, idempotent=True, ordered=True),
    "txn_commit": txn_commit,
    "txn_abort": txn_abort,
    "codec_none": functools.partial(produce, count=200, value=compressible),
    "codec_gzip": functools.partial(produce, count=200, value=compressible, codec="gzip"),
    "codec_snappy": functools.partial(produce, count=200, value=compressible, codec="snappy"),
    "codec_lz4": functools.partial(produce, count=200, value=compressible, codec="lz4"),
    "codec_zstd": functools.partial(produce, count=200, value=compressible, codec="zstd"),
    "size_1b": functools.partial(produce, value=one_byte),
    "size_20mib": size_20mib,
    "group_classic": functools.partial(group, protocol="classic"),
    "group_consumer": functools.partial(group, protocol="consumer"),
    "group_share": group_share,
    "admin": admin,
    "streams_eos": streams_eos,
}


# --- reporting ------------------------------------------------------------------------------------------------

def in_one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def perform(library, prefix, exercise):
    """(result, detail)"""
    run = Run(library, prefix, exercise)
    try:
        with run.opened:
            return "ok", EXERCISES[exercise](run)
    except Absent as absent:
        return "absent", str(absent)
    except Failed as failed:
        return "failed", str(failed)
    except Exception as error:
        import traceback
        traceback.print_exc()
        return "failed", in_one_line(error)


def perform_apart(library, prefix, exercise):
    """The same in a process of its own, so that one exercise cannot spoil the next."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(DEADLINE)
        os.write(writing, json.dumps(perform(library, prefix, exercise)).encode())
        sys.stderr.flush()
        os._exit(0)  # threads that a library has left behind are no reason to wait
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGALRM:
        return "failed", f"timeout: not done within {DEADLINE} s"
    if status != 0 or not answer:
        return "failed", f"the exercise ended with {status}"
    return json.loads(answer)


def main(library):
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--steady", nargs=2, metavar=("SPEC", "ACKS"))
    parser.add_argument("--bootstrap")
    parser.add_argument("--prefix")
    parser.add_argument("exercises", nargs="*", metavar="EXERCISE")
    options = parser.parse_args()
    if options.version:
        print(library.version())
        return
    if options.steady:
        steady.main(library, *options.steady)
        return
    if not (options.bootstrap and options.prefix and options.exercises):
        parser.error("--bootstrap, --prefix and at least one exercise")
    unknown = set(options.exercises) - set(EXERCISES)
    if unknown:
        parser.error(f"no such exercise: {sorted(unknown)}; there are {list(EXERCISES)}")
    library.bootstrap = options.bootstrap
    for exercise in options.exercises:
        begun = time.monotonic()
        result, detail = perform_apart(library, options.prefix, exercise)
        print(json.dumps({"exercise": exercise, "result": result, "detail": detail,
                          "seconds": round(time.monotonic() - begun, 2)}), flush=True)
