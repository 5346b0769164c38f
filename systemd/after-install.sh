#!/bin/sh
# SPDX-License-Identifier: MIT
# What a package would do after it has put the files in place: make the user and its directory, and
# tell systemd of the unit. Nothing in a staging directory.
set -eu
[ -z "${DESTDIR:-}" ] || exit 0

systemd-sysusers brickd.conf
systemd-tmpfiles --create brickd.conf
[ ! -d /run/systemd/system ] || systemctl daemon-reload
