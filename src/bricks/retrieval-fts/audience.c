/* SPDX-License-Identifier: MIT */
#include "audience.h"

#include <string.h>

/* More passages or words than any index has; sums of them do not overflow. */
#define COUNT_MAX (INT64_C(1) << 50)

/* The names are separated by single spaces. */
static bool may_find(const char *groups, const struct search_who *who)
{
        size_t n;

        if (groups[0] == '\0')
                return true;
        for (; *groups && who->is_member; groups += n + (groups[n] == ' ')) {
                n = strcspn(groups, " ");
                if (who->is_member(who->user, groups, n))
                        return true;
        }
        return false;
}

static bool count_get(sqlite3_stmt *statement, int i, sqlite3_int64 *sum)
{
        sqlite3_int64 n = sqlite3_column_int64(statement, i);

        if (n < 0 || n > COUNT_MAX)
                return false;
        *sum += n;
        return true;
}

static int row_add(sqlite3_stmt *row, const struct search_who *who, struct statistics *s,
                   sqlite3_int64 sums[static 4])
{
        sqlite3_int64 id = sqlite3_column_int64(row, 0);
        const char *groups = (const char *)sqlite3_column_text(row, 1);

        if (id < 0 || id >= ROWID_AUDIENCES || !groups)
                return SQLITE_CORRUPT;
        if (!may_find(groups, who))
                return SQLITE_OK;
        s->visible[id / 64] |= UINT64_C(1) << id % 64;
        for (int i = 0; i < 4; i++)
                if (!count_get(row, i + 2, &sums[i]))
                        return SQLITE_CORRUPT;
        return SQLITE_OK;
}

int audience_read(struct reader *reader, const struct search_who *who,
                  struct statistics *statistics, struct search_statistics *ret)
{
        sqlite3_stmt *row = reader->statements[STATEMENT_AUDIENCES];
        sqlite3_int64 sums[4] = {}; /* documents, passages, words of titles and of bodies */
        int n = 0, r;

        while ((r = sqlite3_step(row)) == SQLITE_ROW && n++ < ROWID_AUDIENCES) {
                r = row_add(row, who, statistics, sums);
                if (r != SQLITE_OK)
                        break;
        }
        sqlite3_reset(row);
        if (r != SQLITE_DONE)
                return r == SQLITE_ROW ? SQLITE_CORRUPT : r;
        if (n == 0) /* everybody's is always there */
                return SQLITE_CORRUPT;
        *ret = (struct search_statistics){ .documents = sums[0], .passages = sums[1] };
        statistics->rows = sums[1];
        for (int i = SCHEMA_TITLE; i <= SCHEMA_BODY; i++)
                statistics->average_size[i] = sums[1] > 0 && sums[2 + i] > 0
                                                      ? (double)sums[2 + i] / (double)sums[1]
                                                      : 1;
        return SQLITE_OK;
}
