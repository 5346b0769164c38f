#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds brickd in four ways under build/ and runs all tests. The last line says
# "N passed, N failed"; the exit status is 0 only if something passed and nothing failed.
#
#   run.sh --packages   runs only what takes minutes and seldom changes: the Debian packages, the
#                       image for containers, and what Kubernetes' tools say of conf/kubernetes
#   run.sh --clients    runs only what takes minutes to compile: clients of gRPC in Go and Rust, and a
#                       collector of OpenTelemetry
#   run.sh --debian13   runs the tests of one build on Debian 13
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # Debian's meson and python3 before any other

# use_sigaltstack=0: workers have signal stacks of their own, to name the brick that crashed
export ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1:use_sigaltstack=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1

case ${1-} in
'' | --packages | --clients) ;;
--debian13) exec tests/debian13.sh ;;
*)
	echo 'usage: run.sh [--packages | --clients | --debian13]' >&2
	exit 64
	;;
esac

tests/deps.sh "$@" || exit 1
jobs=$(nproc)
builds=

# build NAME CC MESON-OPTION... -- MESON-TEST-OPTION...
build() {
	dir=build/$1 CC=$2
	case $CC in
	clang) CXX=clang++ ;;
	*) CXX=g++ ;;
	esac
	export CC CXX
	shift 2
	setup=
	while [ "$1" != -- ]; do
		setup="$setup $1"
		shift
	done
	shift
	builds="$builds $dir"
	rm -f "$dir/meson-logs/testlog.json"

	echo "== $dir: $* =="
	# shellcheck disable=SC2086 # a list of words
	{ [ -e "$dir/build.ninja" ] || meson setup --werror $setup "$dir" >"$dir.log" 2>&1; } &&
		ninja -C "$dir" -j "$jobs" "${target:-all}" >"$dir.log" 2>&1 || {
		tail -n 30 "$dir.log"
		return
	}
	# most tests wait more than they work
	meson test -C "$dir" --no-rebuild --num-processes $((jobs * 3)) "$@"
}

mkdir -p build
if [ $# = 1 ]; then
	build gcc gcc -- --suite "${1#--}"
	exec tests/report.py build/gcc
fi
build gcc gcc -- --timeout-multiplier 2 --no-suite packages --no-suite clients
# links a hundred programs in a third of the time
export CC_LD=gold CXX_LD=gold
lines='-Ddebug=false -Dc_args=-g1' # all that a report of a sanitizer shows
# shellcheck disable=SC2086 # a list of words, here and below
build asan gcc $lines -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -- \
	--timeout-multiplier 4 --suite unit --suite module --suite fuzz --suite integration
# by the other compiler, which has warnings of its own
build tsan clang $lines -Db_sanitize=thread -Db_lundef=false -- \
	--timeout-multiplier 8 --suite unit --suite module
# each fuzzer searches for FUZZ_SECONDS, 3 by default
target=fuzzers
build fuzz clang $lines -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -- \
	--suite libfuzzer

# shellcheck disable=SC2086
exec tests/report.py $builds
