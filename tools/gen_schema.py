#!/usr/bin/env python3
"""Generates protocol/schema_table.c from the message definitions inside the kafka-clients jar.

    tools/gen_schema.py JAR_OR_DIR [--out FILE]     writes the table (default: protocol/schema_table.c)
    tools/gen_schema.py JAR_OR_DIR --check          exit 1 and a diff if the file is not what would be written
    tools/gen_schema.py --self-test                 prove that what the walker would misread is refused

JAR_OR_DIR is kafka-clients-X.Y.Z.jar, or a directory that holds the unpacked common/message/*.json. Every API of the
broker listener gets full rows: request and response, all fields, all versions. What the walker (protocol/walk.c) would
misread is refused here, so that a new Kafka release fails in this tool and not on somebody's traffic.
"""
import argparse
import difflib
import json
import pathlib
import re
import sys
import zipfile

# What the program wants to be told about, as `Message.Path.Field`; the names on the right are those of enum ps_tap.
TAPS = {
    "ProduceRequest.TransactionalId": "TRANSACTIONAL_ID",
    "ProduceRequest.Acks": "ACKS",
    "ProduceRequest.TimeoutMs": "TIMEOUT_MS",
    "ProduceRequest.TopicData": "TOPICS",
    "ProduceRequest.TopicData.Name": "TOPIC_NAME",
    "ProduceRequest.TopicData.TopicId": "TOPIC_ID",
    "ProduceRequest.TopicData.PartitionData": "PARTITIONS",
    "ProduceRequest.TopicData.PartitionData.Index": "PARTITION_INDEX",
    "ProduceRequest.TopicData.PartitionData.Records": "RECORDS",
    "ProduceResponse.Responses": "TOPICS",
    "ProduceResponse.Responses.Name": "TOPIC_NAME",
    "ProduceResponse.Responses.TopicId": "TOPIC_ID",
    "ProduceResponse.Responses.PartitionResponses": "PARTITIONS",
    "ProduceResponse.Responses.PartitionResponses.Index": "PARTITION_INDEX",
    "ProduceResponse.Responses.PartitionResponses.ErrorCode": "ERROR_CODE",
    "ProduceResponse.Responses.PartitionResponses.BaseOffset": "BASE_OFFSET",
    "ProduceResponse.ThrottleTimeMs": "THROTTLE_TIME_MS",
    "ProduceResponse.NodeEndpoints": "NODES",
    "ProduceResponse.NodeEndpoints.NodeId": "NODE_ID",
    "ProduceResponse.NodeEndpoints.Host": "HOST",
    "ProduceResponse.NodeEndpoints.Port": "PORT",
    "FetchResponse.NodeEndpoints": "NODES",
    "FetchResponse.NodeEndpoints.NodeId": "NODE_ID",
    "FetchResponse.NodeEndpoints.Host": "HOST",
    "FetchResponse.NodeEndpoints.Port": "PORT",
    "ShareFetchResponse.NodeEndpoints": "NODES",
    "ShareFetchResponse.NodeEndpoints.NodeId": "NODE_ID",
    "ShareFetchResponse.NodeEndpoints.Host": "HOST",
    "ShareFetchResponse.NodeEndpoints.Port": "PORT",
    "ShareAcknowledgeResponse.NodeEndpoints": "NODES",
    "ShareAcknowledgeResponse.NodeEndpoints.NodeId": "NODE_ID",
    "ShareAcknowledgeResponse.NodeEndpoints.Host": "HOST",
    "ShareAcknowledgeResponse.NodeEndpoints.Port": "PORT",
    "MetadataResponse.Brokers": "NODES",
    "MetadataResponse.Brokers.NodeId": "NODE_ID",
    "MetadataResponse.Brokers.Host": "HOST",
    "MetadataResponse.Brokers.Port": "PORT",
    "MetadataResponse.ClusterId": "CLUSTER_ID",
    "MetadataResponse.Topics.Name": "TOPIC_NAME",
    "MetadataResponse.Topics.TopicId": "TOPIC_ID",
    "FindCoordinatorResponse.NodeId": "NODE_ID",
    "FindCoordinatorResponse.Host": "HOST",
    "FindCoordinatorResponse.Port": "PORT",
    "FindCoordinatorResponse.Coordinators": "NODES",
    "FindCoordinatorResponse.Coordinators.NodeId": "NODE_ID",
    "FindCoordinatorResponse.Coordinators.Host": "HOST",
    "FindCoordinatorResponse.Coordinators.Port": "PORT",
    "DescribeClusterResponse.ClusterId": "CLUSTER_ID",
    "DescribeClusterResponse.Brokers": "NODES",
    "DescribeClusterResponse.Brokers.BrokerId": "NODE_ID",
    "DescribeClusterResponse.Brokers.Host": "HOST",
    "DescribeClusterResponse.Brokers.Port": "PORT",
    "ApiVersionsRequest.ClientSoftwareName": "SOFTWARE_NAME",
    "ApiVersionsRequest.ClientSoftwareVersion": "SOFTWARE_VERSION",
    "ApiVersionsResponse.ErrorCode": "ERROR_CODE",
    "ApiVersionsResponse.ApiKeys": "API_KEYS",
    "ApiVersionsResponse.ApiKeys.ApiKey": "API_KEY",
    "ApiVersionsResponse.ApiKeys.MinVersion": "MIN_VERSION",
    "ApiVersionsResponse.ApiKeys.MaxVersion": "MAX_VERSION",
    "FetchRequest.Topics.Topic": "TOPIC_NAME",
    "FetchRequest.Topics.TopicId": "TOPIC_ID",
    "FetchRequest.Topics.Partitions.Partition": "PARTITION_INDEX",
    "FetchRequest.Topics.Partitions.FetchOffset": "OFFSET",
    "OffsetCommitRequest.GroupId": "GROUP_ID",
    "OffsetCommitRequest.MemberId": "MEMBER_ID",
    "OffsetCommitRequest.Topics.Name": "TOPIC_NAME",
    "OffsetCommitRequest.Topics.TopicId": "TOPIC_ID",
    "OffsetCommitRequest.Topics.Partitions.PartitionIndex": "PARTITION_INDEX",
    "OffsetCommitRequest.Topics.Partitions.CommittedOffset": "OFFSET",
    "OffsetCommitResponse.Topics.Name": "TOPIC_NAME",
    "OffsetCommitResponse.Topics.TopicId": "TOPIC_ID",
    "OffsetCommitResponse.Topics.Partitions.PartitionIndex": "PARTITION_INDEX",
    "OffsetCommitResponse.Topics.Partitions.ErrorCode": "ERROR_CODE",
    "TxnOffsetCommitRequest.TransactionalId": "TRANSACTIONAL_ID",
    "TxnOffsetCommitRequest.GroupId": "GROUP_ID",
    "TxnOffsetCommitRequest.ProducerId": "PRODUCER_ID",
    "TxnOffsetCommitRequest.ProducerEpoch": "PRODUCER_EPOCH",
    "TxnOffsetCommitRequest.Topics.Name": "TOPIC_NAME",
    "TxnOffsetCommitRequest.Topics.TopicId": "TOPIC_ID",
    "TxnOffsetCommitRequest.Topics.Partitions.PartitionIndex": "PARTITION_INDEX",
    "TxnOffsetCommitRequest.Topics.Partitions.CommittedOffset": "OFFSET",
    "TxnOffsetCommitResponse.Topics.Name": "TOPIC_NAME",
    "TxnOffsetCommitResponse.Topics.TopicId": "TOPIC_ID",
    "TxnOffsetCommitResponse.Topics.Partitions.PartitionIndex": "PARTITION_INDEX",
    "TxnOffsetCommitResponse.Topics.Partitions.ErrorCode": "ERROR_CODE",
    "EndTxnRequest.TransactionalId": "TRANSACTIONAL_ID",
    "EndTxnRequest.ProducerId": "PRODUCER_ID",
    "EndTxnRequest.ProducerEpoch": "PRODUCER_EPOCH",
    "EndTxnRequest.Committed": "COMMITTED",
    "EndTxnResponse.ErrorCode": "ERROR_CODE",
    "OffsetFetchRequest.GroupId": "GROUP_ID",
    "OffsetFetchRequest.Groups.GroupId": "GROUP_ID",
    "JoinGroupRequest.GroupId": "GROUP_ID",
    "JoinGroupRequest.MemberId": "MEMBER_ID",
    "JoinGroupRequest.Protocols.Name": "PROTOCOL_NAME",
    "JoinGroupResponse.ErrorCode": "ERROR_CODE",
    "SyncGroupRequest.GroupId": "GROUP_ID",
    "SyncGroupRequest.MemberId": "MEMBER_ID",
    "SyncGroupResponse.ErrorCode": "ERROR_CODE",
    "HeartbeatRequest.GroupId": "GROUP_ID",
    "HeartbeatRequest.MemberId": "MEMBER_ID",
    "HeartbeatResponse.ErrorCode": "ERROR_CODE",
    "LeaveGroupRequest.GroupId": "GROUP_ID",
    "ConsumerGroupHeartbeatRequest.GroupId": "GROUP_ID",
    "ConsumerGroupHeartbeatRequest.MemberId": "MEMBER_ID",
    "ConsumerGroupHeartbeatRequest.MemberEpoch": "MEMBER_EPOCH",
    "ConsumerGroupHeartbeatRequest.TopicPartitions": "ASSIGNMENT",
    "ConsumerGroupHeartbeatResponse.ErrorCode": "ERROR_CODE",
    "ConsumerGroupHeartbeatResponse.Assignment.TopicPartitions": "ASSIGNMENT",
    "StreamsGroupHeartbeatRequest.GroupId": "GROUP_ID",
    "StreamsGroupHeartbeatRequest.MemberEpoch": "MEMBER_EPOCH",
    "StreamsGroupHeartbeatRequest.ActiveTasks": "ASSIGNMENT",
    "StreamsGroupHeartbeatResponse.ErrorCode": "ERROR_CODE",
    "StreamsGroupHeartbeatResponse.ActiveTasks": "ASSIGNMENT",
}

