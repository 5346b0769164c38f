/* SPDX-License-Identifier: MIT */
#include "variety.h"

#include <string.h>
#include <strings.h>

const struct model models[MODELS] = {
        { "s2t", VARIETY_HANS, VARIETY_HANT, false }, { "s2tw", VARIETY_HANS, VARIETY_TW, false },
        { "s2twp", VARIETY_HANS, VARIETY_TW, true },  { "s2hk", VARIETY_HANS, VARIETY_HK, false },
        { "t2s", VARIETY_HANT, VARIETY_HANS, false }, { "t2tw", VARIETY_HANT, VARIETY_TW, false },
        { "t2hk", VARIETY_HANT, VARIETY_HK, false },  { "tw2s", VARIETY_TW, VARIETY_HANS, false },
        { "tw2sp", VARIETY_TW, VARIETY_HANS, true },  { "tw2t", VARIETY_TW, VARIETY_HANT, false },
        { "hk2s", VARIETY_HK, VARIETY_HANS, false },  { "hk2t", VARIETY_HK, VARIETY_HANT, false },
};

static const struct {
        const char *name;
        enum variety variety;
} subtags[] = {
        { "Hans", VARIETY_HANS }, { "Hant", VARIETY_HANT }, { "CN", VARIETY_HANS },
        { "SG", VARIETY_HANS },   { "MY", VARIETY_HANS },   { "TW", VARIETY_TW },
        { "HK", VARIETY_HK },     { "MO", VARIETY_HK },
};

static bool is(const char *subtag, size_t length, const char *name)
{
        return strlen(name) == length && strncasecmp(subtag, name, length) == 0;
}

static bool read_subtag(const char *subtag, size_t length, enum variety *ret)
{
        for (size_t i = 0; i < sizeof subtags / sizeof subtags[0]; i++)
                if (is(subtag, length, subtags[i].name)) {
                        *ret = subtags[i].variety;
                        return true;
                }
        return false;
}

/* The script decides: zh-Hans-TW is simplified. The region makes traditional characters more exact.
 */
static enum variety combine(enum variety script, enum variety region)
{
        if (script == VARIETY_UNKNOWN)
                return region;
        return script == VARIETY_HANT && region > VARIETY_HANT ? region : script;
}

bool variety_read(const char *tag, enum variety *ret)
{
        enum variety all = VARIETY_UNKNOWN, one;
        size_t length = strcspn(tag, "-_");

        if (!is(tag, length, "zh") && !is(tag, length, "cmn"))
                return false;
        for (tag += length; *tag; tag += length) {
                length = strcspn(++tag, "-_");
                if (!read_subtag(tag, length, &one))
                        return false;
                all = combine(all, one);
        }
        *ret = all;
        return true;
}

const char *variety_tag(enum variety variety)
{
        static const char *const tags[VARIETIES] = { "zh", "zh-Hans", "zh-Hant", "zh-TW", "zh-HK" };

        return tags[variety];
}

size_t model_find(const char *name)
{
        size_t i = 0;

        while (i < MODELS && strcmp(models[i].name, name) != 0)
                i++;
        return i;
}

/* With words if they are wanted and there is such a model. */
static bool find(enum variety from, enum variety to, bool words, size_t *ret)
{
        bool found = false;

        for (size_t i = 0; i < MODELS; i++)
                if (models[i].from == from && models[i].to == to && (words || !models[i].words)) {
                        *ret = i;
                        found = true;
                }
        return found;
}

size_t model_route(enum variety from, enum variety to, bool words, size_t route[ROUTE_MAX])
{
        if (from == to)
                return 0;
        if (find(from, to, words, &route[0]))
                return 1;
        (void)find(from, VARIETY_HANT, words, &route[0]);
        (void)find(VARIETY_HANT, to, words, &route[1]);
        return ROUTE_MAX;
}
