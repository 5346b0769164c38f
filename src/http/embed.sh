#!/bin/sh
# SPDX-License-Identifier: MIT
# A file as assembler source that embeds it: embed.sh FILE SYMBOL OUT. The bytes lie from SYMBOL to
# SYMBOL_end.
set -eu
cat >"$3" <<EOF
	.section .rodata
	.global $2, $2_end
	.hidden $2, $2_end
$2:
	.incbin "$1"
$2_end:
	.section .note.GNU-stack, "", %progbits
EOF
