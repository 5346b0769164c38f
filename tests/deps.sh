#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the packages of Debian 12 or 13 that the build and the tests need, with
# --packages also what makes and tries the packages. Silent if all are there. What the build needs without
# the tests is in the first four lines of the list; those of the three bricks that need a library are in the fifth.
set -eu

packages='
	gcc g++ libc6-dev meson ninja-build pkg-config python3 scdoc systemd
	libgrpc-dev libprotobuf-dev libprotobuf-c-dev protobuf-compiler protobuf-c-compiler
	libcurl4-openssl-dev libjansson-dev libmicrohttpd-dev libncurses-dev libpcre2-dev libsqlite3-dev
	libssl-dev libsystemd-dev libyaml-dev zlib1g-dev
	libcmark-gfm-dev libcmark-gfm-extensions-dev libhunspell-dev libopencc-dev
	codespell hunspell-de-de hunspell-en-us
	clang clang-format libclang-rt-dev
	pycodestyle pyflakes3 python3-grpcio python3-jsonschema python3-protobuf python3-venv python3-yaml
	bash-completion caddy curl groff-base haproxy iproute2 libnghttp2-dev libnginx-mod-stream man-db nghttp2-client nginx
	openssl poppler-utils procps prometheus strace util-linux valgrind
'
[ "${1-}" != --packages ] || packages="$packages
	autopkgtest crun debhelper dpkg-dev git lintian mmdebstrap piuparts runc"
# systemd.pc is in systemd itself there
release=$(. /etc/os-release && echo "$ID $VERSION_ID")
[ "$release" = 'debian 12' ] || packages="$packages systemd-dev"
# npm comes with nodejs where that is not Debian's; any Go will do
command -v npm >/dev/null || packages="$packages nodejs npm"
command -v go >/dev/null || packages="$packages golang-go"

# shellcheck disable=SC2086 # a list of words, here and below
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package} ' $packages 2>/dev/null || :)
missing=
for package in $packages; do
	case " $installed" in
	*" ii $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	root=
elif ! command -v sudo >/dev/null; then
	echo "deps.sh: run this as root, or install sudo, or install:$missing" >&2
	exit 1
elif [ -t 0 ]; then
	root=sudo
else
	root='sudo -n' # nobody is there to type a password
fi

apt() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" \
		</dev/null >"$log" 2>&1 || {
		cat "$log" >&2
		echo "deps.sh: apt-get $1 failed" >&2
		exit 1
	}
}

echo "installing:$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt update
# Tests run these as they need them. The packages would start others, now and at every boot.
for service in caddy haproxy nginx prometheus; do
	unit=/etc/systemd/system/$service.service
	case "$missing " in
	*" $service "*) ;;
	*) continue ;;
	esac
	if [ ! -e $unit ] && [ ! -L $unit ]; then
		$root mkdir -p /etc/systemd/system
		$root ln -s /dev/null $unit
		echo "deps.sh: the service $service is masked; systemctl unmask $service undoes that" >&2
	fi
done
# shellcheck disable=SC2086
apt install --no-install-recommends $missing