# How an answer of our own (include/penstock/answer.h) differs from the schema's defaults, API by API: what stands on
# the left, a path in the response, is filled from what stands on the right.
#     TopicData     a row of the request, sought where the response stands in it. An array gets one element for each of
#                   the request's, and what names an element (NAMES below) is copied without being listed
#     A B           both rows, one after the other, as far as the version has them
#     Dirs.Topics   the elements of all Topics of all Dirs
#     =-1  =null  ="User"   a constant
#     ...@0-12      in these versions only
# Error codes, their messages and ThrottleTimeMs are filled wherever they are met. It is all as in getErrorResponse of
# Kafka's request classes, with which tests/java/WireCheck.java compares every message.
ANSWERS = {
    "Produce": {"Responses": "TopicData", "Responses.PartitionResponses": "PartitionData",
                "Responses.PartitionResponses.BaseOffset": "=-1"},
    # By topic id only the error of the whole is answered.
    "Fetch": {"SessionId": "SessionId", "Responses": "Topics@0-12", "Responses.Partitions": "Partitions",
              "Responses.Partitions.HighWatermark": "=-1"},
    "ListOffsets": {"Topics": "Topics", "Topics.Partitions": "Partitions"},
    "Metadata": {"Topics": "Topics"},
    "OffsetCommit": {"Topics": "Topics", "Topics.Partitions": "Partitions"},
    # An error of the whole from version 2 on, of each group from 8 on.
    "OffsetFetch": {"Topics": "Topics@0-1", "Topics.Partitions": "PartitionIndexes",
                    "Topics.Partitions.CommittedOffset": "=-1", "Groups": "Groups"},
    "FindCoordinator": {"NodeId": "=-1", "Port": "=-1", "Coordinators": "CoordinatorKeys",
                        "Coordinators.NodeId": "=-1", "Coordinators.Port": "=-1"},
    "JoinGroup": {"ProtocolName": "=null@7+"},
    "DescribeGroups": {"Groups": "Groups"},
    "CreateTopics": {"Topics": "Topics"},
    "DeleteTopics": {"Responses": "Topics TopicNames"},
    "DeleteRecords": {"Topics": "Topics", "Topics.Partitions": "Partitions", "Topics.Partitions.LowWatermark": "=-1"},
    "InitProducerId": {"ProducerEpoch": "=-1"},
    "OffsetForLeaderEpoch": {"Topics": "Topics", "Topics.Partitions": "Partitions"},
    "AddPartitionsToTxn": {"ResultsByTopicV3AndBelow": "V3AndBelowTopics",
                           "ResultsByTopicV3AndBelow.ResultsByPartition": "Partitions"},
    "WriteTxnMarkers": {"Markers": "Markers", "Markers.ProducerId": "ProducerId", "Markers.Topics": "Topics",
                        "Markers.Topics.Partitions": "PartitionIndexes"},
    "TxnOffsetCommit": {"Topics": "Topics", "Topics.Partitions": "Partitions"},
    "CreateAcls": {"Results": "Creations"},
    "DeleteAcls": {"FilterResults": "Filters"},
    "DescribeConfigs": {"Results": "Resources"},
    "AlterConfigs": {"Responses": "Resources"},
    "AlterReplicaLogDirs": {"Results": "Dirs.Topics", "Results.Partitions": "Partitions"},
    "CreatePartitions": {"Results": "Topics"},
    "CreateDelegationToken": {
        "PrincipalType": '="User"', "PrincipalName": '="ANONYMOUS"', "TokenRequesterPrincipalType": '="User"',
        "TokenRequesterPrincipalName": '="ANONYMOUS"', "IssueTimestampMs": "=-1", "ExpiryTimestampMs": "=-1",
        "MaxTimestampMs": "=-1"},
    "DeleteGroups": {"Results": "GroupsNames"},
    "ElectLeaders": {"ReplicaElectionResults": "TopicPartitions",
                     "ReplicaElectionResults.PartitionResult": "Partitions"},
    "IncrementalAlterConfigs": {"Responses": "Resources"},
    "AlterPartitionReassignments": {"Responses": "Topics", "Responses.Partitions": "Partitions"},
    "ListPartitionReassignments": {"Topics": "Topics", "Topics.Partitions": "PartitionIndexes"},
    "DescribeClientQuotas": {"Entries": "=null"},
    "AlterClientQuotas": {"Entries": "Entries", "Entries.Entity": "Entity", "Entries.Entity.EntityType": "EntityType",
                          "Entries.Entity.EntityName": "EntityName"},
    "DescribeUserScramCredentials": {"Results": "Users"},  # Kafka leaves the names empty
    "AlterUserScramCredentials": {"Results": "Deletions Upsertions", "Results.User": "Name"},
    "DescribeProducers": {"Topics": "Topics", "Topics.Partitions": "PartitionIndexes"},
    "DescribeTransactions": {"TransactionStates": "TransactionalIds"},
    "ConsumerGroupDescribe": {"Groups": "GroupIds"},
    "DescribeTopicPartitions": {"Topics": "Topics"},
    "ShareGroupDescribe": {"Groups": "GroupIds"},
    "InitializeShareGroupState": {"Results": "Topics", "Results.Partitions": "Partitions"},
    "ReadShareGroupState": {"Results": "Topics", "Results.Partitions": "Partitions"},
    "WriteShareGroupState": {"Results": "Topics", "Results.Partitions": "Partitions"},
    "DeleteShareGroupState": {"Results": "Topics", "Results.Partitions": "Partitions"},
    "ReadShareGroupStateSummary": {"Results": "Topics", "Results.Partitions": "Partitions"},
    "StreamsGroupDescribe": {"Groups": "GroupIds"},
    "DescribeShareGroupOffsets": {"Groups": "Groups"},
}

