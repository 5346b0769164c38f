/* SPDX-License-Identifier: MIT */
#pragma once

/* PCRE2's working memory, and the limits on the work that one starting point may take. */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct workspace {
        pcre2_match_data *data;
        pcre2_match_context *context;
        pcre2_jit_stack *stack;
};

/* The calling thread's: made once, and freed when the thread ends. NULL: out of memory. */
struct workspace *workspace_get(void);
