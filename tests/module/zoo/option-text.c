/* SPDX-License-Identifier: MIT */
/* An option whose summary is not UTF-8. */
#define OPTION                                                      \
        {                                                           \
                .name = "odd", .type = BRICK_INT, .summary = "\xff" \
        }
#include "bad-options.c"
