#!/bin/sh
# SPDX-License-Identifier: MIT
# page.sh VERSION SCDOC <PAGE.scd: the manual page, with the version at its foot
set -eu
text=$(sed "1s/\$/ \"brickd $1\"/")
printf '%s\n' "$text" | "$2"
