"""The driver for kafka-python 3 (exercises.py says how drivers work)."""

from kafka import KafkaAdminClient, OffsetAndMetadata, OffsetSpec
from kafka.admin import ConfigResource, ConfigResourceType

import exercises
from kafka_python import Admin, KafkaPython, Producer, all_of


class TransactionalProducer(Producer):
    def __init__(self, config):
        super().__init__(config)
        self.producer.init_transactions()

    def begin(self):
        self.producer.begin_transaction()

    def commit(self):
        self.producer.commit_transaction()

    def abort(self):
        self.producer.abort_transaction()

    def send_offsets(self, member):
        consumer = member.consumer
        offsets = {p: OffsetAndMetadata(consumer.position(p), "", -1) for p in consumer.assignment()}
        self.producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        return {p.partition: o.offset for p, o in offsets.items()}


class Admin3(Admin):
    PARTITION = "partition_index"

    def create(self, topic, partitions, config):
        self.admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": config}})

    def config(self, topic, name):
        answer = self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return answer["topic"][topic][name]["value"]

    def alter(self, topic, name, value):
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})], incremental=True)

    def end_offsets(self, topic):
        answer = self.admin.list_partition_offsets({p: OffsetSpec.LATEST for p in all_of(topic)})
        return {p.partition: found.offset for p, found in answer.items()}

    def groups(self):
        return {listed["group_id"] for listed in self.admin.list_groups()}

    def members(self, group):
        return [member["client_id"] for member in self.admin.describe_groups([group])[group]["members"]]

    def group_offsets(self, group, topic):
        return {p.partition: o.offset for p, o in self.admin.list_group_offsets([group])[group].items()}


class KafkaPython3(KafkaPython):
    def producer(self, client_id, acks, idempotent, codec, transactional_id):
        config = self._producer(client_id, acks, codec, enable_idempotence=idempotent)
        if transactional_id:
            return TransactionalProducer({**config, "transactional_id": transactional_id})
        return Producer(config)

    def pipe(self, flow):
        return self._pipe(flow, enable_idempotence=flow["idempotence"])

    def reader(self, client_id, topic, committed):
        return self._reader(client_id, topic, isolation_level="read_committed" if committed else "read_uncommitted")

    def member(self, client_id, group, topic, protocol):
        return self._member(client_id, group, topic, protocol, isolation_level="read_committed")

    def admin(self, client_id):
        return Admin3(KafkaAdminClient(**self._config(client_id)))


if __name__ == "__main__":
    exercises.main(KafkaPython3())
