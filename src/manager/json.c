/* SPDX-License-Identifier: MIT */
#include "manager/json.h"

#include <string.h>

#include "util/cleanup.h"
#include "util/utf8.h"

json_t *json_text(const char *s)
{
        _cleanup_free_ char *repaired = NULL;
        size_t length, size;

        if (!s)
                return json_null();
        length = strlen(s);
        if (utf8_valid(s, length))
                return json_stringn_nocheck(s, length);
        size = 3 * length;
        repaired = malloc(size);
        return repaired ? json_stringn(repaired, utf8_repair(repaired, size, s, length)) : NULL;
}

int json_finish(json_t *json, char **ret)
{
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

        json_decref(json);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}
