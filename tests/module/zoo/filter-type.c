/* SPDX-License-Identifier: MIT */
/* Judges texts in pieces, and is no guard. */
#include "zoo.h"

static void zoo_close(struct brick_filter *filter)
{
        abort();
}

ZOO_MODULE(module.filter_close = zoo_close; module.type = BRICK_TYPE_LLM);
