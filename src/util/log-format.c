/* SPDX-License-Identifier: MIT */
#include "util/log-format.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct out {
        char *next;
        char *end;
};

static void put(struct out *out, const char *s, size_t n)
{
        if (n > (size_t)(out->end - out->next))
                return;
        memcpy(out->next, s, n);
        out->next += n;
}

static void put_string(struct out *out, const char *s)
{
        put(out, s, strlen(s));
}

static void put_time(struct out *out, uint64_t time)
{
        time_t seconds = (time_t)(time / 1000000);
        char text[64];
        struct tm tm;

        gmtime_r(&seconds, &tm);
        out->next += strftime(out->next, (size_t)(out->end - out->next), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text, sizeof text, ".%03uZ", (unsigned)(time % 1000000 / 1000));
        put_string(out, text);
}

/* The length of the well-formed UTF-8 sequence that s starts with; 0: there is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
        size_t length;

        if (s[0] < 0x80)
                return 1;
        if (s[0] >= 0xc2 && s[0] <= 0xdf)
                length = 2;
        else if (s[0] >= 0xe0 && s[0] <= 0xef)
                length = 3;
        else if (s[0] >= 0xf0 && s[0] <= 0xf4)
                length = 4;
        else
                return 0;
        if (length > n)
                return 0;
        for (size_t i = 1; i < length; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        /* too long for what it says, a surrogate, or above U+10FFFF */
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
            (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return length;
}

/* C0, DEL, and C1, which some terminals obey in their two-byte form. */
static bool is_control(const unsigned char *s, size_t length)
{
        return length == 1 ? s[0] < 0x20 || s[0] == 0x7f
                           : length == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

static void put_text(struct out *out, const char *s, size_t n, bool quoted)
{
        const unsigned char *p = (const unsigned char *)s, *end = p + n;
        char escape[8];

        while (p < end) {
                size_t length = utf8_length(p, (size_t)(end - p));

                if (length > 0 && !is_control(p, length)) {
                        if (quoted && (*p == '"' || *p == '\\'))
                                put(out, "\\", 1);
                        put(out, (const char *)p, length);
                        p += length;
                        continue;
                }
                if (*p == '\n')
                        put_string(out, "\\n");
                else if (*p == '\t')
                        put_string(out, "\\t");
                else {
                        snprintf(escape, sizeof escape, "\\x%02x", *p);
                        put_string(out, escape);
                }
                p++;
        }
}

static void put_json(struct out *out, const char *s, size_t n)
{
        const unsigned char *p = (const unsigned char *)s, *end = p + n;
        char escape[8];

        put(out, "\"", 1);
        while (p < end) {
                size_t length = utf8_length(p, (size_t)(end - p));

                if (length == 0) {
                        put_string(out, "\\ufffd");
                        length = 1;
                } else if (length == 1 && (*p < 0x20 || *p == 0x7f)) {
                        snprintf(escape, sizeof escape, "\\u%04x", *p);
                        put_string(out, escape);
                } else {
                        if (*p == '"' || *p == '\\')
                                put(out, "\\", 1);
                        put(out, (const char *)p, length);
                }
                p += length;
        }
        put(out, "\"", 1);
}

/* Names are upper case in the journal only. */
static void put_name(struct out *out, const char *name, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char c = (char)tolower((unsigned char)name[i]);

                put(out, &c, 1);
        }
}

static const char *item_value(const struct iovec *item, size_t *ret_length)
{
        const char *text = item->iov_base, *equals = memchr(text, '=', item->iov_len);

        *ret_length = item->iov_len - (size_t)(equals + 1 - text);
        return equals + 1;
}

static bool needs_quotes(const char *value, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)value[i] < 0x20 || strchr(" \"\\=", value[i]))
                        return true;
        return n == 0;
}

static void put_text_field(struct out *out, const struct iovec *item)
{
        const char *name = item->iov_base, *value;
        size_t length;
        bool quoted;

        value = item_value(item, &length);
        quoted = needs_quotes(value, length);
        put(out, " ", 1);
        put_name(out, name, (size_t)(value - name)); /* with the "=" */
        if (quoted)
                put(out, "\"", 1);
        put_text(out, value, length, quoted);
        if (quoted)
                put(out, "\"", 1);
}

/* For programs that read the journal; people see the message beside it. */
static bool is_message_id(const struct iovec *item)
{
        static const char name[] = "MESSAGE_ID=";

        return item->iov_len >= sizeof name - 1 &&
               memcmp(item->iov_base, name, sizeof name - 1) == 0;
}

size_t log_format_text(const struct log_record *record, char *ret)
{
        struct out out = { .next = ret, .end = ret + LOG_FORMATTED_MAX - 1 };
        const char *message;
        size_t length;

        put_time(&out, record->time);
        put(&out, " ", 1);
        put_string(&out, log_level_to_string(record->level));
        put(&out, " ", 1);
        message = item_value(&record->items[LOG_ITEM_MESSAGE], &length);
        put_text(&out, message, length, false);
        for (size_t i = LOG_ITEM_FIELDS; i < record->n_items; i++)
                if (!is_message_id(&record->items[i]))
                        put_text_field(&out, &record->items[i]);
        *out.next++ = '\n';
        return (size_t)(out.next - ret);
}

static void put_json_field(struct out *out, const struct iovec *item)
{
        const char *name = item->iov_base, *value;
        size_t length;

        value = item_value(item, &length);
        put_string(out, ",\"");
        put_name(out, name, (size_t)(value - 1 - name));
        put_string(out, "\":");
        put_json(out, value, length);
}

size_t log_format_json(const struct log_record *record, char *ret)
{
        struct out out = { .next = ret, .end = ret + LOG_FORMATTED_MAX - 1 };

        put_string(&out, "{\"time\":\"");
        put_time(&out, record->time);
        put_string(&out, "\",\"level\":\"");
        put_string(&out, log_level_to_string(record->level));
        put(&out, "\"", 1);
        put_json_field(&out, &record->items[LOG_ITEM_MESSAGE]);
        for (size_t i = LOG_ITEM_FIELDS; i < record->n_items; i++)
                put_json_field(&out, &record->items[i]);
        put(&out, "}", 1);
        *out.next++ = '\n';
        return (size_t)(out.next - ret);
}
