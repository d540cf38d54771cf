#!/bin/sh
# Checks what a tool of ours makes of messages with Kafka's own classes.
#
#     kafka_check.sh WireCheck WIRE_TOOL JARS [SEED [ROUNDS | MESSAGE]]    the protocol layer
#     kafka_check.sh SampleCheck SAMPLE_TOOL JARS [SEED [BATCHES]]         sampled batches
#
# The check is a class of tests/java, its tool in tests/support of a build; JARS a directory with kafka-clients (of the
# version that protocol/schema_table.c was generated from), slf4j-api, and the codecs that SampleCheck uses. Without a
# seed, or with 0, every run takes another, and says which; a failure of WireCheck shows its message, and how to see it
# alone. Without ROUNDS it is 100,000 messages.
set -eu
check=$1
tool=$2
jars=$3
seed=${4:-0}
[ "$seed" != 0 ] || seed=$(date +%s%N)
[ $# -lt 4 ] || shift
shift 3
java=$(CDPATH='' cd -- "$(dirname -- "$0")/../java" && pwd)
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -cp "$jars/*" -sourcepath "$java" -d "$classes" "$java/$check.java"
java -Xmx1g -cp "$classes:$jars/*" "$check" "$tool" "$seed" "$@"
