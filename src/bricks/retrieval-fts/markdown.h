/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "extract.h"

/* Sets the title: that of the front matter (YAML or TOML), the first heading of the first level, or
 * the first heading. Headings in fenced code, in comments and in the front matter are none. */
void markdown_title(const char *data, size_t n, struct extract *e);
