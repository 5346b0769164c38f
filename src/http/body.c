/* SPDX-License-Identifier: MIT */
#include "http/body.h"

#include <string.h>

#define DIGITS_MAX 15       /* of a chunk's size, so that it cannot overflow */
#define LINE_MAX_BYTES 4096 /* of a trailer */
#define OVERHEAD_FREE 65536 /* bytes of framing that need no data */
#define OVERHEAD_RATIO 16   /* bytes of framing for a byte of data; the smallest chunk has 5 */

void http_body_begin(struct http_body *body, const struct http_head *head)
{
        memset(body, 0, sizeof *body);
        if (head->is_chunked)
                body->state = BODY_SIZE;
        else if (head->length > 0)
                body->left = head->length;
        else
                body->state = BODY_DONE;
}

/* After CRLF behind a chunk's size. */
static void begin_chunk(struct http_body *body)
{
        body->state = body->left > 0 ? BODY_CHUNK : BODY_TRAILER;
        body->digits = 0;
        body->line = 0;
}

static bool take_size(struct http_body *body, char c)
{
        int digit = http_hex(c);

        if (digit < 0) {
                if (body->digits == 0)
                        return false;
                body->state = BODY_EXTENSION;
                if (c == '\r')
                        body->cr = true;
                return c == '\r' || c == ';' || c == ' ' || c == '\t';
        }
        if (body->digits++ == DIGITS_MAX)
                return false;
        body->left = body->left << 4 | (unsigned)digit;
        return true;
}

/* The rest of a line: true while it is well-formed. *ret_end: this is its end. */
static bool take_line(struct http_body *body, char c, bool *ret_end)
{
        *ret_end = body->cr && c == '\n';
        if (body->cr) {
                body->cr = false;
                return *ret_end;
        }
        if (c == '\r')
                body->cr = true;
        return c == '\r' || c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* Takes a byte of what is not data. */
static bool take_framing(struct http_body *body, char c)
{
        bool end;

        if (++body->overhead > OVERHEAD_FREE + OVERHEAD_RATIO * body->total)
                return false;
        if (body->state == BODY_SIZE)
                return take_size(body, c);
        if (!take_line(body, c, &end))
                return false;
        switch (body->state) {
        case BODY_EXTENSION:
                if (end)
                        begin_chunk(body);
                return true;
        case BODY_CHUNK_END:
                if (end)
                        body->state = BODY_SIZE;
                return end || c == '\r';
        default:                                                /* BODY_TRAILER */
                if (body->line == 0 && (c == ' ' || c == '\t')) /* a folded one */
                        return false;
                if (!end)
                        return c == '\r' || ++body->line <= LINE_MAX_BYTES;
                if (body->line == 0)
                        body->state = BODY_DONE;
                body->line = 0;
                return true;
        }
}

enum http_body_step http_body_take(struct http_body *body, const char *bytes, size_t length,
                                   size_t *ret_taken, struct http_text *ret_data)
{
        size_t i = 0;

        while (i < length && body->state != BODY_BYTES && body->state != BODY_CHUNK &&
               body->state != BODY_DONE) {
                if (!take_framing(body, bytes[i])) {
                        *ret_taken = i;
                        return HTTP_BODY_BAD;
                }
                i++;
        }
        *ret_taken = i;
        if (body->state == BODY_DONE)
                return HTTP_BODY_END;
        if (i == length)
                return HTTP_BODY_MORE;
        *ret_data = (struct http_text){ bytes + i,
                                        length - i < body->left ? length - i : (size_t)body->left };
        body->left -= ret_data->length;
        body->total += ret_data->length;
        *ret_taken += ret_data->length;
        if (body->left == 0)
                body->state = body->state == BODY_BYTES ? BODY_DONE : BODY_CHUNK_END;
        return HTTP_BODY_DATA;
}
