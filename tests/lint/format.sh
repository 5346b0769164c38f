#!/bin/sh
# SPDX-License-Identifier: MIT
# format.sh ROOT: every C file is as clang-format leaves it.
cd "$1" && find src tests -name '*.[ch]' -exec clang-format --dry-run -Werror {} +
