#!/bin/sh
# SPDX-License-Identifier: MIT
# In a new Debian that has nothing but what the packages depend on: autopkgtest installs those that
# test-packages.sh has made, on a booted machine, and runs debian/tests; piuparts installs, upgrades, removes
# and purges them, and looks for what they leave behind: test-fresh.sh SOURCE_DIR BUILD_DIR
set -eu
source=$1
debs=$2/tests/packages/debs
lab=$source/tests/systemd/lab.sh

skip() {
	echo "skipped: $*"
	exit 77
}

for program in autopkgtest mmdebstrap piuparts; do
	command -v $program >/dev/null || skip "there is no $program"
done
[ "$(id -u)" = 0 ] || skip 'not root'
[ -e "$(echo "$debs"/brickd_*.changes)" ] || skip 'test-packages.sh has made no packages'
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"

# An older version of the packages, to be upgraded, where apt finds it.
mkdir "$work/old"
depends=
for package in brickd brickd-dev brickd-python; do
	dpkg-deb --raw-extract "$debs/$package"_*.deb "$work/$package"
	sed -i '/^Version:/s/$/~old/; /^Depends:/s/\(brickd (>= [^)]*\))/\1~old)/' "$work/$package/DEBIAN/control"
	dpkg-deb --build -Znone "$work/$package" "$work/old" >/dev/null
	depends="$depends,$(dpkg-deb --field "$debs/$package"_*.deb Depends)"
done
(cd "$work/old" && dpkg-scanpackages . >Packages 2>/dev/null)

# of alternatives, the first
depends=$(echo "$depends" | tr , '\n' | sed 's/ *[(|].*//; s/ //g; /^brickd/d' | sort -u | paste -sd ,)
mmdebstrap --quiet --variant=minbase --include="autopkgtest${depends:+,}$depends" "$suite" "$work/root"

dpkg-source --extract "$debs"/brickd_*.dsc "$work/source" >/dev/null 2>&1
: >"$work/source/debian/files"         # so that it counts as built
: >"$work/root/etc/apt/sources.list" # the machine has no network
status=0
LAB_SECONDS=300 "$lab" -r "$work/root" -b "$debs:/lab/debs" -b "$work/source:/lab/source" \
	'autopkgtest --quiet /lab/debs/*.deb /lab/source -- null' || status=$?
[ $status = 0 ] || [ $status = 77 ] || exit $status

echo "deb [trusted=yes] file:$work/old ./" >"$work/root/etc/apt/sources.list"
# what it ignores is apt-utils', which autopkgtest needs
piuparts --existing-chroot="$work/root" --distribution="$suite" --keep-sources-list --no-eatmydata \
	--ignore=/var/cache/debconf/tmp.ci/ --bindmount="$work/old" --single-changes-list "$debs"/brickd_*.changes \
	>"$work/log" || {
	cat "$work/log"
	exit 1
}
sed -n 's/.*\(PASS: \)/piuparts: \1/p' "$work/log"
grep -q 'PASS: Installation, upgrade and purging' "$work/log"
