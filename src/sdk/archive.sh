#!/bin/sh
# SPDX-License-Identifier: MIT
# archive.sh ARCHIVE PREFIX OBJECT...: a static library of one object, outside of which only the
# names that begin with PREFIX exist.
set -eu
archive=$1 prefix=$2
shift 2
object=${archive%.a}.o

ld -r -o "$object" "$@"
objcopy --wildcard --keep-global-symbol="$prefix*" "$object"
rm -f "$archive"
ar rcs "$archive" "$object"
