/* SPDX-License-Identifier: MIT */
#pragma once

/* The texts of requests to /v1/embeddings, and of the answers. */

#include <stddef.h>

#define EMBED_ERROR_SIZE 256

/*
 * The request for n texts, a JSON object for free(). input_type: "": the field is left out. NULL:
 * out of memory.
 */
char *embed_request(const char *model, const char *input_type, const char *prefix,
                    const char *const *texts, size_t n);

/*
 * Reads the vectors of n texts. *dimension 0: any, which is then set; else each must have it.
 * *ret: n * *dimension finite numbers, for free(). 0; -EBADMSG: error has a message, which may
 * quote the answer, as UTF-8 in one line; -ENOMEM.
 */
int embed_answer(const char *json, size_t size, size_t n, size_t *dimension, float **ret,
                 char error[static EMBED_ERROR_SIZE]);

/* What an answer says of a failure; "" if it says nothing. */
void embed_answer_error(const char *json, size_t size, char ret[static EMBED_ERROR_SIZE]);
