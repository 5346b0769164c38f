#!/bin/sh
# SPDX-License-Identifier: MIT
# test-install.sh BUILD SOURCE VERSION: installs BUILD into an empty directory, looks for every file that
# belongs there, and uses what is there as somebody who writes a module does.
set -eu
build=$1 source=$2 version=$3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
status=0

meson install --no-rebuild --quiet -C "$build" --destdir "$root"

while read -r file; do
	# the folder of units, before Debian 13
	[ -e "$root/$file" ] || [ -e "$root/${file#usr/}" ] || {
		echo "not installed: $file"
		status=1
	}
done <"$source/files"

# A second installation keeps what the administrator has changed, and so does its removal.
echo '# my own' >>"$root/etc/brickd/brickd.yaml"
meson install --no-rebuild --quiet -C "$build" --destdir "$root" >/dev/null
grep -q '# my own' "$root/etc/brickd/brickd.yaml" || {
	echo "a second installation replaces /etc/brickd/brickd.yaml"
	status=1
}
if grep -q "/etc/brickd/brickd.yaml\$" "$build/meson-logs/install-log.txt"; then
	echo "ninja uninstall deletes /etc/brickd/brickd.yaml"
	status=1
fi

# The modules see nothing but the installed files.
PKG_CONFIG_PATH=$root/usr/lib/pkgconfig
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR="$root"
warnings='-Wall -Wextra -Wpedantic -Wwrite-strings -Wno-unused-parameter -Werror'
build_module() { # NAME PACKAGE
	# shellcheck disable=SC2046,SC2086 # lists of words
	cc -std=c17 $warnings -shared -fPIC -Wl,--no-undefined \
		-o "$root/$1.so" "$source/$1.c" $(pkg-config --cflags --libs "$2")
}
build_module shout brickd
build_module words brickd-yaml
# The headers, each macro of them, make no warning in any language that they are for.
check_headers() { # COMPILER STANDARD SOURCE
	# shellcheck disable=SC2046,SC2086 # lists of words
	"$1" -std="$2" $warnings -Wcast-qual -Wconversion -fsyntax-only "$source/$3" \
		$(pkg-config --cflags brickd-yaml) || {
		echo "the headers make warnings in $2"
		status=1
	}
}
check_headers cc c11 pedantic.c
check_headers cc c17 pedantic.c
check_headers c++ c++11 pedantic.cc

ldd "$root/shout.so" | grep libyaml && {
	echo "a module without YAML has libyaml"
	status=1
}

BRICKD_WORKER=$root/usr/libexec/brickd/brickd-worker
export BRICKD_WORKER
for name in shout words; do
	"$root/usr/bin/brickd" --inspect "$root/$name.so" >"$root/inspect"
	for word in $name 1.0 rectify; do
		grep -qi "$word" "$root/inspect" || {
			echo "brickd --inspect does not say $word:"
			cat "$root/inspect"
			status=1
		}
	done
done

# The first line of --version is for programs, the others are for people.
look() { # PROGRAM PATTERN...: each pattern is a line of what it says of its version
	program=$1
	shift
	"$root/usr/bin/$program" --version >"$root/version"
	[ "$(head -n 1 "$root/version")" = "$program $version" ] || {
		echo "$program --version does not begin with its version $version:"
		cat "$root/version"
		status=1
	}
	for pattern; do
		grep -qxE "$pattern" "$root/version" || {
			echo "$program --version does not say $pattern:"
			cat "$root/version"
			status=1
		}
	done
}
both='[0-9][0-9.a-z]*, built with [0-9a-z][0-9.a-z]*'
look brickd "worker: +$version" 'brick ABI: +1\.[0-9]+' "gRPC core: +$both" "libyaml: +$both" "OpenSSL: +$both" \
	'libsystemd: +built with [0-9]+.*' 'bricks: .*echo, guard-rules \(libpcre2.* openai \(libcurl .*' \
	'left out: .*' 'sanitizers: +none'
look brickctl "gRPC core: +$both" "OpenSSL: +$both"
exit $status
