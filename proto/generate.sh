#!/bin/sh
# Runs protoc-c for one file: generate.sh PROTOC_C PROTO_DIR GOOGLE_DIR OUT_DIR FOLDER NAME
# protoc-c writes, and includes, FOLDER/NAME.pb-c.h; meson wants its outputs in one folder, so both are made flat.
set -eu
protoc_c=$1 proto=$2 google=$3 out=$4 folder=$5 name=$6

tmp=$(mktemp -d "$out/protoc-c.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
"$protoc_c" -I"$proto" -I"$google" --c_out="$tmp" "$folder/$name.proto"
for ext in c h; do
	sed 's|#include "[a-z0-9/]*/\([a-z]*\.pb-c\.h\)"|#include "\1"|' \
		"$tmp/$folder/$name.pb-c.$ext" >"$out/$name.pb-c.$ext"
done
