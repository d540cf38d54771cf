#!/bin/sh
# Checks the protocol layer against Kafka's own message classes (tests/java/WireCheck.java).
#
#     wire_check.sh WIRE_TOOL JARS [SEED [ROUNDS]]
#
# WIRE_TOOL is tests/support/wire_tool of a build; JARS a directory with kafka-clients (of the version that
# protocol/schema_table.c was generated from), slf4j-api. Without a seed it is 1, so that every run is the same.
set -eu
tool=$1
jars=$2
shift 2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
exec java -cp "$jars/*" "$here/../java/WireCheck.java" "$tool" "$@"
