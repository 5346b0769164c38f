#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts.sh ROOT: every script parses, by the interpreter that it names.
cd "$1" || exit 1
status=0
for file in $(grep -rlI --exclude-dir=.git --exclude-dir='build*' --exclude-dir=node_modules \
	-m 1 '^#!' .); do
	case $(head -n 1 "$file") in
	'#!/bin/sh') sh -n "$file" ;;
	'#!/bin/bash') bash -n "$file" ;;
	'#!/usr/bin/make -f') ;; # building the packages runs it
	'#!/usr/bin/python3') /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$file" ;;
	*) echo "$file: an interpreter that Debian has no fixed place for" >&2 && false ;;
	esac || status=1
done
exit $status
