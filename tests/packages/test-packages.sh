#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages, has lintian judge them, and installs, upgrades, removes and purges them
# on a booted machine. Makes an image for containers of them, and runs it. What a machine does not
# allow or have is said and left out: test-packages.sh SOURCE_DIR BUILD_DIR
set -eu
source=$1
debs=$2/tests/packages/debs
lab=$source/tests/systemd/lab.sh

skip() {
	echo "skipped: $*"
	exit 77
}

command -v dpkg-buildpackage >/dev/null || skip 'dpkg-dev is not installed'
git -C "$source" rev-parse --git-dir >/dev/null 2>&1 || skip 'not a checkout of git'
reason=$(dpkg-checkbuilddeps "$source/conf/packaging/debian/control" 2>&1) || skip "$reason"
grep -q '^PRETTY_NAME="Debian' /etc/os-release || skip 'not Debian'

rm -rf "$debs"
"$source/conf/packaging/build-deb.sh" "$debs"
if command -v lintian >/dev/null; then
	lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$debs"/*.changes
else
	echo 'lintian is not installed: the packages have not been judged'
fi
status=0
"$lab" -b "$debs:/lab/debs" -b "$source/tests/packages:/lab/tests" 'sh -eux /lab/tests/drive.sh' || status=$?
[ $status = 0 ] || [ $status = 77 ] || exit $status

status=0
/usr/bin/python3 "$source/tests/packages/test_image.py" "$source" "$2" || status=$?
[ $status = 77 ] || exit $status