# What names an element of an array: the same thing goes by several names, and an element that is no struct is its own.
NAMES = [{"Name", "Topic", "TopicName", "TopicNames"}, {"TopicId"}, {"ResourceType"}, {"ResourceName"},
         {"Index", "Partition", "PartitionId", "PartitionIndex", "PartitionIndexes", "Partitions"},
         {"GroupId", "GroupIds", "Groups", "GroupsNames"}, {"Key", "CoordinatorKeys"},
         {"TransactionalId", "TransactionalIds"}]
ERROR_CODES = {"ErrorCode", "PartitionErrorCode"}

# Brokers advertise more than the schema says: librdkafka before 2.11.1 compresses only if Produce 0 is listed
# (KAFKA-18659).
ADVERTISED_MIN = {"Produce": 0}

PRIMITIVES = {
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "uint16": "UINT16", "int32": "INT32", "uint32": "UINT32",
    "int64": "INT64", "float64": "FLOAT64", "uuid": "UUID", "string": "STRING", "bytes": "BYTES", "records": "RECORDS",
}
ATTRIBUTES = {"name", "type", "versions", "nullableVersions", "taggedVersions", "tag", "fields", "default", "about",
              "entityType", "mapKey", "ignorable", "zeroCopy", "flexibleVersions"}
