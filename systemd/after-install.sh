#!/bin/sh
# SPDX-License-Identifier: MIT
# Does what a package does after it has installed the files: creates the user and its directory, and
# makes systemd load the unit. Does nothing for a staging directory.
set -eu
[ -z "${DESTDIR:-}" ] || exit 0

systemd-sysusers brickd.conf
systemd-tmpfiles --create brickd.conf
[ ! -d /run/systemd/system ] || systemctl daemon-reload
