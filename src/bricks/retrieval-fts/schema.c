/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

int schema_tokenizer_write(sqlite3 *db)
{
        char version[TOKENIZER_VERSION_SIZE];
        sqlite3_stmt *statement;
        int r;

        tokenizer_version(version);
        r = sqlite3_prepare_v2(db, "INSERT INTO tokenizer VALUES (?1)", -1, &statement, NULL);
        if (r != SQLITE_OK)
                return r;
        sqlite3_bind_text(statement, 1, version, -1, SQLITE_STATIC);
        sqlite3_step(statement);
        return sqlite3_finalize(statement);
}

int schema_tokenizer_check(sqlite3 *db, bool *ret_same,
                           char ret_version[static TOKENIZER_VERSION_SIZE])
{
        char version[TOKENIZER_VERSION_SIZE];
        sqlite3_stmt *statement;
        int r;

        tokenizer_version(version);
        ret_version[0] = '\0';
        r = sqlite3_prepare_v2(db, "SELECT version FROM tokenizer", -1, &statement, NULL);
        if (r != SQLITE_OK)
                return r;
        if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0))
                (void)snprintf(ret_version, TOKENIZER_VERSION_SIZE, "%s",
                               (const char *)sqlite3_column_text(statement, 0));
        *ret_same = strcmp(version, ret_version) == 0;
        return sqlite3_finalize(statement);
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
