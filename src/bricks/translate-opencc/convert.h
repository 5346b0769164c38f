/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * OpenCC's models, each loaded when it is first used, because one takes up to 100 ms and 8 MiB. A
 * model may convert on any number of threads at once.
 */

#include "variety.h"

struct converter;

struct convert_error {
        char text[256];
};

/* file: a configuration of the user's own, or NULL. 0; -ENOENT: OpenCC's data, or the file, cannot
 * be loaded, see *error; -ENOMEM. */
int converter_new(const char *file, struct converter **ret, struct convert_error *error);
void converter_free(struct converter *converter); /* accepts NULL */

/* How to convert a text. */
struct conversion {
        struct converter *converter;
        bool own; /* by the user's own file; else by a route of models */
        size_t route[ROUTE_MAX];
        size_t n;
};

/* Loads what it takes. 0; -ENOENT: see *error. */
int conversion_prepare(const struct conversion *conversion, struct convert_error *error);

/* A prepared conversion of a text without NUL. Web addresses stay as they are. *ret is for free();
 * NULL on failure. 0; -EINVAL: it is not UTF-8; -ENOMEM. */
int conversion_run(const struct conversion *conversion, const char *text, size_t length,
                   char **ret);

/*
 * The variety of a text: traditional if OpenCC's t2s changes one in thirty of its Han characters,
 * else simplified. false: the text is in another language. Text without any letter is simplified.
 * Only the beginning of a long text is looked at.
 */
bool converter_detect(struct converter *converter, const char *text, size_t length,
                      enum variety *ret);

/*
 * The length of the first piece of a text, such that the pieces are converted as the whole would
 * be: up to the end of a sentence, from `min` bytes on. A sentence longer than CONVERT_PIECE is cut
 * at a character, where a phrase of OpenCC's or the rest of a web address may then be missed.
 */
#define CONVERT_PIECE 16384
size_t convert_piece(const char *text, size_t length, size_t min);
