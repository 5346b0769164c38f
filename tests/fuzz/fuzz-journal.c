/* SPDX-License-Identifier: MIT */

/* Any bytes as the journal of token budgets: what is taken is within bounds, and written again it
 * is the same text; what is not taken has a place and a reason. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "manager/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned count_lines(const uint8_t *data, size_t size)
{
        unsigned n = 1;

        for (size_t i = 0; i < size; i++)
                n += data[i] == '\n';
        return n;
}

static void check_entry(const struct journal_entry *entry)
{
        assert(entry->name[0] != '\0' && memchr(entry->name, '\0', sizeof entry->name));
        for (enum window window = 0; window < WINDOWS; window++) {
                assert(entry->used[window].number < WINDOW_NUMBER_MAX);
                assert(entry->used[window].tokens <= QUOTA_TOKENS_MAX);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static char text[JOURNAL_MAX];
        struct journal journal;
        const char *why = NULL;
        unsigned line = 0;
        int r;

        r = journal_parse(&journal, (const char *)data, size, &line, &why);
        if (r < 0) {
                assert(r == -EINVAL && why && line >= 1 && line <= count_lines(data, size));
                assert(!journal.entries && journal.n == 0);
                return 0;
        }
        assert(journal.n <= IDENTITIES_MAX);
        for (size_t i = 0; i < journal.n; i++)
                check_entry(&journal.entries[i]);
        assert(journal_print(&journal, text) == size && memcmp(text, data, size) == 0);
        free(journal.entries);
        return 0;
}
