/* SPDX-License-Identifier: MIT */
#pragma once

struct exchange;

/* POST /v1/moderations */
void moderations_serve(struct exchange *x, const char *const *parameters);
