#!/bin/sh
# SPDX-License-Identifier: MIT
# build.sh [--apt] [DIR]: builds the peers that need more than tests/deps.sh installs, those whose tools are there,
# into build/peers or another directory. Each becomes a program DIR/NAME, to be called with a port. What they are made
# of comes from the Go proxy, crates.io and npm, in the versions that are fixed here.
# --apt first installs the Debian packages of all of them; Go and Rust are too old there, get them from their makers.
# shellcheck disable=SC2086,SC2317 # lists of words; functions that peer() calls
set -u

apt=
if [ "${1:-}" = --apt ]; then
	apt=yes
	shift
fi
case ${1:-} in
-*)
	echo 'usage: build.sh [--apt] [DIR]' >&2
	exit 2
	;;
esac
here=$(cd "$(dirname "$0")" && pwd) || exit 1
source=$(cd "$here/../../.." && pwd) || exit 1
out=${1:-$source/build/peers}
mkdir -p "$out/parts" && out=$(cd "$out" && pwd) || exit 1

proto=$source/proto
llm=protocols/grpc/llm/llm.proto
common=protocols/grpc/common/common.proto
# where the makers of Go and Rust put theirs, which are newer than Debian's
PATH=/usr/local/go/bin:$HOME/.cargo/bin:$PATH

install_packages() {
	packages='
		g++ libgrpc++-dev pkg-config protobuf-compiler protobuf-compiler-grpc python3-uvloop
		caddy haproxy nginx-light
	'
	# it may be there from elsewhere, and newer
	command -v npm >/dev/null || packages="$packages nodejs npm"
	root=
	[ "$(id -u)" = 0 ] || root=sudo
	$root apt-get -q update || return
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $packages
}

# Each of these runs in a folder of its own, $parts, that was empty.

build_cpp() {
	flags=$(pkg-config --cflags --libs grpc++ protobuf absl_synchronization) || return
	protoc -I"$proto" --cpp_out=. --grpc_out=. --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
		$llm $common || return
	g++ -O2 -std=c++17 -Wall -I. -o "$out/cpp" "$here/cpp.cc" protocols/grpc/*/*.cc $flags
}

build_go() {
	map=module=peer,M$common=peer/protocols/grpc/common,M$llm=peer/protocols/grpc/llm
	cp "$here"/go/* . && mkdir bin || return
	go build -o bin google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc || return
	PATH=$parts/bin:$PATH protoc -I"$proto" --go_out=$map:. --go-grpc_out=$map:. $llm $common || return
	go build -buildvcs=false -o "$out/go" .
}

# --max-semi-space-size: what a call makes dies young, and is not moved to the old heap before.
build_node() {
	cp "$here"/node/* . && npm ci --ignore-scripts --no-audit --no-fund || return
	cat >"$out/node" <<-END
		#!/bin/sh
		exec node --max-semi-space-size=64 "$parts/server.js" "\$1" "$proto"
	END
	chmod +x "$out/node"
}

build_rust_h2() {
	cp -r "$here"/rust-h2/* . && CARGO_TARGET_DIR=target cargo build --release --locked || return
	cp target/release/rust-h2 "$out"
}

# has NEED: a program, a file by its absolute path, or PROGRAM=VERSION, or newer.
has() {
	case $1 in
	*=*)
		command -v "${1%=*}" >/dev/null || return
		found=$("${1%=*}" version | grep -o '[0-9][0-9.]*' | head -n 1)
		[ "$(printf '%s\n' "${1#*=}" "$found" | sort -V | head -n 1)" = "${1#*=}" ]
		;;
	*)
		[ -e "$1" ] || command -v "$1" >/dev/null
		;;
	esac
}

# peer NAME NEEDS...: says what became of it.
peer() {
	name=$1
	shift
	parts=$out/parts/$name
	rm -rf "$parts" "${out:?}/$name"
	for need; do
		if ! has "$need"; then
			echo "$name: skipped: no $need"
			return
		fi
	done
	mkdir "$parts" || exit 1
	if (cd "$parts" && "build_$(echo "$name" | tr - _)") >"$parts.log" 2>&1 </dev/null; then
		echo "$name: built"
	else
		echo "$name: failed: see $parts.log"
		status=1
	fi
}

if [ -n "$apt" ]; then
	install_packages || exit 1
fi
status=0
peer cpp g++ pkg-config protoc grpc_cpp_plugin /usr/include/grpcpp/grpcpp.h
peer go go=1.21 protoc
peer node node npm
peer rust-h2 cargo=1.85
exit $status