NUMBERS = {"bool", "int8", "int16", "uint16", "int32", "uint32", "int64"}
MAX = 32767
NEVER = (1, 0)
TABLE = pathlib.Path(__file__).resolve().parent.parent / "protocol" / "schema_table.c"


class Refused(Exception):
    """The walker could not read this message."""


def versions(text):
    """'3+' -> (3, MAX), '0-2' -> (0, 2), '4' -> (4, 4), 'none' -> NEVER."""
    if text in (None, "none"):
        return NEVER
    match = re.fullmatch(r"(\d+)(\+|-(\d+))?", text)
    if match is None:
        raise Refused(f"version range {text!r}")
    first = int(match[1])
    return first, MAX if match[2] == "+" else int(match[3]) if match[3] else first


def overlap(a, b):
    return max(a[0], b[0]), min(a[1], b[1])


def is_empty(span):
    return span[0] > span[1]


def strip_comments(text):
    """The files are JSON with // comments, which may also follow code; strings may hold //."""
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda m: m[1] or "", text)


def load(source):
    """All requests and responses of a jar or directory: {name: definition}."""
    source = pathlib.Path(source)
    if source.is_dir():
        texts = [path.read_text() for path in sorted(source.rglob("*.json"))]
    else:
        with zipfile.ZipFile(source) as jar:
            names = sorted(n for n in jar.namelist() if re.fullmatch(r"common/message/\w+\.json", n))
            texts = [jar.read(name).decode() for name in names]
    messages = {}
    for text in texts:
        message = json.loads(strip_comments(text))
        if message["type"] in ("request", "response"):
            messages[message["name"]] = message
    if not messages:
        raise Refused(f"no message definitions in {source}")
    return messages


