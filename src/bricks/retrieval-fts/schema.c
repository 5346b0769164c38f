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

int schema_distrust(sqlite3 *db)
{
        (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, SCHEMA_TEXT_SIZE_MAX);
        if (sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
            sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK ||
            sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL) != SQLITE_OK)
                return SQLITE_ERROR;
        return sqlite3_exec(db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0", NULL, NULL,
                            NULL);
}
