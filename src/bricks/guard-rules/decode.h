/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Undoes encodings in which a text can hide another one. Each step is linear in the text, and all
 * that it finds in one text has at most DECODED_MAX bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules.h" /* enum encoding */

#define DECODED_MAX (64 << 10) /* bytes of all texts that are hidden in one */
#define DECODED_TEXTS 32       /* how many of them are looked at */

/* A text that was hidden. */
struct decoded {
        enum encoding encoding;
        const char *text; /* valid UTF-8, valid until the next one */
        size_t length;
        size_t from; /* where the encoded text is in the original one */
        size_t to;
};

struct decoder {
        const char *text;
        size_t length;
        uint32_t encodings; /* those that are still to be tried: set of 1 << enum encoding */
        size_t at;          /* in the text, of the encoding that is being tried */
        size_t used;        /* bytes of texts that were found */
        size_t count;
        char *memory;
};

/* "base64". */
const char *encoding_name(enum encoding encoding);

/* The encodings that a text may have, besides those that are told by words (struct match). */
uint32_t encodings_of(const char *text, size_t length);

/* A text of valid UTF-8, which must outlive the decoder. */
void decoder_begin(struct decoder *decoder, const char *text, size_t length, uint32_t encodings);

/* Finds the next hidden text. False: there is none, or no memory. */
bool decoder_next(struct decoder *decoder, struct decoded *ret);
void decoder_end(struct decoder *decoder);