class Field:
    """One row, checked."""

    def __init__(self, message, raw, path):
        self.raw, self.name, self.path = raw, raw["name"], path + "." + raw["name"]
        self.array = raw["type"].startswith("[]")
        element = raw["type"].removeprefix("[]")
        self.span = versions(raw.get("versions"))
        self.nullable = versions(raw.get("nullableVersions"))
        self.tagged = versions(raw.get("taggedVersions"))
        self.tag = raw.get("tag", -1)
        self.flexible = raw.get("flexibleVersions") != "none"
        self.tap = TAPS.get(self.path, "NONE")
        self.kids = []
        self.fills = []
        if element in PRIMITIVES:
            self.type = PRIMITIVES[element]
        elif element in message.structs or "fields" in raw:
            self.type = "STRUCT"
            inner = raw.get("fields") or message.structs[element]
            self.kids = [Field(message, kid, self.path) for kid in inner]
        else:
            raise Refused(f"{self.path}: type {raw['type']!r}")
        self.set_default(element)
        self.check(message)

    def set_default(self, element):
        default = self.raw.get("default")
        if element == "string" and default not in (None, "", "null"):
            raise Refused(f"{self.path}: a default text")
        self.default_null = default == "null"
        self.default_int = 0
        if default is not None and not self.array and element in NUMBERS:
            word = str(default).lower()
            self.default_int = {"true": 1, "false": 0}.get(word)
            if self.default_int is None:
                self.default_int = int(word, 0)

    def check(self, message):
        """What walk.c relies on."""
        def refuse(why):
            raise Refused(f"{self.path}: {why}")
        if set(self.raw) - ATTRIBUTES:
            refuse(f"an attribute this tool does not know, among {sorted(self.raw)}")
        if not is_empty(overlap(self.nullable, message.valid)):
            if self.type == "STRUCT" and not self.array and not is_empty(self.tagged):
                refuse("a nullable struct in a tagged field")
            if self.type not in ("STRUCT", "STRING", "BYTES", "RECORDS") and not self.array:
                refuse(f"a nullable {self.type}")
        if not is_empty(self.tagged):
            if self.tagged[0] < message.flexible_since:
                refuse("tagged in a version that is not flexible")
            if self.tag < 0:
                refuse("tagged without a number")
        if self.raw.get("flexibleVersions") not in (None, "none"):
            refuse("flexible versions of its own")
        if self.array and self.type == "RECORDS":
            refuse("an array of records")
        if self.tap != "NONE" and self.type in ("FLOAT64", "STRUCT") and not self.array:
            refuse("a tap on a struct or float")
        if self.array and self.type == "STRUCT":
            # A count is checked against the bytes left, which presumes that an element takes at least one.
            for version in range(message.valid[0], min(message.valid[1], message.flexible_since - 1) + 1):
                present = self.span[0] <= version <= self.span[1]
                if present and not any(k.span[0] <= version <= k.span[1] for k in self.kids):
                    refuse(f"its elements are empty in version {version}")

    def depth(self):
        return (1 if self.type == "STRUCT" else 0) + max((kid.depth() for kid in self.kids), default=0)


class Message:
    def __init__(self, raw):
        self.name, self.key = raw["name"], raw["apiKey"]
        self.valid = versions(raw["validVersions"])
        if self.valid[1] == MAX or is_empty(self.valid):
            raise Refused(f"{self.name}: valid versions {raw['validVersions']!r}")
        flexible = versions(raw["flexibleVersions"])
        if flexible != NEVER and flexible[1] != MAX:
            raise Refused(f"{self.name}: flexible versions {raw['flexibleVersions']!r}")
        self.flexible_since = MAX if flexible == NEVER else flexible[0]
        self.structs = {struct["name"]: struct["fields"] for struct in raw.get("commonStructs", [])}
        # A struct that is defined in place may be used again by name elsewhere in the message.
        self.collect(raw["fields"])
        self.fields = [Field(self, field, self.name) for field in raw["fields"]]

    def collect(self, fields):
        for field in fields:
            if "fields" in field:
                self.structs.setdefault(field["type"].removeprefix("[]"), field["fields"])
                self.collect(field["fields"])

    def depth(self):
        return 1 + max((field.depth() for field in self.fields), default=0)


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def number(version):
    return "MAX" if version == MAX else str(version)


# --- answers --------------------------------------------------------------------------------------------------

