#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages of the commit that is checked out, into the folder DIRECTORY:
#   conf/packaging/build-deb.sh DIRECTORY
# It needs the packages that conf/packaging/debian/control names as Build-Depends, and dpkg-dev.
# Two runs make the same packages.
set -eu
[ $# = 1 ] || {
	echo "usage: build-deb.sh DIRECTORY" >&2
	exit 64
}
mkdir -p "$1"
target=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # Debian's meson and python3 before any other

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
meson setup -Dtests=false "$work/dist" >/dev/null
meson dist -C "$work/dist" --formats xztar --no-tests >/dev/null
archive=$(basename "$work"/dist/meson-dist/*.tar.xz)
version=${archive#brickd-}
version=${version%.tar.xz}

cp "$work/dist/meson-dist/$archive" "$work/brickd_$version.orig.tar.xz"
tar -C "$work" -xf "$work/brickd_$version.orig.tar.xz"
cp -r "$work/brickd-$version/conf/packaging/debian" "$work/brickd-$version/debian"
(cd "$work/brickd-$version" && dpkg-buildpackage --unsigned-source --unsigned-changes >"$work/log" 2>&1) || {
	cat "$work/log" >&2
	exit 1
}
mv "$work"/brickd* "$target" 2>/dev/null || :
rm -rf "$target/brickd-$version"
ls "$target"
