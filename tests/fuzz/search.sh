#!/bin/sh
# SPDX-License-Identifier: MIT
# Lets a fuzzer search for new inputs, from its corpus on: search.sh FUZZER CORPUS. What it finds
# that crashes is printed, to be added to the corpus. FUZZ_SECONDS: for how long.
set -eu
fuzzer=$1 corpus=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/found"
# SQLite reserves, and does not use, as much as a damaged file asks for
if ! "$fuzzer" -max_total_time="${FUZZ_SECONDS:-3}" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=4096 \
	-artifact_prefix="$work/" -print_final_stats=1 "$work/found" "$corpus" >"$work/log" 2>&1; then
	tail -n 80 "$work/log"
	for file in "$work"/*-*; do
		echo "$file:"
		base64 "$file"
	done
	exit 1
fi
tail -n 8 "$work/log"
