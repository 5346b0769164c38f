/* SPDX-License-Identifier: MIT */
#include "http/head.h"

#include <string.h>
#include <strings.h>

#include "util/utf8.h"

static bool refuse(struct http_mistake *mistake, unsigned status, const char *text)
{
        *mistake = (struct http_mistake){ status, text };
        return false;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110, section 5.6.2. */
static bool is_token(char c)
{
        return is_digit(c) || is_letter(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* A character of a field's value. */
static bool is_value(char c)
{
        unsigned char u = (unsigned char)c;

        return u == '\t' || (u >= ' ' && u != 0x7f);
}

/* A character of a request target: RFC 3986, with '[' and ']', which clients send in queries. */
static bool is_target(char c)
{
        return c > ' ' && c < 0x7f && !strchr("\"<>\\^`{|}#", c);
}

bool http_text_is(struct http_text text, const char *other)
{
        return strlen(other) == text.length && memcmp(text.ptr, other, text.length) == 0;
}

bool http_text_is_nocase(struct http_text text, const char *other)
{
        return strlen(other) == text.length && strncasecmp(text.ptr, other, text.length) == 0;
}

size_t http_head_find(const char *bytes, size_t length, size_t *scanned)
{
        const char *end = bytes + length;
        const char *at = bytes + (*scanned > 3 ? *scanned - 3 : 0);

        for (; (at = memchr(at, '\n', (size_t)(end - at))); at++) {
                /* A bare LF also ends the search; the parser refuses it. */
                if (at + 1 < end && at[1] == '\n')
                        return (size_t)(at + 2 - bytes);
                if (at + 2 < end && at[1] == '\r' && at[2] == '\n')
                        return (size_t)(at + 3 - bytes);
        }
        *scanned = length;
        return 0;
}

size_t http_head_skip(const char *bytes, size_t length)
{
        return length >= 2 && memcmp(bytes, "\r\n", 2) == 0 ? 2 : 0;
}

/* Takes the next line, without its CRLF. False: it does not end with one. */
static bool take_line(char **at, char *end, char **ret, size_t *ret_length)
{
        char *lf = memchr(*at, '\n', (size_t)(end - *at));

        if (!lf || lf == *at || lf[-1] != '\r')
                return false;
        *ret = *at;
        *ret_length = (size_t)(lf - 1 - *at);
        *at = lf + 1;
        return true;
}

static enum http_method method_of(struct http_text text)
{
        static const char *const names[] = {
                [HTTP_GET] = "GET",
                [HTTP_HEAD] = "HEAD",
                [HTTP_POST] = "POST",
                [HTTP_OPTIONS] = "OPTIONS",
        };

        for (enum http_method i = HTTP_GET; i <= HTTP_OPTIONS; i++)
                if (http_text_is(text, names[i]))
                        return i;
        return HTTP_OTHER;
}

/* Takes what stands before the next space of a request line. */
static struct http_text take_word(const char **at, const char *end)
{
        const char *space = memchr(*at, ' ', (size_t)(end - *at));
        struct http_text word = { *at, (size_t)((space ? space : end) - *at) };

        *at = space ? space + 1 : end;
        return word;
}

/* Of a target as proxies get it: what follows "http://". NULL: it is not of that form. */
static const char *behind_scheme(struct http_text target)
{
        if (target.length > 7 && strncasecmp(target.ptr, "http://", 7) == 0)
                return target.ptr + 7;
        if (target.length > 8 && strncasecmp(target.ptr, "https://", 8) == 0)
                return target.ptr + 8;
        return NULL;
}

/* Splits "/path?query", "http://host/path?query" or, for OPTIONS, "*". */
static bool parse_target(struct http_head *head, struct http_text target,
                         struct http_mistake *mistake)
{
        const char *authority, *question;

        for (size_t i = 0; i < target.length; i++)
                if (!is_target(target.ptr[i]))
                        return refuse(mistake, 400,
                                      "The request target has a character that must "
                                      "be percent-encoded.");
        if (head->method == HTTP_OPTIONS && http_text_is(target, "*")) {
                head->path = target;
                return true;
        }
        authority = behind_scheme(target);
        if (authority) {
                const char *end = target.ptr + target.length;
                const char *slash = memchr(authority, '/', (size_t)(end - authority));

                if (!slash || slash == authority)
                        return refuse(mistake, 400, "The request target has no host or no path.");
                head->host = (struct http_text){ authority, (size_t)(slash - authority) };
                target = (struct http_text){ slash, (size_t)(end - slash) };
        }
        if (target.length == 0 || target.ptr[0] != '/')
                return refuse(mistake, 400, "The request target must begin with '/'.");
        question = memchr(target.ptr, '?', target.length);
        head->path = target;
        if (question) {
                head->path.length = (size_t)(question - target.ptr);
                head->query = (struct http_text){ question + 1,
                                                  target.length - head->path.length - 1 };
        }
        return true;
}

static bool parse_version(struct http_head *head, struct http_text text,
                          struct http_mistake *mistake)
{
        if (text.length != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || !is_digit(text.ptr[5]) ||
            text.ptr[6] != '.' || !is_digit(text.ptr[7]))
                return refuse(mistake, 400, "The request line is not METHOD TARGET HTTP/1.1.");
        if (text.ptr[5] != '1')
                return refuse(mistake, 505, "This port speaks HTTP/1.1.");
        head->minor = text.ptr[7] != '0';
        return true;
}

static bool parse_request_line(struct http_head *head, const char *line, size_t length,
                               struct http_mistake *mistake)
{
        const char *at = line, *end = line + length;
        struct http_text method = take_word(&at, end);
        struct http_text target = take_word(&at, end);

        for (size_t i = 0; i < method.length; i++)
                if (!is_token(method.ptr[i]))
                        return refuse(mistake, 400, "The method is not a token.");
        if (method.length == 0)
                return refuse(mistake, 400, "The request line is not METHOD TARGET HTTP/1.1.");
        head->method = method_of(method);
        return parse_version(head, (struct http_text){ at, (size_t)(end - at) }, mistake) &&
               parse_target(head, target, mistake);
}

static char to_lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool parse_field(struct http_head *head, char *line, size_t length,
                        struct http_mistake *mistake)
{
        char *colon = memchr(line, ':', length);
        char *value, *end = line + length;

        if (line[0] == ' ' || line[0] == '\t')
                return refuse(mistake, 400, "A header field must not be folded over lines.");
        if (!colon || colon == line)
                return refuse(mistake, 400, "A header field is not NAME: VALUE.");
        for (char *c = line; c < colon; c++) {
                if (!is_token(*c))
                        return refuse(mistake, 400, "The name of a header field is not a token.");
                *c = to_lower(*c);
        }
        for (value = colon + 1; value < end && (*value == ' ' || *value == '\t');)
                value++;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        for (char *c = value; c < end; c++)
                if (!is_value(*c))
                        return refuse(mistake, 400, "A header field has a control character.");
        if (head->n_fields == HTTP_FIELDS_MAX)
                return refuse(mistake, 431, "There are more than 100 header fields.");
        head->fields[head->n_fields++] = (struct http_field){
                { line, (size_t)(colon - line) },
                { value, (size_t)(end - value) },
        };
        return true;
}

struct http_text http_head_field(const struct http_head *head, const char *name)
{
        for (size_t i = 0; i < head->n_fields; i++)
                if (http_text_is(head->fields[i].name, name))
                        return head->fields[i].value;
        return (struct http_text){ NULL, 0 };
}

/* Takes the next item of a list, without the white space around it. */
static bool take_item(struct http_text *list, struct http_text *ret)
{
        const char *comma;

        if (!list->ptr)
                return false;
        comma = memchr(list->ptr, ',', list->length);
        *ret = (struct http_text){ list->ptr, comma ? (size_t)(comma - list->ptr) : list->length };
        list->length -= ret->length + (comma ? 1 : 0);
        list->ptr = comma ? comma + 1 : NULL;
        while (ret->length > 0 && (ret->ptr[0] == ' ' || ret->ptr[0] == '\t')) {
                ret->ptr++;
                ret->length--;
        }
        while (ret->length > 0 &&
               (ret->ptr[ret->length - 1] == ' ' || ret->ptr[ret->length - 1] == '\t'))
                ret->length--;
        return true;
}

bool http_head_lists(const struct http_head *head, const char *name, const char *token)
{
        for (size_t i = 0; i < head->n_fields; i++) {
                struct http_text list = head->fields[i].value, item;

                if (!http_text_is(head->fields[i].name, name))
                        continue;
                while (take_item(&list, &item))
                        if (http_text_is_nocase(item, token))
                                return true;
        }
        return false;
}

static size_t count_fields(const struct http_head *head, const char *name)
{
        size_t n = 0;

        for (size_t i = 0; i < head->n_fields; i++)
                n += http_text_is(head->fields[i].name, name);
        return n;
}

static bool parse_length(struct http_head *head, struct http_mistake *mistake)
{
        struct http_text text = http_head_field(head, "content-length");

        if (!text.ptr)
                return true;
        if (count_fields(head, "content-length") > 1)
                return refuse(mistake, 400, "There is more than one Content-Length.");
        if (text.length == 0)
                return refuse(mistake, 400, "Content-Length is not a number.");
        for (size_t i = 0; i < text.length; i++) {
                if (!is_digit(text.ptr[i]))
                        return refuse(mistake, 400, "Content-Length is not a number.");
                if (head->length > (UINT64_MAX - 9) / 10)
                        return refuse(mistake, 413, "The body is too large.");
                head->length = head->length * 10 + (uint64_t)(text.ptr[i] - '0');
        }
        head->has_length = true;
        return true;
}

/* RFC 9112, section 6.3. Anything that another server may read otherwise is refused. */
static bool parse_framing(struct http_head *head, struct http_mistake *mistake)
{
        struct http_text coding = http_head_field(head, "transfer-encoding");

        if (!parse_length(head, mistake))
                return false;
        if (!coding.ptr)
                return true;
        if (head->has_length)
                return refuse(mistake, 400, "There are both Transfer-Encoding and Content-Length.");
        if (head->minor == 0)
                return refuse(mistake, 400, "HTTP/1.0 has no Transfer-Encoding.");
        if (count_fields(head, "transfer-encoding") > 1 || !http_text_is_nocase(coding, "chunked"))
                return refuse(mistake, 501, "The only Transfer-Encoding is chunked.");
        head->is_chunked = true;
        return true;
}

/* A name or an address, perhaps with a port: nothing that could be taken for more than that. */
static bool is_host(struct http_text host)
{
        for (size_t i = 0; i < host.length; i++)
                if (!is_digit(host.ptr[i]) && !is_letter(host.ptr[i]) &&
                    !strchr("-._~:[]%", host.ptr[i]))
                        return false;
        return true;
}

static bool parse_host(struct http_head *head, struct http_mistake *mistake)
{
        size_t n = count_fields(head, "host");

        if (n > 1 || (n == 0 && head->minor > 0))
                return refuse(mistake, 400, "A request has one Host.");
        if (n == 1 && !head->host.ptr) /* that of the target comes first: RFC 9112, section 3.2.2 */
                head->host = http_head_field(head, "host");
        return is_host(head->host) || refuse(mistake, 400, "Host is not the name of one.");
}

/* A second one would be for another reader. */
static bool parse_origin(const struct http_head *head, struct http_mistake *mistake)
{
        return count_fields(head, "origin") <= 1 ||
               refuse(mistake, 400, "A request has one Origin at most.");
}

static bool parse_connection(struct http_head *head, struct http_mistake *mistake)
{
        struct http_text expect = http_head_field(head, "expect");

        head->keep_alive = head->minor > 0 ? !http_head_lists(head, "connection", "close")
                                           : http_head_lists(head, "connection", "keep-alive");
        if (!expect.ptr || head->minor == 0)
                return true;
        if (!http_text_is_nocase(expect, "100-continue"))
                return refuse(mistake, 417, "The only expectation is 100-continue.");
        head->expects_continue = head->is_chunked || head->length > 0;
        return true;
}

bool http_head_parse(struct http_head *ret, char *bytes, size_t length,
                     struct http_mistake *ret_mistake)
{
        char *at = bytes, *end = bytes + length, *line;
        size_t n;

        memset(ret, 0, offsetof(struct http_head, fields));
        ret->n_fields = 0;
        if (!take_line(&at, end, &line, &n))
                return refuse(ret_mistake, 400, "A line does not end with CR LF.");
        if (!parse_request_line(ret, line, n, ret_mistake))
                return false;
        for (;;) {
                if (!take_line(&at, end, &line, &n))
                        return refuse(ret_mistake, 400, "A line does not end with CR LF.");
                if (n == 0)
                        break;
                if (!parse_field(ret, line, n, ret_mistake))
                        return false;
        }
        if (at != end) /* the head of http_head_find() ends with its first empty line */
                return refuse(ret_mistake, 400, "A line does not end with CR LF.");
        return parse_framing(ret, ret_mistake) && parse_host(ret, ret_mistake) &&
               parse_origin(ret, ret_mistake) && parse_connection(ret, ret_mistake);
}

int http_hex(char c)
{
        if (is_digit(c))
                return c - '0';
        c = to_lower(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_text_decode(struct http_text text, char *out)
{
        size_t n = 0;

        for (size_t i = 0; i < text.length; i++) {
                char c = text.ptr[i];

                if (c == '%') {
                        int high = i + 2 < text.length ? http_hex(text.ptr[i + 1]) : -1;
                        int low = i + 2 < text.length ? http_hex(text.ptr[i + 2]) : -1;

                        if (high < 0 || low < 0 || (high == 0 && low == 0))
                                return false;
                        c = (char)(high << 4 | low);
                        i += 2;
                }
                out[n++] = c;
        }
        out[n] = '\0';
        return utf8_valid(out, n);
}
