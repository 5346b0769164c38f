#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages of the commit that is checked out, into the folder DIRECTORY:
#   conf/packaging/build-deb.sh DIRECTORY
# and brickd_VERSION_ARCHITECTURE.spdx.json, which says what they are made of. As root,
# `apt-get build-dep ./conf/packaging` installs what this needs. Two runs make the same packages.
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

# what it says only matters if it fails
quietly() {
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
}

quietly meson setup -Dtests=false "$work/dist"
quietly meson dist -C "$work/dist" --formats xztar --no-tests
archive=$(basename "$work"/dist/meson-dist/*.tar.xz)
version=${archive#brickd-}
version=${version%.tar.xz}

changelog=conf/packaging/debian/changelog
[ "$(dpkg-parsechangelog -l $changelog -S Version)" = "$version-1" ] || {
	echo "build-deb.sh: $changelog is not of $version-1, which meson.build says" >&2
	exit 1
}

SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l $changelog -S Timestamp)
export SOURCE_DATE_EPOCH

# meson's archive has the time at which it was made, and the modes of that user's umask
tar -C "$work" -xf "$work/dist/meson-dist/$archive"
tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX \
	-cJf "$work/brickd_$version.orig.tar.xz" "brickd-$version"
cp -r "$work/brickd-$version/conf/packaging/debian" "$work/brickd-$version/debian"
(cd "$work/brickd-$version" && quietly dpkg-buildpackage --unsigned-source --unsigned-changes)
mv "$work"/brickd* "$target" 2>/dev/null || :
rm -rf "$target/brickd-$version"
/usr/bin/python3 conf/packaging/sbom.py "$target/brickd_$version-1_$(dpkg --print-architecture).buildinfo"
ls "$target"
