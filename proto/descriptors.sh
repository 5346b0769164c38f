#!/bin/sh
# SPDX-License-Identifier: MIT
# The descriptors of files, with those of all they import, as assembler source that embeds them:
# descriptors.sh PROTOC PROTO_DIR GOOGLE_DIR OUT_DIR FILE...
set -eu
protoc=$1 proto=$2 google=$3 out=$4
shift 4

"$protoc" -I"$proto" -I"$google" --include_imports --descriptor_set_out="$out/descriptors.pb" "$@"
cat >"$out/descriptors.S" <<EOF
	.section .rodata
	.global brickd_descriptors, brickd_descriptors_end
	.hidden brickd_descriptors, brickd_descriptors_end
brickd_descriptors:
	.incbin "$out/descriptors.pb"
brickd_descriptors_end:
	.section .note.GNU-stack, "", %progbits
EOF
