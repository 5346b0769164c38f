/* SPDX-License-Identifier: MIT */
#include "conf/text.h"

#include <stdint.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "util/utf8.h"

#define FILE_MAX (16 * 1024 * 1024)
#define EXPANDED_MAX (1024 * 1024)

void text_skip_bom(const char **s, size_t *length)
{
        if (*length >= 3 && memcmp(*s, "\xef\xbb\xbf", 3) == 0) {
                *s += 3;
                *length -= 3;
        }
}

static bool is_allowed(uint32_t c)
{
        return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f) || c == 0x85 ||
               (c >= 0xa0 && c != 0xfffe && c != 0xffff && c != 0xfeff);
}

static bool check_characters(const char *s, size_t length, struct diag *diag)
{
        unsigned line = 1, column = 1;
        uint32_t c = 0;
        size_t n;

        for (; length > 0; s += n, length -= n) {
                n = utf8_decode(s, length, &c);
                if (n == 0) {
                        diag_add_at(diag, line, column, "not UTF-8: byte 0x%02x",
                                    (unsigned char)s[0]);
                        return false;
                }
                if (!is_allowed(c)) {
                        diag_add_at(diag, line, column, "character U+%04X is not allowed here", c);
                        return false;
                }
                column++;
                /* libyaml counts the same line breaks. */
                if (c == '\n' || (c == '\r' && !(length > 1 && s[1] == '\n')) || c == 0x85 ||
                    c == 0x2028 || c == 0x2029) {
                        line++;
                        column = 1;
                }
        }
        return true;
}

/* libyaml refuses all of this as well, but without a line and a column. */
bool text_check(const char *s, size_t length, struct diag *diag)
{
        if (length > FILE_MAX) {
                diag_add(diag, NULL, "larger than 16 MiB");
                return false;
        }
        if (length >= 2 && (memcmp(s, "\xff\xfe", 2) == 0 || memcmp(s, "\xfe\xff", 2) == 0)) {
                diag_add(diag, NULL, "the file is UTF-16; save it as UTF-8");
                return false;
        }
        text_skip_bom(&s, &length);
        return check_characters(s, length, diag);
}

static size_t name_length(const char *s)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        return s[0] >= '0' && s[0] <= '9' ? 0 : n;
}

/*
 * The value of the variable whose name starts at s, behind "${". *ret_end points behind the "}".
 * NULL: a mistake, which has been reported.
 */
static const char *resolve(const struct node *scalar, const char *s, const char **ret_end,
                           size_t *ret_length, struct diag *diag)
{
        _cleanup_free_ char *name = NULL;
        const char *fallback = NULL, *end, *value;
        size_t n;

        n = name_length(s);
        end = strchr(s, '}');
        if (n > 0 && strncmp(s + n, ":-", 2) == 0)
                fallback = s + n + 2;
        if (n == 0 || !end || (!fallback && s + n != end)) {
                diag_add(diag, scalar,
                         "expected ${NAME} or ${NAME:-default}; write $${ for a literal ${");
                return NULL;
        }
        *ret_end = end + 1;

        name = strndup(s, n);
        value = name ? getenv(name) : NULL;
        if (fallback && (!value || value[0] == '\0')) {
                *ret_length = (size_t)(end - fallback);
                return fallback;
        }
        if (!value) {
                diag_add(diag, scalar,
                         "the environment variable %.*s is not set; for a default write "
                         "${%.*s:-default}",
                         (int)n, s, (int)n, s);
                return NULL;
        }
        if (!utf8_valid(value, strlen(value))) {
                diag_add(diag, scalar, "the environment variable %s is not UTF-8", name);
                return NULL;
        }
        *ret_length = strlen(value);
        return value;
}

static int expand(const struct node *scalar, FILE *out, struct diag *diag)
{
        const char *s = scalar->text, *value, *next;
        size_t n;

        for (; *s; s = next) {
                value = s;
                if (s[0] != '$') {
                        n = strcspn(s, "$");
                        next = s + n;
                } else if (s[1] == '{') {
                        value = resolve(scalar, s + 2, &next, &n, diag);
                        if (!value)
                                return -EINVAL;
                } else {
                        n = 1;
                        next = s + (s[1] == '$' ? 2 : 1);
                }
                if (ftell(out) + (long)n > EXPANDED_MAX) {
                        diag_add(diag, scalar, "longer than 1 MiB with its variables replaced");
                        return -EINVAL;
                }
                (void)fwrite(value, 1, n, out);
        }
        return 0;
}

int text_expand(struct document *doc, struct node *scalar, struct diag *diag)
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        FILE *out;
        int r, k;

        if (!strchr(scalar->text, '$'))
                return 0;

        out = open_memstream(&text, &length);
        if (!out)
                return -ENOMEM;
        r = expand(scalar, out, diag);
        k = ferror(out);
        if (fclose(out) != 0 || k)
                return -ENOMEM;

        scalar->plain = false;
        scalar->bad = r != 0;
        if (r != 0)
                return 0;
        scalar->length = length;
        scalar->text = document_strndup(doc, text, length);
        return scalar->text ? 0 : -ENOMEM;
}

char *text_escape(const char *s)
{
        char *text, *p;

        text = p = malloc(strlen(s) * 2 + 1);
        if (!text)
                return NULL;
        for (; *s; s++) {
                *p++ = *s;
                if (s[0] == '$' && (s[1] == '$' || s[1] == '{'))
                        *p++ = '$';
        }
        *p = '\0';
        return text;
}
