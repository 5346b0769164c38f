/* SPDX-License-Identifier: MIT */

/*
 * What an API may answer. The first byte chooses how the others are read: even, as a whole answer;
 * odd, as a stream that arrives in pieces of half as many bytes. What jansson takes for a document,
 * scan_document() does.
 */

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"
#include "framing.h"
#include "scan.h"

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

static void must_be_failure(const struct failure *failure)
{
        must_be_text(failure->message, strlen(failure->message));
        must_be_text(failure->detail, strlen(failure->detail));
        if (failure->code == 0)
                abort();
}

/* As documents come to the brick: in a copy, so that a sanitizer sees what goes past its end. */
static void take(struct chat_answer *answer, const char *data, size_t n, bool is_error)
{
        char *copy = memcpy(malloc(n + 1), data, n);
        struct failure failure = {};
        int r = -EBADMSG;

        copy = realloc(copy, n > 0 ? n : 1);
        if (is_error)
                failure_from_event(&failure, copy, n);
        else
                r = chat_take(answer, copy, n, &failure);
        free(copy);
        if (r == -EBADMSG)
                must_be_failure(&failure);
        if (answer->text.p)
                must_be_text(answer->text.p, answer->text.n);
        must_be_text(answer->model, strlen(answer->model));
        must_be_text(answer->finish_reason, strlen(answer->finish_reason));
}

static void take_event(struct framing *framing, struct chat_answer *answer)
{
        if (framing->n_data > EVENT_MAX)
                abort();
        take(answer, framing->data, framing->n_data, framing->is_error);
}

static void read_stream(const char *bytes, size_t size, size_t piece)
{
        struct chat_answer answer = {};
        struct framing framing;
        int r = 0;

        framing_init(&framing, EVENT_MAX);
        for (size_t at = 0; r >= 0 && at < size; at += piece) {
                size_t n = size - at < piece ? size - at : piece;
                char *copy = memcpy(malloc(n), bytes + at, n);
                const char *pos = copy;

                while ((r = framing_next(&framing, &pos, copy + n)) > 0)
                        take_event(&framing, &answer);
                free(copy);
        }
        while (r >= 0 && (r = framing_last(&framing)) > 0)
                take_event(&framing, &answer);
        if (text_end(&answer.text) < 0)
                abort();
        framing_done(&framing);
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
        struct text text = {};

        if (!!expected != !!found.p)
                abort();
        if (json_is_string(expected)) {
                if (text_add(&text, found) < 0 || text_end(&text) < 0)
                        abort();
                if (strlen(json_string_value(expected)) == json_string_length(expected) &&
                    strcmp(text.p, json_string_value(expected)) != 0)
                        abort();
                text_done(&text);
        }
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
        struct failure failure;

        compare(bytes, size);
        failure_from_http(&failure, 400, bytes, size);
        must_be_failure(&failure);
        take(&answer, bytes, size, false);
        chat_answer_done(&answer);
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
