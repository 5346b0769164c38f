/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "http/body.h"

/*
 * A request: its head, and then its body. The first byte says how long the pieces are in which they
 * arrive. Where they are cut must make no difference.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
        size_t head; /* its length; 0: it goes on */
        bool good;
        struct http_mistake mistake;
        enum http_body_step step;
        size_t taken;
        uint64_t sum; /* of the body's bytes */
};

static void check_text(struct http_text text, const char *bytes, size_t length)
{
        if (text.length > 0 && (text.ptr < bytes || text.ptr + text.length > bytes + length))
                abort();
}

static void check_head(const struct http_head *head, const char *bytes, size_t length)
{
        char decoded[4096];

        check_text(head->path, bytes, length);
        check_text(head->query, bytes, length);
        check_text(head->host, bytes, length);
        for (size_t i = 0; i < head->n_fields; i++) {
                check_text(head->fields[i].name, bytes, length);
                check_text(head->fields[i].value, bytes, length);
        }
        if (head->is_chunked && (head->has_length || head->minor == 0))
                abort();
        if (head->path.length < sizeof decoded)
                (void)http_text_decode(head->path, decoded);
}

static void read_body(const struct http_head *head, const char *bytes, size_t length, size_t piece,
                      struct result *ret)
{
        struct http_body body;
        struct http_text data;
        size_t end = 0, taken;

        http_body_begin(&body, head);
        for (;;) {
                ret->step = http_body_take(&body, bytes + ret->taken, end - ret->taken, &taken,
                                           &data);
                ret->taken += taken;
                if (ret->step == HTTP_BODY_DATA) {
                        check_text(data, bytes, length);
                        for (size_t i = 0; i < data.length; i++)
                                ret->sum = ret->sum * 31 + (unsigned char)data.ptr[i];
                } else if (ret->step != HTTP_BODY_MORE || end == length) {
                        return;
                } else {
                        end = length - end < piece ? length : end + piece;
                }
        }
}

static struct result read_request(const uint8_t *data, size_t size, size_t piece)
{
        struct result result = { 0 };
        size_t scanned = 0, end = 0;
        struct http_head head;
        char *bytes = malloc(size + 1);

        if (!bytes)
                abort();
        memcpy(bytes, data, size);
        while (result.head == 0 && end < size) {
                end = size - end < piece ? size : end + piece;
                result.head = http_head_find(bytes, end, &scanned);
        }
        if (result.head > 0) {
                result.good = http_head_parse(&head, bytes, result.head, &result.mistake);
                if (result.good) {
                        check_head(&head, bytes, result.head);
                        read_body(&head, bytes + result.head, size - result.head, piece, &result);
                }
        }
        free(bytes);
        return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct result whole, pieces;

        if (size == 0)
                return 0;
        whole = read_request(data + 1, size - 1, size);
        pieces = read_request(data + 1, size - 1, data[0] % 32 + 1u);
        if (whole.head != pieces.head || whole.good != pieces.good || whole.step != pieces.step ||
            whole.sum != pieces.sum || whole.mistake.status != pieces.mistake.status)
                abort();
        if (whole.step != HTTP_BODY_BAD && whole.taken != pieces.taken)
                abort();
        return 0;
}
