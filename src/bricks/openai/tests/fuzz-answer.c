/* SPDX-License-Identifier: MIT */

/*
 * What an API may answer. The first byte chooses how the others are read: even, as a whole answer;
 * odd, as a stream that arrives in pieces of half as many bytes. What jansson takes for a document,
 * scan_document() does.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"
#include "scan.h"
#include "sse.h"

#define EVENT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson refuses what is not UTF-8. */
static void must_be_text(const char *text, size_t n)
{
        json_t *string = json_stringn(text, n);

        if (!string || strlen(text) != n)
                abort();
        json_decref(string);
}

static int take(struct chat_answer *answer, enum chat_kind kind, char *json, size_t n)
{
        struct chat_failure failure;
        int r;

        r = chat_take(answer, kind, json, n, &failure);
        must_be_text(answer->text, answer->n_text);
        if (r < 0)
                must_be_text(failure.message, strlen(failure.message));
        if (r < 0)
                must_be_text(failure.detail, strlen(failure.detail));
        must_be_text(answer->model, strlen(answer->model));
        must_be_text(answer->finish_reason, strlen(answer->finish_reason));
        return r;
}

static int take_event(struct sse *sse, struct chat_answer *answer)
{
        if (sse->n_data > EVENT_MAX)
                abort();
        return take(answer, sse->is_error ? CHAT_ERROR : CHAT_CHUNK, sse->data, sse->n_data);
}

static void read_stream(const char *bytes, size_t size, size_t piece)
{
        struct chat_answer answer = {};
        struct sse sse;
        int r = 0;

        sse_init(&sse, EVENT_MAX);
        for (size_t at = 0; r >= 0 && at < size; at += piece) {
                size_t n = size - at < piece ? size - at : piece;
                /* A copy, so that a sanitizer sees what goes past its end. */
                char *copy = memcpy(malloc(n), bytes + at, n);
                const char *pos = copy;

                while ((r = sse_next(&sse, &pos, copy + n)) > 0)
                        if (take_event(&sse, &answer) < 0)
                                break;
                free(copy);
        }
        if (r >= 0 && sse_last(&sse) > 0)
                (void)take_event(&sse, &answer);
        must_be_text(chat_rest(&answer), strlen(chat_rest(&answer)));
        sse_done(&sse);
        chat_answer_done(&answer);
}

static unsigned depth_of(const char *bytes, size_t size)
{
        unsigned depth = 0;

        for (size_t i = 0; i < size; i++)
                depth += bytes[i] == '[' || bytes[i] == '{';
        return depth;
}

/* Whether a member of the root is found, and the last one, as by jansson. */
static void compare_member(struct scan root, const json_t *json, const char *name)
{
        const json_t *expected = json_object_get(json, name);
        struct scan found = scan_member(root, name);
        json_t *loaded = scan_load(found);

        if (!!expected != !!found.p)
                abort();
        if (json_is_string(expected) && !json_equal(expected, loaded))
                abort();
        json_decref(loaded);
}

static void compare(const char *bytes, size_t size)
{
        json_t *json = json_loadb(bytes, size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
        struct scan root;
        bool taken = scan_document(bytes, size, &root);

        if (json && !taken && depth_of(bytes, size) <= SCAN_DEPTH_MAX)
                abort();
        if (json && taken) {
                compare_member(root, json, "error");
                compare_member(root, json, "model");
                compare_member(root, json, "choices");
        }
        json_decref(json);
}

static void read_whole(const char *bytes, size_t size)
{
        struct chat_answer answer = {};
        struct chat_failure failure;
        char *copy = memcpy(malloc(size + 1), bytes, size);

        compare(copy, size);
        chat_fail_http(&failure, 400, copy, size);
        must_be_text(failure.message, strlen(failure.message));
        (void)take(&answer, CHAT_WHOLE, copy, size);
        chat_answer_done(&answer);
        free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *bytes = (const char *)data;

        if (size == 0)
                return 0;
        if (data[0] & 1)
                read_stream(bytes + 1, size - 1, data[0] / 2 + 1);
        else
                read_whole(bytes + 1, size - 1);
        return 0;
}
