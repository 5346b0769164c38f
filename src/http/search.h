/* SPDX-License-Identifier: MIT */
#pragma once

struct exchange;

/* POST /v1/vector_stores/{brick}/search */
void search_serve(struct exchange *x, const char *const *parameters);
