/* SPDX-License-Identifier: MIT */
#pragma once

/* The written varieties of Chinese, the language tags that name them, and OpenCC's models between
 * them. */

#include <stdbool.h>
#include <stddef.h>

enum variety {
        VARIETY_UNKNOWN, /* Chinese, but in which characters is not said */
        VARIETY_HANS,    /* simplified */
        VARIETY_HANT,    /* traditional, of no region: OpenCC's own standard */
        VARIETY_TW,
        VARIETY_HK,
        VARIETIES,
};

/* Reads a tag of BCP 47 such as zh-TW, zh_Hant_HK or cmn-Hans. false: it does not name Chinese. */
bool variety_read(const char *tag, enum variety *ret);

/* The tag of a variety; "zh" for VARIETY_UNKNOWN. */
const char *variety_tag(enum variety variety);

/* One of OpenCC's configurations. */
struct model {
        const char *name;
        enum variety from, to;
        bool words; /* changes words of the regions, too, and not just characters */
};

enum { MODELS = 12, ROUTE_MAX = 2 };
extern const struct model models[MODELS];

/* The index of a model, or MODELS. */
size_t model_find(const char *name);

/* The models that lead from one variety to another, at most ROUTE_MAX, as indices. Returns their
 * number, 0 if both are the same. Neither is VARIETY_UNKNOWN. */
size_t model_route(enum variety from, enum variety to, bool words, size_t route[ROUTE_MAX]);
