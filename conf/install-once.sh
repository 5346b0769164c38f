#!/bin/sh
# SPDX-License-Identifier: MIT
# install-once.sh FILE DIRECTORY: installs the file unless there is one of this name.
set -eu
target=${DESTDIR:-}$2/$(basename "$1")
if [ -e "$target" ] || [ -L "$target" ]; then
	echo "$target is kept as it is"
else
	install -D -m 0644 "$1" "$target"
fi
