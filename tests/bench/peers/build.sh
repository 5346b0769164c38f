#!/bin/sh
# SPDX-License-Identifier: MIT
# build.sh [--apt] [DIR]: builds the peers that need more than tests/deps.sh installs, those whose tools are there,
# into build/peers or another directory. Each becomes a program DIR/NAME, to be called with a port.
# --apt first installs the Debian 12 packages of all of them.
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
go_code=/usr/share/gocode
crates=/usr/share/cargo/registry

install_packages() {
	packages='
		g++ libgrpc++-dev pkg-config protobuf-compiler protobuf-compiler-grpc
		golang-go golang-google-grpc-dev golang-goprotobuf-dev
		librust-bytes-dev librust-h2-dev librust-http-dev librust-prost-derive-dev librust-prost-dev
		librust-tokio-dev
		caddy haproxy nginx-light
	'
	# these may be there from elsewhere
	command -v npm >/dev/null || packages="$packages nodejs npm"
	command -v cargo >/dev/null || packages="$packages cargo"
	root=
	[ "$(id -u)" = 0 ] || root=sudo
	$root apt-get -q update || return
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $packages
}

# Each of these runs in a folder of its own, $parts, that was empty.

build_cpp() {
	flags=$(pkg-config --cflags --libs grpc++ protobuf) || return
	protoc -I"$proto" --cpp_out=. --grpc_out=. --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
		$llm $common || return
	g++ -O2 -std=c++17 -Wall -I. -o "$out/cpp" "$here/cpp.cc" protocols/grpc/*/*.cc $flags
}

build_go() {
	map=M$common=protocols/grpc/common,M$llm=protocols/grpc/llm
	map=$map,Mgoogle/protobuf/struct.proto=github.com/golang/protobuf/ptypes/struct
	mkdir -p src/peer && cp "$here/go.go" src/peer || return
	for file in $common $llm; do
		protoc -I"$proto" --go_out=plugins=grpc,$map:src $file || return
	done
	GO111MODULE=off GOFLAGS='' GOPATH=$parts:$go_code GOCACHE=$parts/cache go build -o "$out/go" peer
}

build_node() {
	cp "$here"/node/* . && npm ci --ignore-scripts --no-audit --no-fund || return
	cat >"$out/node" <<-END
		#!/bin/sh
		exec node "$parts/server.js" "\$1" "$proto"
	END
	chmod +x "$out/node"
}

build_rust_h2() {
	cp -r "$here"/rust-h2/* . && mkdir .cargo || return
	cat >.cargo/config.toml <<-END
		[source.crates-io]
		replace-with = "debian"
		[source.debian]
		directory = "$crates"
	END
	CARGO_TARGET_DIR=target cargo build --release --offline && cp target/release/rust-h2 "$out"
}

# peer NAME NEEDS...: says what became of it. NEEDS: programs, and files by their absolute paths.
peer() {
	name=$1
	shift
	parts=$out/parts/$name
	rm -rf "$parts" "${out:?}/$name"
	for need; do
		if ! [ -e "$need" ] && ! command -v "$need" >/dev/null; then
			echo "$name: skipped: no $need (build.sh --apt installs it)"
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
peer go go protoc protoc-gen-go $go_code/src/google.golang.org/grpc
peer node node npm
peer rust-h2 cargo $crates/h2-0.3* $crates/tokio-1.* $crates/prost-0.11*
exit $status