SHARED_FILLS = {("{ERROR}",): "fill_error", ("{MESSAGE}",): "fill_message", ("{THROTTLE}",): "fill_throttle"}


def place(fields, table):
    """Tells every row where in the C file it stands."""
    for index, field in enumerate(fields):
        field.where = f"&{table}[{index}]"
        place(field.kids, f"{table}_{snake(field.name)}")


def find(rows_of_request, name):
    return next((row for row in rows_of_request if row.name == name), None)


def constant(text, span):
    if text == "null":
        return f"{{NOTHING, {span}}}"
    return f"{{TEXT({text}), {span}}}" if text.startswith('"') else f"{{NUMBER({int(text)}), {span}}}"


def echoes(field, words, places):
    """The rows of the request that `words` name, each with the way to it: [(through, from)]."""
    found = []
    for word in words:
        *way, name = word.split(".")
        for rows_of_request in places:
            through = find(rows_of_request, way[0]) if way else None
            row_found = find(through.kids if through else rows_of_request, name)
            if row_found is not None:
                found.append((through, row_found))
    if not found:
        raise Refused(f"{field.path}: nothing in the request is called {' or '.join(words)}")
    for _, source in found:
        structs = field.array and source.array and field.type == "STRUCT"
        element = source.array and not field.array and source.type != "STRUCT"
        if not structs and (field.type != source.type or field.array or (source.array and not element)):
            raise Refused(f"{field.path}: cannot be filled from {source.path}")
        if source.tagged != NEVER:
            raise Refused(f"{field.path}: filled from a tagged field")
    return found


def fill(fields, prefix, spec, places):
    """Sets the fills of these rows of a response; `places` are lists of rows of the request, where it stands."""
    for field in fields:
        path = prefix + field.name
        inner = []
        text, _, limits = spec.pop(path, "").partition("@")
        first, last = versions(limits) if limits else (0, MAX)
        span = f"SPAN({first}, {number(last)})"
        names = next((names for names in NAMES if field.name in names), set()) if prefix else set()
        named = [row.name for rows_of_request in places for row in rows_of_request if row.name in names]
        if text.startswith("="):
            field.fills = [constant(text[1:], span)]
        elif field.name in ERROR_CODES:
            field.fills = ["{ERROR}"]
        elif field.name == "ErrorMessage":
            field.fills = ["{MESSAGE}"]
        elif path == "ThrottleTimeMs":
            field.fills = ["{THROTTLE}"]
        elif text or (named and not field.array):
            for through, source in echoes(field, text.split() or sorted(set(named)), places):
                way = f"THROUGH({through.where}), " if through else ""
                field.fills.append(f"{{{way}ECHO({source.where}), {span}}}")
                inner.append(source.kids or [source])
        if field.fills and field.tagged != NEVER:
            raise Refused(f"{field.path}: a tagged field in an answer")
        if inner:
            fill(field.kids, path + ".", spec, inner)


def has_error(fields):
    """True if one of these rows of a response, in their newest version, tells of an error."""
    return any(field.span[1] == MAX and ("{ERROR}" in field.fills or has_error(field.kids)) for field in fields)


def fill_answer(api, request, response):
    spec = dict(ANSWERS.get(api, {}))
    place(request.fields, snake(request.name))
    fill(response.fields, "", spec, [request.fields])
    if spec:
        raise Refused(f"{api}: no such fields in the response: {sorted(spec)}")
    if not has_error(response.fields):
        raise Refused(f"{api}: ANSWERS does not say where an error goes")


def row(field, kids):
    parts = [f'{"FIELD" if field.flexible else "RIGID"}("{field.name}", {field.type}, {number(field.span[0])}, '
             f'{number(field.span[1])})']
    parts.append("NOT_NULL" if field.nullable == NEVER else "NULLABLE({}, {})".format(*map(number, field.nullable)))
    parts.append("UNTAGGED" if field.tagged == NEVER else
                 "TAGGED({}, {}, {})".format(field.tag, *map(number, field.tagged)))
    if field.array:
        parts.append("ARRAY")
    if field.tap != "NONE":
        parts.append(f"TAP({field.tap})")
    if field.default_int:
        # The least 64-bit number cannot be written as a literal; none is known, so it is not provided for.
        parts.append(f"DEFAULT({field.default_int})")
    if field.default_null:
        parts.append("DEFAULT_NULL")
    if kids:
        parts.append(f"KIDS({kids})")
    if field.fills:
        parts.append(f"FILLS({field.fill_list})")
    return "    {" + ", ".join(parts) + "},"


