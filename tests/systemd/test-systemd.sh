#!/bin/sh
# SPDX-License-Identifier: MIT
# test-systemd.sh BUILD SOURCE: installs BUILD into a lab and drives it there.
set -eu
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
meson install --no-rebuild --quiet -C "$1" --destdir "$stage"
"$2/lab.sh" -b "$stage:/stage" -b "$2:/tests" -b "$2/../integration:/integration" -b "$2/../../systemd:/systemd" \
	/tests/drive.sh
