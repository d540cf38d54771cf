#!/bin/sh
# Checks the protocol layer against Kafka's own message classes (tests/java/WireCheck.java).
#
#     wire_check.sh WIRE_TOOL JARS [SEED [ROUNDS | MESSAGE]]
#
# WIRE_TOOL is tests/support/wire_tool of a build; JARS a directory with kafka-clients (of the version that
# protocol/schema_table.c was generated from), slf4j-api. Without a seed, or with 0, every run takes another, and says
# which; a failure shows its message, and how to see it alone. Without ROUNDS it is 100,000 messages.
set -eu
tool=$1
jars=$2
seed=${3:-0}
[ "$seed" != 0 ] || seed=$(date +%s%N)
[ $# -lt 3 ] || shift
shift 2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -cp "$jars/*" -d "$classes" "$here"/../java/WireCheck.java "$here"/../java/WireMessages.java \
    "$here"/../java/WireTree.java "$here"/../java/ParcelCheck.java
java -Xmx1g -cp "$classes:$jars/*" WireCheck "$tool" "$seed" "$@"
