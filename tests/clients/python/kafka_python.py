"""What the drivers for kafka-python 2 and 3 share: producers and consumers, whose calls hardly changed."""

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError

import exercises
from exercises import PARTITIONS, RECORD_MAX, WAIT, Absent, Record

POLL_MS = 100
# What a commit may answer while partitions move: the member tries again, with what it owns then.
MOVING = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError)


def record_of(message):
    return Record(message.partition, message.key, message.value, tuple(message.headers or ()))


def all_of(topic):
    return [TopicPartition(topic, p) for p in range(PARTITIONS)]


class Producer:
    def __init__(self, config):
        self.producer = KafkaProducer(**config)
        self.sent = []

    def send(self, topic, record):
        self.sent.append(self.producer.send(topic, record.value, record.key, headers=list(record.headers),
                                            partition=record.partition))

    def flush(self):
        self.producer.flush(WAIT)
        for future in self.sent:
            future.get(WAIT)
        self.sent.clear()

    def close(self):
        self.producer.close(1)


class Pipe:
    """A steady producer."""

    def __init__(self, config):
        self.producer = KafkaProducer(**config)

    def send(self, topic, key, value, partition, report):
        future = self.producer.send(topic, value, key, partition=partition)
        future.add_callback(lambda metadata: report(metadata.partition, metadata.offset, None))
        future.add_errback(lambda error: report(None, -1, error))

    def serve(self):
        pass  # it has a thread of its own

    def close(self):
        self.producer.flush(120)
        self.producer.close(10)

    def throttled_ms(self):
        """Its metrics tell a maximum, and no sum."""
        return -1


class Consumer:
    def __init__(self, config):
        self.consumer = KafkaConsumer(**config)
        self.ends = None

    def poll(self):
        return [record_of(message) for messages in self.consumer.poll(POLL_MS).values() for message in messages]

    def at_end(self):
        """The ends are asked for once, when the reader believes to have everything."""
        if self.ends is None:
            self.ends = self.consumer.end_offsets(list(self.consumer.assignment()))
        return all(self.consumer.position(partition) >= end for partition, end in self.ends.items())

    def partitions(self):
        return {partition.partition for partition in self.consumer.assignment()}

    def commit(self):
        try:
            self.consumer.commit()
        except MOVING:
            return False
        return True

    def close(self):
        self.consumer.close()


class KafkaPython(exercises.Library):
    def version(self):
        return f"kafka-python {kafka.__version__}"

    def _config(self, client_id, **more):
        return {"bootstrap_servers": self.bootstrap, "client_id": client_id, **more}

    def _producer(self, client_id, acks, codec, **more):
        return self._config(client_id, acks=acks, compression_type=codec, max_request_size=RECORD_MAX,
                            linger_ms=20, **more)

    def _pipe(self, flow, **more):
        self.bootstrap = flow["bootstrap"]
        acks = flow["acks"] if flow["acks"] == "all" else int(flow["acks"])
        codec = flow.get("codec") or "none"
        config = self._config(flow["client_id"], acks=acks, compression_type=None if codec == "none" else codec,
                              linger_ms=int(flow["props"].get("linger.ms", 0)), **more)
        if flow.get("default_client_id"):
            del config["client_id"]
        return Pipe(config)

    def _consumer(self, client_id, group, **more):
        return Consumer(self._config(client_id, group_id=group, enable_auto_commit=False,
                                     auto_offset_reset="earliest", max_partition_fetch_bytes=RECORD_MAX,
                                     heartbeat_interval_ms=500, **more))

    def _reader(self, client_id, topic, **more):
        reader = self._consumer(client_id, None, **more)
        reader.consumer.assign(all_of(topic))
        return reader

    def _member(self, client_id, group, topic, protocol, **more):
        if protocol != "classic":
            raise Absent("no group.protocol=consumer (KIP-848)")
        member = self._consumer(client_id, group, **more)
        member.consumer.subscribe([topic])
        return member

    def committed(self, client_id, group, topic):
        asking = self._consumer(client_id, group)
        try:
            return {partition.partition: asking.consumer.committed(partition) for partition in all_of(topic)}
        finally:
            asking.close()


class Admin:
    """The calls that are alike in both."""

    def __init__(self, admin):
        self.admin = admin

    def topics(self):
        return set(self.admin.list_topics())

    def partitions(self, topic):
        described = self.admin.describe_topics([topic])
        return sorted(partition[self.PARTITION] for partition in described[0]["partitions"])

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def close(self):
        self.admin.close()
