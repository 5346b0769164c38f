/* SPDX-License-Identifier: MIT */

/* brickctl identities: who may call, and what is left of their token budgets. */

#include "ctl/control.h"
#include "ctl/file.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "util/cleanup.h"

/* One row for each window of its budget, or one if it has none. */
static void add_rows(json_t *rows, const json_t *identity)
{
        json_t *tokens = json_object_get(identity, "tokens"), *window;
        const json_t *windows = json_object_get(tokens, "windows");
        size_t index;

        if (json_array_size(windows) == 0)
                (void)json_array_append_new(rows, json_copy((json_t *)identity));
        json_array_foreach(windows, index, window)
        {
                json_t *row = json_copy(window);

                (void)json_object_update_missing(row, (json_t *)identity);
                (void)json_object_set(row, "reserved", json_object_get(tokens, "reserved"));
                (void)json_array_append_new(rows, row);
        }
}

static void print_identities(const json_t *identities)
{
        static const struct table_column columns[] = {
                { "NAME", "name" },     { "CALLS", "requests" }, { "EXPIRES", "expires" },
                { "TOKENS", "window" }, { "USED", "used" },      { "RESERVED", "reserved" },
                { "LEFT", "left" },     { "LIMIT", "limit" },    { "UNTIL", "until" },
        };
        _Static_assert(ELEMENTSOF(columns) <= OUTPUT_COLUMNS_MAX, "a table has no more");
        _cleanup_(json_unrefp) json_t *rows = json_array();
        size_t index;
        json_t *identity;

        json_array_foreach(identities, index, identity) add_rows(rows, identity);
        control_print_rows(rows, columns, ELEMENTSOF(columns));
}

static int identities(const struct ctl *ctl, const struct file *file)
{
        _cleanup_(json_unrefp) json_t *answer = NULL;
        const json_t *list;
        int r;

        r = control_ask(ctl, file->control, CONTROL_TIMEOUT, "Identities", &answer);
        if (r < 0)
                return control_no_answer(file->control, r);
        list = json_object_get(answer, "identities");
        if (ctl->json)
                output_json(stdout, list);
        else
                print_identities(list);
        return CTL_OK;
}

int command_identities(struct ctl *ctl)
{
        return control_with_file(ctl, identities);
}
