/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "schema.h"

static int api_get(sqlite3 *db, fts5_api **ret)
{
        sqlite3_stmt *statement;
        int r;

        r = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &statement, NULL);
        if (r != SQLITE_OK)
                return r;
        sqlite3_bind_pointer(statement, 1, ret, "fts5_api_ptr", NULL);
        sqlite3_step(statement);
        r = sqlite3_finalize(statement);
        return r == SQLITE_OK && !*ret ? SQLITE_ERROR : r;
}

int schema_register(sqlite3 *db)
{
        fts5_api *api = NULL;
        int r;

        r = api_get(db, &api);
        if (r != SQLITE_OK)
                return r;
        r = tokenizer_register(api);
        if (r != SQLITE_OK)
                return r;
        return rank_register(api);
}
