/* SPDX-License-Identifier: MIT */
#pragma once

/* Verifies what a pattern cannot: check digits, randomness, and what stands before a match. */

#include <stdbool.h>
#include <stddef.h>

/* How far a check may look at what stands before the match. */
#define CHECK_BACK 96

/* before: how many bytes of the text stand before the match at `text`. */
typedef bool check_fn(const char *text, size_t length, size_t before);

/* Finds a check by its name. NULL: unknown check. */
check_fn *check_find(const char *name);

/* All names, for messages. */
extern const char check_names[];

/* Of check-id.c, check-secret.c and check-direct.c. */
check_fn check_luhn, check_iban, check_tw_id, check_cn_id, check_cpf, check_es_id, check_fr_nir,
        check_sg_nric;
check_fn check_random, check_password, check_direct;
