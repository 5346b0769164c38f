#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages twice, has lintian and SPDX's tools judge them, and installs, upgrades, removes
# and purges them on a booted machine. What a machine does not allow or have is said and left out:
# test-packages.sh SOURCE_DIR BUILD_DIR
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
/usr/bin/python3 "$source/tests/packages/test_spdx.py" "$2" "$debs"/*.spdx.json

# Elsewhere, to another administrator, at another time: the same packages.
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
(umask 027 && TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 LANGUAGE=de "$source/conf/packaging/build-deb.sh" "$again" >/dev/null)
for file in "$debs"/*.deb "$debs"/*.orig.tar.xz "$debs"/*.spdx.json; do
	cmp "$file" "$again/${file##*/}"
done

status=0
"$lab" -b "$debs:/lab/debs" -b "$source/tests/packages:/lab/tests" 'sh -eux /lab/tests/drive.sh' || status=$?
[ $status = 77 ] || exit $status
