#!/bin/sh
# Checks sampled batches with Kafka's own classes (tests/java/SampleCheck.java).
#
#     sample_check.sh SAMPLE_TOOL JARS [SEED [BATCHES]]
#
# SAMPLE_TOOL is tests/support/sample_tool of a build; JARS a directory with kafka-clients and the codecs that it uses.
# Without a seed, or with 0, every run takes another, and says which.
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
javac -cp "$jars/*" -d "$classes" "$here/../java/SampleCheck.java"
java -Xmx1g -cp "$classes:$jars/*" SampleCheck "$tool" "$seed" "$@"
