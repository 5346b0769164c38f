/* SPDX-License-Identifier: MIT */
#include "util/log-format.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/out.h"
#include "util/utf8.h"

/* Most lines have the same second as the line before, so its text is cached. */
static void put_time(struct out *out, uint64_t time)
{
        static _Thread_local char text[32];
        static _Thread_local time_t last = -1;
        time_t seconds = (time_t)(time / 1000000);
        unsigned ms = (unsigned)(time % 1000000 / 1000);
        char fraction[] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                            (char)('0' + ms % 10), 'Z' };
        struct tm tm;

        if (seconds != last) {
                gmtime_r(&seconds, &tm);
                (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
                last = seconds;
        }
        out_string(out, text);
        out_put(out, fraction, sizeof fraction);
}

/* C0, DEL, and C1, which some terminals obey. */
static bool is_control(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static void put_escaped(struct out *out, const char *prefix, unsigned char c)
{
        char escape[8];

        snprintf(escape, sizeof escape, "%s%02x", prefix, c);
        out_string(out, escape);
}

/* ASCII characters that need no escape. They make up nearly all of a line, so they are copied in
 * runs. */
enum {
        CLASS_PLAIN = 1 << 0, /* needs no escape inside quotes */
        CLASS_BARE = 1 << 1,  /* needs no quotes */
};

static const unsigned char classes[256] = {
        [' '] = CLASS_PLAIN,
        ['!'] = CLASS_PLAIN | CLASS_BARE,
        ['#' ... '<'] = CLASS_PLAIN | CLASS_BARE,
        ['='] = CLASS_PLAIN,
        ['>' ... '['] = CLASS_PLAIN | CLASS_BARE,
        [']' ... '~'] = CLASS_PLAIN | CLASS_BARE,
};

static size_t class_prefix(const char *s, size_t n, unsigned class)
{
        size_t i = 0;

        while (i < n && classes[(unsigned char)s[i]] & class)
                i++;
        return i;
}

static void put_text(struct out *out, const char *s, size_t n, bool quoted)
{
        while (n > 0) {
                size_t length = class_prefix(s, n, CLASS_PLAIN);
                uint32_t c;

                if (length > 0) {
                        out_put(out, s, length);
                } else if ((length = utf8_decode(s, n, &c)) > 0 && !is_control(c)) {
                        if (quoted && (c == '"' || c == '\\'))
                                out_put(out, "\\", 1);
                        out_put(out, s, length);
                } else {
                        length = 1;
                        if (*s == '\n')
                                out_string(out, "\\n");
                        else if (*s == '\t')
                                out_string(out, "\\t");
                        else
                                put_escaped(out, "\\x", (unsigned char)*s);
                }
                s += length;
                n -= length;
        }
}

/* Writes a name in lower case: only the journal has upper case. */
static void put_name(struct out *out, const char *name)
{
        size_t n = strlen(name);

        if (n > (size_t)(out->end - out->next))
                return;
        for (size_t i = 0; i < n; i++)
                *out->next++ = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
}

static bool needs_quotes(const char *value, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)value[i] <= ' ' || value[i] == '"' || value[i] == '\\' ||
                    value[i] == '=')
                        return true;
        return n == 0;
}

static void put_text_field(struct out *out, const struct log_field *field)
{
        size_t length = field->length;
        bool quoted;

        out_put(out, " ", 1);
        put_name(out, field->name);
        out_put(out, "=", 1);
        if (length > 0 && class_prefix(field->value, length, CLASS_BARE) == length) {
                out_put(out, field->value, length);
                return;
        }
        quoted = needs_quotes(field->value, length);
        if (quoted)
                out_put(out, "\"", 1);
        put_text(out, field->value, length, quoted);
        if (quoted)
                out_put(out, "\"", 1);
}

/* The message id is for programs that read the journal. Text shows the message itself. */
static bool is_message_id(const struct log_field *field)
{
        return strcmp(field->name, "MESSAGE_ID") == 0;
}

size_t log_format_text(uint64_t time, enum log_level level, const struct log_line *line, char *ret)
{
        struct out out = { .next = ret, .end = ret + LOG_FORMATTED_MAX - 1 };

        put_time(&out, time);
        out_put(&out, " ", 1);
        out_string(&out, log_level_to_string(level));
        out_put(&out, " ", 1);
        put_text(&out, line->message, line->length, false);
        for (size_t i = 0; i < line->n; i++)
                if (!is_message_id(&line->fields[i]))
                        put_text_field(&out, &line->fields[i]);
        *out.next++ = '\n';
        return (size_t)(out.next - ret);
}

static void put_json_field(struct out *out, const struct log_field *field)
{
        out_string(out, ",\"");
        put_name(out, field->name);
        out_string(out, "\":");
        out_json(out, field->value, field->length);
}

size_t log_format_json(uint64_t time, enum log_level level, const struct log_line *line, char *ret)
{
        const struct log_field message = { "MESSAGE", line->message, line->length };
        struct out out = { .next = ret, .end = ret + LOG_FORMATTED_MAX - 1 };

        out_string(&out, "{\"time\":\"");
        put_time(&out, time);
        out_string(&out, "\",\"level\":\"");
        out_string(&out, log_level_to_string(level));
        out_put(&out, "\"", 1);
        put_json_field(&out, &message);
        for (size_t i = 0; i < line->n; i++)
                put_json_field(&out, &line->fields[i]);
        out_put(&out, "}", 1);
        *out.next++ = '\n';
        return (size_t)(out.next - ret);
}

static struct iovec put_item(struct out *out, const char *name, const char *value, size_t length)
{
        char *item = out->next;

        out_string(out, name);
        out_put(out, "=", 1);
        /* journalctl(1) shows other bytes as "[blob data]". */
        out->next += utf8_repair(out->next, (size_t)(out->end - out->next), value, length);
        return (struct iovec){ item, (size_t)(out->next - item) };
}

size_t log_format_items(enum log_level level, const struct log_line *line,
                        struct iovec items[static LOG_ITEMS_MAX], char *texts)
{
        struct out out = { .next = texts, .end = texts + LOG_FORMATTED_MAX };
        const char priority = (char)('0' + level);
        size_t n = 0;

        items[n++] = put_item(&out, "MESSAGE", line->message, line->length);
        items[n++] = put_item(&out, "PRIORITY", &priority, 1);
        items[n++] = put_item(&out, "SYSLOG_IDENTIFIER", "brickd", strlen("brickd"));
        for (size_t i = 0; i < line->n; i++)
                items[n++] = put_item(&out, line->fields[i].name, line->fields[i].value,
                                      line->fields[i].length);
        return n;
}