def rows(fields, name, out):
    """Emits the rows of `fields` under `name`, those of their kids first."""
    if not fields:
        return
    kids = {}
    for field in fields:
        if field.kids:
            kids[field.name] = f"{name}_{snake(field.name)}"
            rows(field.kids, kids[field.name], out)
        field.fill_list = SHARED_FILLS.get(tuple(field.fills)) or f"fill_{name}_{snake(field.name)}"
        if field.fills and field.fill_list not in SHARED_FILLS.values():
            out.append(f"static const struct ps_fill {field.fill_list}[] = {{{', '.join(field.fills)}}};")
    out.append(f"static const struct ps_field {name}[] = {{")
    out.extend(row(field, kids.get(field.name)) for field in fields)
    out.append("};")


def schema(message, out):
    name = snake(message.name)
    rows(message.fields, name, out)
    if not message.fields:  # a pointer to rows all the same, so that the walker needs not ask
        out.append(f"static const struct ps_field {name}[1];")
    body = f"{name}, PS_ARRAY_LEN({name})" if message.fields else f"{name}, 0"
    out.append(f"static const struct ps_schema schema_{name} = {{")
    first, last = message.valid
    out.append(f'    "{message.name}", {first}, {last}, {number(message.flexible_since)}, {body}}};')
    out.append("")


HEAD = '''/* schema_table.c - the fields of every message on Kafka's broker listener, and the list of APIs.
 *
 * Generated by tools/gen_schema.py from the message definitions in kafka-clients; do not edit. A row says in which
 * versions a field exists, may be null, and is a tagged field; MAX stands for "and later". */
#include "penstock/api.h"
#include "penstock/walk.h"

#define MAX INT16_MAX
#define FIELD(n, t, first, last) .name = (n), .type = PS_TYPE_##t, .flexible = true, .since = (first), .until = (last)
#define RIGID(n, t, first, last) .name = (n), .type = PS_TYPE_##t, .flexible = false, .since = (first), .until = (last)
#define NOT_NULL .nullable_since = 1, .nullable_until = 0
#define NULLABLE(first, last) .nullable_since = (first), .nullable_until = (last)
#define UNTAGGED .tagged_since = 1, .tagged_until = 0, .tag = -1
#define TAGGED(number, first, last) .tagged_since = (first), .tagged_until = (last), .tag = (number)
#define ARRAY .array = true
#define TAP(t) .tap = PS_TAP_##t
#define DEFAULT(number) .default_int = INT64_C(number)
#define DEFAULT_NULL .default_null = true
#define KIDS(list) .kids = (list), .kid_count = PS_ARRAY_LEN(list)
#define FILLS(list) .fills = (list), .fill_count = PS_ARRAY_LEN(list)
#define ECHO(row) .kind = PS_FILL_ECHO, .from = (row)
#define THROUGH(row) .through = (row)
#define NUMBER(value) .kind = PS_FILL_NUMBER, .number = (value)
#define TEXT(value) .kind = PS_FILL_TEXT, .text = (value)
#define NOTHING .kind = PS_FILL_NULL
#define SPAN(first, last) .since = (first), .until = (last)

static const struct ps_fill fill_error[] = {{.kind = PS_FILL_ERROR, SPAN(0, MAX)}};
static const struct ps_fill fill_message[] = {{.kind = PS_FILL_MESSAGE, SPAN(0, MAX)}};
static const struct ps_fill fill_throttle[] = {{.kind = PS_FILL_THROTTLE, SPAN(0, MAX)}};
'''


def generate(raw):
    messages = {}
    for name, definition in raw.items():
        if definition["type"] == "request":
            keep = "broker" in definition.get("listeners", []) and definition["validVersions"] != "none"
        else:
            request = raw[name.removesuffix("Response") + "Request"]
            keep = "broker" in request.get("listeners", []) and definition["validVersions"] != "none"
        if keep:
            messages[name] = Message(definition)
    requests = sorted((m for m in messages.values() if m.name.endswith("Request")), key=lambda m: m.key)
    out, apis = [HEAD], []
    for request in requests:
        api = request.name.removesuffix("Request")
        response = messages[api + "Response"]
        if any(getattr(request, what) != getattr(response, what) for what in ("key", "valid", "flexible_since")):
            raise Refused(f"{api}: request and response differ in key, versions or flexible versions")
        fill_answer(api, request, response)
        for message in (request, response):
            schema(message, out)
        least = ADVERTISED_MIN.get(api, request.valid[0])
        schemas = f"&schema_{snake(request.name)}, &schema_{snake(response.name)}"
        apis.append(f'    [{request.key}] = {{"{api}", {request.key}, {least}, {request.valid[1]}, '
                    f'{number(request.flexible_since)}, {schemas}}},')
    depth = max(message.depth() for message in messages.values())
    out.append(f'_Static_assert({depth} <= PS_WALK_DEPTH_MAX, "the walker\'s stack holds the deepest message");')
    out.append("")
    out.append("const struct ps_api ps_api_table[PS_API_KEY_MAX + 1] = {")
    out.extend(apis)
    out.append("};")
    check_taps(messages)
    return "\n".join(out) + "\n"


