#!/bin/sh
# SPDX-License-Identifier: MIT
# format.sh ROOT: every C file is as clang-format leaves it. By the version of Debian 12: others differ.
clang-format --version | grep -q 'version 14\.' || {
	echo "skipped: not clang-format 14"
	exit 77
}
cd "$1" && find src tests -name '*.[ch]' -exec clang-format --dry-run -Werror {} +
