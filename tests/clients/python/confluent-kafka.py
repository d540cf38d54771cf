"""The driver for confluent-kafka, which is librdkafka in its newest version (exercises.py says how drivers work)."""

import confluent_kafka
from confluent_kafka import AcknowledgeType, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions, ShareConsumer, TopicCollection
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, OffsetSpec,
                                   ResourceType)

import exercises
from exercises import PARTITIONS, RECORD_MAX, WAIT, Record

POLL = 0.1
# What a commit may answer while partitions move: the member tries again, with what it owns then.
MOVING = {KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID,
          KafkaError.STALE_MEMBER_EPOCH, KafkaError._NO_OFFSET, KafkaError._ASSIGNMENT_LOST}
FETCH = {"fetch.max.bytes": RECORD_MAX, "max.partition.fetch.bytes": RECORD_MAX,
         "receive.message.max.bytes": 2 * RECORD_MAX}


def record_of(message):
    return Record(message.partition(), message.key(), message.value(), tuple(message.headers() or ()))


def all_of(topic, offset=None):
    return [TopicPartition(topic, p) if offset is None else TopicPartition(topic, p, offset)
            for p in range(PARTITIONS)]


class ConfluentProducer:
    def __init__(self, config):
        self.producer = Producer(config)
        self.error = None
        if "transactional.id" in config:
            self.producer.init_transactions(WAIT)

    def _delivered(self, error, message):
        self.error = self.error or error

    def send(self, topic, record):
        self.producer.produce(topic, record.value, record.key, record.partition, headers=list(record.headers),
                              on_delivery=self._delivered)

    def flush(self):
        left = self.producer.flush(WAIT)
        if self.error or left:
            raise RuntimeError(f"not delivered: {self.error or f'{left} records in {WAIT} s'}")

    def begin(self):
        self.producer.begin_transaction()

    def commit(self):
        self.producer.commit_transaction(WAIT)

    def abort(self):
        self.producer.abort_transaction(WAIT)

    def send_offsets(self, member):
        consumer = member.consumer
        offsets = consumer.position(consumer.assignment())
        self.producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), WAIT)
        return {o.partition: o.offset for o in offsets}

    def close(self):
        self.producer.flush(1)


class ConfluentPipe:
    """A steady producer."""

    def __init__(self, config):
        self.throttled = 0
        self.producer = Producer({**config, "throttle_cb": self._throttled})

    def _throttled(self, event):
        self.throttled += int(1000 * event.throttle_time)

    def send(self, topic, key, value, partition, report):
        def delivered(error, message):
            report(message.partition(), message.offset(), error and KafkaException(error))
        chosen = {} if partition is None else {"partition": partition}
        try:
            self.producer.produce(topic, value, key, on_delivery=delivered, **chosen)
        except BufferError:
            self.producer.poll(0.05)
            self.producer.produce(topic, value, key, on_delivery=delivered, **chosen)

    def serve(self):
        self.producer.poll(0)

    def close(self):
        self.producer.flush(120)

    def throttled_ms(self):
        return self.throttled