def check_taps(messages):
    """A tap that names no field is a misspelling, or a field that Kafka renamed."""
    def paths(fields):
        for field in fields:
            yield field.path
            yield from paths(field.kids)
    known = {path for message in messages.values() for path in paths(message.fields)}
    missing = sorted(set(TAPS) - known)
    if missing:
        raise Refused("taps without a field: " + ", ".join(missing))


# One field each that walk.c could not read, or not safely.
UNREADABLE = [
    {"name": "A", "type": "varint", "versions": "0+"},
    {"name": "A", "type": "[]records", "versions": "0+"},
    {"name": "A", "type": "int32", "versions": "0+", "nullableVersions": "0+"},
    {"name": "A", "type": "int32", "versions": "0+", "taggedVersions": "0+", "tag": 0},
    {"name": "A", "type": "int32", "versions": "1+", "taggedVersions": "1+"},
    {"name": "A", "type": "string", "versions": "0-x"},
    {"name": "A", "type": "string", "versions": "0+", "flexibleVersions": "2+"},
    {"name": "A", "type": "string", "versions": "0+", "novelty": True},
    {"name": "A", "type": "[]S", "versions": "0+", "fields": [{"name": "B", "type": "int8", "versions": "1+"}]},
    {"name": "A", "type": "S", "versions": "1+", "nullableVersions": "1+", "taggedVersions": "1+", "tag": 0,
     "fields": [{"name": "B", "type": "int8", "versions": "1+"}]},
]


def self_test():
    def message(field, **more):
        return Message({"name": "TestRequest", "apiKey": 0, "validVersions": "0-1", "flexibleVersions": "1+",
                        "fields": [field], **more})
    good = {"name": "A", "type": "string", "versions": "0+", "about": "see http://kafka.apache.org // not a comment"}
    assert json.loads(strip_comments(json.dumps(good) + " // a comment")) == good
    message(good)
    cases = [(field, {}) for field in UNREADABLE]
    cases += [(good, {"validVersions": "0+"}), (good, {"validVersions": "none"}), (good, {"flexibleVersions": "0-1"})]
    for field, more in cases:
        try:
            message(field, **more)
        except Refused:
            continue
        sys.exit(f"gen_schema: not refused: {field} {more}")
    refuses("taps without fields", check_taps, {})
    # Answers: a response whose errors stand in an array, which echoes one of the request's.
    def field(name, kind, *fields, **more):
        return {"name": name, "type": kind, "versions": "0+", **({"fields": list(fields)} if fields else {}), **more}
    def answer(spec, *response):
        ANSWERS["Test"] = spec
        fill_answer("Test", message(field("Topics", "[]T", field("Name", "string"), field("Ids", "[]int32"))),
                    message(field("Results", "[]R", field("Name", "string"), *response)))
    error = field("ErrorCode", "int16")
    answer({"Results": "Topics"}, error)
    refuses("an answer without an error", answer, {"Results": "Topics"})
    refuses("an error that is never written", answer, {}, error)
    refuses("an answer to no field", answer, {"Results": "Topics", "Other": "Topics"}, error)
    refuses("an echo of no field", answer, {"Results": "Groups"}, error)
    refuses("an echo of another type", answer, {"Results": "Topics", "Results.Size": "Name"}, error,
            field("Size", "int32"))
    refuses("a tagged field in an answer", answer, {"Results": "Topics"},
            field("ErrorCode", "int16", taggedVersions="1+", tag=0))


def refuses(what, call, *args):
    try:
        call(*args)
    except Refused:
        return
    sys.exit(f"gen_schema: not refused: {what}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", nargs="?", help="kafka-clients-X.Y.Z.jar, or a directory of definitions")
    parser.add_argument("--out", default=str(TABLE), help="file to write (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--self-test", action="store_true", help="check the tool itself")
    args = parser.parse_args()
    if args.self_test:
        self_test()
        return
    if args.source is None:
        parser.error("which jar?")
    try:
        text = generate(load(args.source))
    except (Refused, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"gen_schema: {error}")
    if not args.check:
        pathlib.Path(args.out).write_text(text)
        return
    old = pathlib.Path(args.out).read_text()
    diff = list(difflib.unified_diff(old.splitlines(), text.splitlines(), args.out, "generated", lineterm=""))
    if diff:
        print("\n".join(diff))
        sys.exit(1)


if __name__ == "__main__":
    main()
