/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Parses the head of an HTTP/1.1 or HTTP/1.0 request (RFC 9112): the request line and the header
 * fields. It is strict, as proxies in front must not read a request in another way: lines end with
 * CRLF, there is no space before a colon, no folded line, one Host, one way to say the length of
 * the body. Knows no sockets and allocates nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS_MAX 100

enum http_method {
        HTTP_OTHER, /* a token that is none of those below */
        HTTP_GET,
        HTTP_HEAD,
        HTTP_POST,
        HTTP_OPTIONS,
};

struct http_text { /* not NUL-terminated */
        const char *ptr;
        size_t length;
};

struct http_field {
        struct http_text name; /* in lower case */
        struct http_text value;
};

/* All texts lie in the bytes that were parsed. */
struct http_head {
        enum http_method method;
        struct http_text path;  /* begins with '/', percent-encoded; "*" of OPTIONS */
        struct http_text query; /* behind the '?' */
        struct http_text host;  /* empty: HTTP/1.0 without one */
        unsigned minor;         /* of the version 1.x: 0 or 1 */

        bool is_chunked;
        bool has_length;
        uint64_t length; /* of the body, if has_length */
        bool keep_alive; /* what the client wants of the connection */
        bool expects_continue;

        size_t n_fields;
        struct http_field
                fields[HTTP_FIELDS_MAX]; /* last: a copy may have room for n_fields only */
};

/* What is wrong with a request: the status for the client, and a sentence for it. */
struct http_mistake {
        unsigned status;
        const char *text;
};

/*
 * Finds the end of a head. Returns its length with the empty line that ends it; 0: it goes on.
 * *scanned is 0 before the first call, and spares later ones what has been looked at.
 */
size_t http_head_find(const char *bytes, size_t length, size_t *scanned);

/* How many bytes before a request line are to be skipped: an empty line may stand there. */
size_t http_head_skip(const char *bytes, size_t length);

/* Parses a head that http_head_find() has found; writes to the bytes (names in lower case). False:
 * *ret_mistake says why, and nothing of ret counts. */
bool http_head_parse(struct http_head *ret, char *bytes, size_t length,
                     struct http_mistake *ret_mistake);

/* The value of the first field of this name. NULL ptr: there is none. */
struct http_text http_head_field(const struct http_head *head, const char *name);

/* Whether a field that is a list of tokens has this one, ignoring case. */
bool http_head_lists(const struct http_head *head, const char *name, const char *token);

bool http_text_is(struct http_text text, const char *other);
bool http_text_is_nocase(struct http_text text, const char *other);

/*
 * Decodes the percent-encoding of a piece of a path into out, which has room for text.length + 1
 * bytes, and ends it with a NUL. False: a wrong encoding, a NUL, or not UTF-8.
 */
bool http_text_decode(struct http_text text, char *out);

/* The value of a hexadecimal digit; -1: it is none. */
int http_hex(char c);
