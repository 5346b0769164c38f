#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes an image for containers of a package that build-deb.sh has made, without a daemon:
#   conf/packaging/build-image.sh brickd_VERSION_ARCHITECTURE.deb IMAGE.tar
# IMAGE.tar is an OCI archive: `podman load -i IMAGE.tar`, or `skopeo copy oci-archive:IMAGE.tar …`.
# IMAGE.tar.spdx.json says what is in it.
# It needs mmdebstrap and a mirror of Debian's packages.
set -eu
[ $# = 2 ] || {
	echo "usage: build-image.sh brickd_VERSION_ARCHITECTURE.deb IMAGE.tar" >&2
	exit 64
}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# the same package and the same mirror make the same image
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l "$here/debian/changelog" -S Timestamp)
export SOURCE_DATE_EPOCH

# What the package needs to run, but nothing that only installs it.
libraries=$(dpkg-deb --field "$1" Depends | tr , '\n' | sed 's/ *(.*//; s/ //g' | grep -v systemd'$\|systemd|')
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mmdebstrap --quiet --variant=extract --include="$(echo $libraries ca-certificates | tr ' ' ,)" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--extract-hook="$here/image/complete.sh \"\$1\" $(readlink -f "$1")" "$suite" "$work/root.tar"
/usr/bin/python3 "$here/image/oci.py" "$work/root.tar" "$(dpkg-deb --field "$1" Version)" \
	"$(dpkg-deb --field "$1" Architecture)" "$2"
/usr/bin/python3 "$here/sbom.py" "$2"