class ConfluentConsumer:
    def __init__(self, config):
        self.consumer = Consumer(config)
        self.ended = set()

    def poll(self):
        records = []
        for message in self.consumer.consume(100, POLL):
            error = message.error()
            if error is None:
                records.append(record_of(message))
                self.ended.discard(message.partition())
            elif error.code() == KafkaError._PARTITION_EOF:
                self.ended.add(message.partition())
            else:
                raise KafkaException(error)
        return records

    def at_end(self):
        return len(self.ended) == PARTITIONS

    def partitions(self):
        return {p.partition for p in self.consumer.assignment()}

    def commit(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as failure:
            if failure.args[0].code() not in MOVING:
                raise
            return False
        return True

    def close(self):
        self.consumer.close()


class ConfluentShareConsumer:
    def __init__(self, config):
        self.consumer = ShareConsumer(config)

    def accept(self):
        messages = [message for message in self.consumer.poll(POLL)]
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            self.consumer.acknowledge(message, AcknowledgeType.ACCEPT)
        if messages:
            refused = [error for error in self.consumer.commit_sync(float(WAIT)).values() if error is not None]
            if refused:
                raise refused[0]
        return [record_of(message) for message in messages]

    def close(self):
        self.consumer.close()


class ConfluentAdmin:
    def __init__(self, config):
        self.admin = AdminClient(config)

    def create(self, topic, partitions, config):
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(WAIT)

    def topics(self):
        return set(self.admin.list_topics(timeout=WAIT).topics)

    def partitions(self, topic):
        try:
            described = self.admin.describe_topics(TopicCollection([topic]))[topic].result(WAIT)
        except KafkaException as failure:
            if failure.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return []
            raise
        return sorted(p.id for p in described.partitions)

    def config(self, topic, name):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return self.admin.describe_configs([resource])[resource].result(WAIT)[name].value

    def alter(self, topic, name, value):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(WAIT)

    def end_offsets(self, topic):
        asked = self.admin.list_offsets({p: OffsetSpec.latest() for p in all_of(topic)})
        return {p.partition: future.result(WAIT).offset for p, future in asked.items()}

    def groups(self):
        return {listed.group_id for listed in self.admin.list_consumer_groups().result(WAIT).valid}

    def members(self, group):
        return [m.client_id for m in self.admin.describe_consumer_groups([group])[group].result(WAIT).members]

    def group_offsets(self, group, topic):
        asked = [ConsumerGroupTopicPartitions(group, all_of(topic))]
        answer = self.admin.list_consumer_group_offsets(asked)[group].result(WAIT)
        return {p.partition: p.offset for p in answer.topic_partitions}

    def delete(self, topic):
        self.admin.delete_topics([topic])[topic].result(WAIT)

    def close(self):
        pass  # it has no such call


class ConfluentKafka(exercises.Library):
    def version(self):
        return f"confluent-kafka {confluent_kafka.version()}"

    def _config(self, client_id, **more):
        return {"bootstrap.servers": self.bootstrap, "client.id": client_id, "message.max.bytes": RECORD_MAX,
                **{name.replace("_", "."): value for name, value in more.items()}}

    def producer(self, client_id, acks, idempotent, codec, transactional_id):
        config = self._config(client_id, acks=acks, enable_idempotence=idempotent, compression_type=codec or "none",
                              linger_ms=20)
        if transactional_id:
            config["transactional.id"] = transactional_id
        return ConfluentProducer(config)

    def pipe(self, flow):
        self.bootstrap = flow["bootstrap"]
        return ConfluentPipe(self._config(flow["client_id"], acks=flow["acks"], enable_idempotence=flow["idempotence"],
                                          compression_type=flow.get("codec") or "none", **flow["props"]))

    def _consumer(self, client_id, group, committed=True, **more):
        config = self._config(client_id, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
                              isolation_level="read_committed" if committed else "read_uncommitted", **more)
        return ConfluentConsumer({**config, **FETCH})

    def reader(self, client_id, topic, committed):
        reader = self._consumer(client_id, f"{topic}-reader", committed, enable_partition_eof=True)
        reader.consumer.assign(all_of(topic, confluent_kafka.OFFSET_BEGINNING))
        return reader

    def member(self, client_id, group, topic, protocol):
        member = self._consumer(client_id, group, group_protocol=protocol)
        member.consumer.subscribe([topic])
        return member

    def share_member(self, client_id, group, topic):
        config = self._config(client_id, group_id=group, share_acknowledgement_mode="explicit")
        member = ConfluentShareConsumer(config)
        member.consumer.subscribe([topic])
        return member

    def committed(self, client_id, group, topic):
        consumer = self._consumer(client_id, group).consumer
        try:
            return {p.partition: p.offset for p in consumer.committed(all_of(topic), WAIT)}
        finally:
            consumer.close()

    def admin(self, client_id):
        return ConfluentAdmin(self._config(client_id))


if __name__ == "__main__":
    exercises.main(ConfluentKafka())
