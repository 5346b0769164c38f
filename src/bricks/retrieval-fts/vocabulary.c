/* SPDX-License-Identifier: MIT */
#include "vocabulary.h"

struct vocabulary {
        sqlite3_stmt *statement;
};

struct vocabulary *vocabulary_free(struct vocabulary *v)
{
        sqlite3_finalize(v->statement);
        free(v);
        return NULL;
}

struct vocabulary *vocabulary_new(sqlite3 *db)
{
        struct vocabulary *v;

        if (sqlite3_exec(db,
                         "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary"
                         " USING fts5vocab(main, passage, row)",
                         NULL, NULL, NULL) != SQLITE_OK)
                return NULL;
        v = calloc(1, sizeof *v);
        if (v && sqlite3_prepare_v2(db, "SELECT doc FROM temp.vocabulary WHERE term = ?1", -1,
                                    &v->statement, NULL) != SQLITE_OK)
                return vocabulary_free(v);
        return v;
}

int64_t vocabulary_passages(struct vocabulary *v, const char *token)
{
        int64_t n = 0;

        sqlite3_bind_text(v->statement, 1, token, -1, SQLITE_STATIC);
        if (sqlite3_step(v->statement) == SQLITE_ROW)
                n = sqlite3_column_int64(v->statement, 0);
        sqlite3_reset(v->statement);
        return n;
}
