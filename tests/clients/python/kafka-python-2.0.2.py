"""The driver for kafka-python 2.0.2 (exercises.py says how drivers work): old, and still in use."""

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import for_code

import exercises
from exercises import Absent
from kafka_python import Admin, KafkaPython, Producer


def no_error(code, message):
    if code != 0:
        raise for_code(code)(message)


class Admin2(Admin):
    """Its answers are the wire's: their errors are for the caller to find."""

    PARTITION = "partition"

    def create(self, topic, partitions, config):
        answer = self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
        for name, code, message in answer.topic_errors:
            no_error(code, message)

    def config(self, topic, name):
        answers = self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        for answer in answers:
            for code, message, _, _, entries in answer.resources:
                no_error(code, message)
                for entry in entries:
                    if entry[0] == name:
                        return entry[1]
        return None

    def alter(self, topic, name, value):
        answer = self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])
        for code, message, _, _ in answer.resources:
            no_error(code, message)
        return "not incrementally"

    def end_offsets(self, topic):
        raise Absent("no such call")

    def groups(self):
        return {name for name, _ in self.admin.list_consumer_groups()}

    def members(self, group):
        return [member.client_id for member in self.admin.describe_consumer_groups([group])[0].members]

    def group_offsets(self, group, topic):
        return {p.partition: o.offset for p, o in self.admin.list_consumer_group_offsets(group).items()}


class KafkaPython2(KafkaPython):
    def _config(self, client_id, **more):
        # It finds the broker's version by trying; the 2 s that it allows for that are little on a busy machine.
        return super()._config(client_id, api_version_auto_timeout_ms=20000, **more)

    def producer(self, client_id, acks, idempotent, codec, transactional_id):
        if transactional_id:
            raise Absent("no transactions")
        if idempotent:
            raise Absent("no idempotent producer")
        return Producer(self._producer(client_id, acks, codec))

    def pipe(self, flow):
        return self._pipe(flow)

    def reader(self, client_id, topic, committed):
        return self._reader(client_id, topic)

    def member(self, client_id, group, topic, protocol):
        return self._member(client_id, group, topic, protocol)

    def admin(self, client_id):
        return Admin2(KafkaAdminClient(**self._config(client_id)))


if __name__ == "__main__":
    exercises.main(KafkaPython2())
