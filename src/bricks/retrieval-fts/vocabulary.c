/* SPDX-License-Identifier: MIT */
#include "vocabulary.h"

#include <stdio.h>

struct vocabulary {
        sqlite3 *db;
        sqlite3_stmt *passages; /* NULL until it is needed, like the next one */
        sqlite3_stmt *has;
};

struct vocabulary *vocabulary_free(struct vocabulary *v)
{
        sqlite3_finalize(v->passages);
        sqlite3_finalize(v->has);
        free(v);
        return NULL;
}

struct vocabulary *vocabulary_new(sqlite3 *db)
{
        struct vocabulary *v = calloc(1, sizeof *v);

        if (v)
                v->db = db;
        return v;
}

bool vocabulary_has(struct vocabulary *v, const char *token)
{
        char expression[256];
        bool has;

        if (!v->has &&
            sqlite3_prepare_v2(v->db, "SELECT 1 FROM passage WHERE passage MATCH ?1 LIMIT 1", -1,
                               &v->has, NULL) != SQLITE_OK)
                return false;
        (void)snprintf(expression, sizeof expression, "\"%s\"", token);
        sqlite3_bind_text(v->has, 1, expression, -1, SQLITE_STATIC);
        has = sqlite3_step(v->has) == SQLITE_ROW;
        sqlite3_reset(v->has);
        return has;
}

static bool prepare_passages(struct vocabulary *v)
{
        if (!v->passages && sqlite3_exec(v->db,
                                         "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary"
                                         " USING fts5vocab(main, passage, row)",
                                         NULL, NULL, NULL) == SQLITE_OK)
                (void)sqlite3_prepare_v2(v->db, "SELECT doc FROM temp.vocabulary WHERE term = ?1",
                                         -1, &v->passages, NULL);
        return v->passages;
}

int64_t vocabulary_passages(struct vocabulary *v, const char *token)
{
        int64_t n = 0;

        if (!prepare_passages(v))
                return 0;
        sqlite3_bind_text(v->passages, 1, token, -1, SQLITE_STATIC);
        if (sqlite3_step(v->passages) == SQLITE_ROW)
                n = sqlite3_column_int64(v->passages, 0);
        sqlite3_reset(v->passages);
        return n;
}
