/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The text in which the main process keeps what identities have used of their token budgets:
 *
 *   brickd-budgets 1
 *   NAME MINUTE TOKENS DAY TOKENS MONTH TOKENS
 *   ...
 *   end N
 *
 * A window stands with its number (shared/window.h), and N is the number of identities: so a file
 * that was cut is seen. Pure functions.
 */

#include <stddef.h>

#include "conf/identities.h"
#include "shared/quota.h"

struct journal_entry {
        char name[IDENTITY_NAME_MAX + 1];
        struct quota_used used[WINDOWS];
};

struct journal {
        struct journal_entry *entries; /* IDENTITIES_MAX at most; free() it */
        size_t n;
};

/* No journal is longer. */
#define JOURNAL_ENTRY_MAX (IDENTITY_NAME_MAX + WINDOWS * 23 + 1)
#define JOURNAL_MAX ((size_t)64 + (size_t)IDENTITIES_MAX * JOURNAL_ENTRY_MAX)

/* -EINVAL: it is damaged, for the reason *ret_why, a constant, in line *ret_line; *ret is then
 * empty. 0; -ENOMEM. */
int journal_parse(struct journal *ret, const char *bytes, size_t length, unsigned *ret_line,
                  const char **ret_why);

/* Writes into memory of JOURNAL_MAX bytes. Returns the length. */
size_t journal_print(const struct journal *journal, char ret[static JOURNAL_MAX]);
