/* SPDX-License-Identifier: MIT */

/* Heads and bodies of HTTP requests: what is taken, and what is refused because another server may
 * read it in another way. */

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/body.h"

#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n"

static const struct {
        const char *head;
        unsigned status; /* 0: it is good */
} heads[] = {
        { GET "\r\n", 0 },
        { "GET / HTTP/1.0\r\n\r\n", 0 },
        { "GET /v1/models?a=b&c[]=%20 HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 0 },
        { "GET http://x/v1 HTTP/1.1\r\nHost: x\r\n\r\n", 0 },
        { "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 0 },
        { "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 0 },
        { POST "Content-Length: 0\r\n\r\n", 0 },
        { POST "Content-Length:5\r\n\r\n", 0 },
        { POST "Transfer-Encoding: chunked\r\n\r\n", 0 },
        { POST "transfer-encoding:CHUNKED \r\n\r\n", 0 },
        { POST "X-Name: caf\xc3\xa9\r\n\r\n", 0 },
        { POST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n", 0 },

        /* lines */
        { "GET / HTTP/1.1\nHost: x\n\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\n\n", 400 },
        { GET "A: b\rC: d\r\n\r\n", 400 },
        { GET "A: b\r\n c\r\n\r\n", 400 },
        { GET "\tA: b\r\n\r\n", 400 },
        { GET "A : b\r\n\r\n", 400 },
        { GET ": b\r\n\r\n", 400 },
        { GET "A\r\n\r\n", 400 },
        { GET "A(b): c\r\n\r\n", 400 },
        { GET "A: \x01\r\n\r\n", 400 },
        { GET "A: \x7f\r\n\r\n", 400 },

        /* the request line */
        { "GET /\r\n\r\n", 400 },
        { "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400 },
        { "GET / http/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505 },
        { "GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET http://a@b/x HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET /a\x80 HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { " / HTTP/1.1\r\nHost: x\r\n\r\n", 400 },

        /* Host */
        { "GET / HTTP/1.1\r\n\r\n", 400 },
        { GET "Host: x\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400 },

        /* Origin */
        { GET "Origin: a\r\n\r\n", 0 },
        { GET "Origin: a\r\nOrigin: a\r\n\r\n", 400 },

        /* how long the body is */
        { POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
        { POST "Content-Length: 5, 5\r\n\r\n", 400 },
        { POST "Content-Length: +5\r\n\r\n", 400 },
        { POST "Content-Length: -5\r\n\r\n", 400 },
        { POST "Content-Length: 0x5\r\n\r\n", 400 },
        { POST "Content-Length: 5 5\r\n\r\n", 400 },
        { POST "Content-Length: \r\n\r\n", 400 },
        { POST "Content-Length: 99999999999999999999999\r\n\r\n", 413 },
        { POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400 },
        { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501 },
        { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 501 },
        { POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501 },
        { POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
        { POST "Transfer-Encoding: identity\r\n\r\n", 501 },
        { POST "Transfer-Encoding: xchunked\r\n\r\n", 501 },
        { POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501 },
        { POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 501 },
        { POST "Transfer-Encoding: \x0b"
               "chunked\r\n\r\n",
          400 },
        { POST "Transfer-Encoding : chunked\r\n\r\n", 400 },
        { POST "Transfer-Encoding\r\n : chunked\r\n\r\n", 400 },
        { POST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { POST "Expect: the-worst\r\nContent-Length: 5\r\n\r\n", 417 },
};

static bool parse(const char *text, struct http_head *ret, struct http_mistake *mistake)
{
        static char bytes[4096];
        size_t n = strlen(text), scanned = 0;

        assert(n < sizeof bytes);
        memcpy(bytes, text, n);
        for (size_t i = 0; i < n; i++) /* the end is found wherever the head is cut */
                if (http_head_find(bytes, i, &scanned) > 0)
                        break;
        assert(http_head_find(bytes, n, &scanned) == n);
        return http_head_parse(ret, bytes, n, mistake);
}

static void test_heads(void)
{
        struct http_mistake mistake;
        struct http_head head;

        for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
                unsigned status = parse(heads[i].head, &head, &mistake) ? 0 : mistake.status;

                if (status != heads[i].status) {
                        fprintf(stderr, "%s%u, not %u\n", heads[i].head, status, heads[i].status);
                        abort();
                }
        }
}

static void test_values(void)
{
        struct http_mistake mistake;
        struct http_head head;

        assert(parse("POST /a%20b?c=d HTTP/1.1\r\nHost: x:80\r\nContent-Length: 12\r\n"
                     "Connection: foo, CLOSE\r\nExpect: 100-continue\r\nX-A:  1 \r\n\r\n",
                     &head, &mistake));
        assert(head.method == HTTP_POST && http_text_is(head.path, "/a%20b"));
        assert(http_text_is(head.query, "c=d") && http_text_is(head.host, "x:80"));
        assert(head.minor == 1 && !head.keep_alive && head.expects_continue);
        assert(head.has_length && head.length == 12 && !head.is_chunked);
        assert(http_text_is(http_head_field(&head, "x-a"), "1"));
        assert(!http_head_field(&head, "x-b").ptr);
        assert(http_head_lists(&head, "connection", "Foo"));

        assert(parse("GET http://a/b HTTP/1.1\r\nHost: c\r\n\r\n", &head, &mistake));
        assert(http_text_is(head.host, "a") && http_text_is(head.path, "/b"));
        assert(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &head, &mistake));
        assert(head.minor == 0 && head.keep_alive);
        assert(parse("GET / HTTP/1.0\r\n\r\n", &head, &mistake) && !head.keep_alive);
        assert(http_head_skip("\r\nGET", 5) == 2 && http_head_skip("\n", 1) == 0);
}

static void test_many_fields(void)
{
        static char text[4096] = GET;
        struct http_mistake mistake;
        struct http_head head;

        for (size_t i = 0; i < HTTP_FIELDS_MAX - 1; i++)
                strcat(text, "A: b\r\n");
        strcat(text, "\r\n");
        assert(parse(text, &head, &mistake) && head.n_fields == HTTP_FIELDS_MAX);
        strcpy(text + strlen(text) - 2, "A: b\r\n\r\n");
        assert(!parse(text, &head, &mistake) && mistake.status == 431);
}

static void test_decode(void)
{
        static const struct {
                const char *text, *decoded;
        } texts[] = {
                { "/v1/a", "/v1/a" }, { "a%2Fb", "a/b" }, { "%e4%b8%ad", "\xe4\xb8\xad" },
                { "%", NULL },        { "%4", NULL },     { "%4g", NULL },
                { "%00", NULL },      { "%ff", NULL },    { "a+b", "a+b" },
        };
        char out[64];

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                struct http_text text = { texts[i].text, strlen(texts[i].text) };

                assert(http_text_decode(text, out) == (texts[i].decoded != NULL));
                assert(!texts[i].decoded || strcmp(out, texts[i].decoded) == 0);
        }
}

/* Reads a body in pieces of `step` bytes. Returns the last step; *ret_taken: the bytes taken. */
static enum http_body_step read_body(const char *text, size_t length, size_t step, char *out,
                                     size_t *ret_taken)
{
        struct http_head head = { .is_chunked = true };
        struct http_body body;
        enum http_body_step r;
        size_t at = 0, end = 0, taken;
        struct http_text data;

        out[0] = '\0';
        http_body_begin(&body, &head);
        for (;;) {
                r = http_body_take(&body, text + at, end - at, &taken, &data);
                at += taken;
                *ret_taken = at;
                if (r == HTTP_BODY_DATA)
                        strncat(out, data.ptr, data.length);
                if (r == HTTP_BODY_END || r == HTTP_BODY_BAD ||
                    (r == HTTP_BODY_MORE && end == length))
                        return r;
                if (r == HTTP_BODY_MORE)
                        end = length - end < step ? length : end + step;
        }
}

static void test_bodies(void)
{
        static const struct {
                const char *text, *data;
                enum http_body_step end;
        } bodies[] = {
                { "0\r\n\r\n", "", HTTP_BODY_END },
                { "5\r\nhello\r\n0\r\n\r\n", "hello", HTTP_BODY_END },
                { "5;a=b\r\nhello\r\n01\r\n!\r\n0;x\r\nA: b\r\n\r\n", "hello!", HTTP_BODY_END },
                { "A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789",
                  HTTP_BODY_END },
                { "5\r\nhel", "hel", HTTP_BODY_MORE },
                { "5\r\nhello0\r\n\r\n", "hello", HTTP_BODY_BAD },
                { "5\nhello\r\n0\r\n\r\n", "", HTTP_BODY_BAD },
                { "5\r\nhello\n0\r\n\r\n", "hello", HTTP_BODY_BAD },
                { "\r\n", "", HTTP_BODY_BAD },
                { "x\r\n", "", HTTP_BODY_BAD },
                { "0x5\r\nhello\r\n", "", HTTP_BODY_BAD },
                { "-1\r\n", "", HTTP_BODY_BAD },
                { "+5\r\nhello\r\n", "", HTTP_BODY_BAD },
                { " 5\r\nhello\r\n", "", HTTP_BODY_BAD },
                { "10000000000000000\r\n", "", HTTP_BODY_BAD },
                { "5;\x01\r\nhello\r\n", "", HTTP_BODY_BAD },
                { "5;a\rb\r\nhello\r\n", "", HTTP_BODY_BAD },
                { "0\r\nA\nB\r\n\r\n", "", HTTP_BODY_BAD },
                { "0\r\nA: b\r\n c\r\n\r\n", "", HTTP_BODY_BAD },
        };
        char out[64];
        size_t taken;

        for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
                for (size_t step = 1; step < 40; step++) {
                        size_t n = strlen(bodies[i].text);

                        assert(read_body(bodies[i].text, n, step, out, &taken) == bodies[i].end);
                        assert(strcmp(out, bodies[i].data) == 0);
                        assert(bodies[i].end != HTTP_BODY_END || taken == n);
                }
        }
}

/* Framing that goes on and on is not data. */
static void test_overhead(void)
{
        struct http_head head = { .is_chunked = true };
        struct http_body body;
        struct http_text data;
        size_t taken, n = 0;

        http_body_begin(&body, &head);
        assert(http_body_take(&body, "1;", 2, &taken, &data) == HTTP_BODY_MORE);
        while (http_body_take(&body, "a", 1, &taken, &data) == HTTP_BODY_MORE)
                n++;
        assert(n > 60000 && n < 70000);

        http_body_begin(&body, &head);
        for (n = 0; n < 1000000; n++) /* small chunks are slow, but data */
                assert(http_body_take(&body, "1\r\n", 3, &taken, &data) == HTTP_BODY_MORE &&
                       http_body_take(&body, "x", 1, &taken, &data) == HTTP_BODY_DATA &&
                       http_body_take(&body, "\r\n", 2, &taken, &data) == HTTP_BODY_MORE);
}

int main(void)
{
        test_heads();
        test_values();
        test_many_fields();
        test_decode();
        test_bodies();
        test_overhead();
        return 0;
}
