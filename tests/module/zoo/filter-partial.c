/* SPDX-License-Identifier: MIT */
/* Judges texts in pieces, but does not say how to begin. */
#include "zoo.h"

static void zoo_close(struct brick_filter *filter)
{
        abort();
}

ZOO_MODULE(module.filter_close = zoo_close);
