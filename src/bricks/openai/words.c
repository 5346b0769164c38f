/* SPDX-License-Identifier: MIT */

#include "words.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Bounds the recursion; no API puts its message deeper. */
#define DEPTH_MAX 8
#define ITEMS_MAX 4
#define WORDS_MAX 1024

/* --- JSON -------------------------------------------------------------------------------- */

static int add_string(struct text *to, const char *string)
{
        return text_add_bytes(to, string, strlen(string));
}

/* Members that hold the text of an error, or an object that has it. The first one counts. */
static const struct scan_name messages[] = {
        SCAN_NAME("message"),
        SCAN_NAME("msg"),
        SCAN_NAME("error"),
        SCAN_NAME("detail"),
        SCAN_NAME("details"),
        SCAN_NAME("errors"),
        SCAN_NAME("error_msg"),
        SCAN_NAME("errorMsg"),
        SCAN_NAME("errorMessage"),
        SCAN_NAME("error_message"),
        SCAN_NAME("Message"),
        SCAN_NAME("Msg"),
        SCAN_NAME("Error"),
        SCAN_NAME("ErrorMsg"),
        SCAN_NAME("status_msg"),
        SCAN_NAME("base_resp"),
        SCAN_NAME("Response"),
        SCAN_NAME("description"),
        SCAN_NAME("error_description"),
        SCAN_NAME("title"),
        SCAN_NAME("reason"),
};
#define MESSAGES (sizeof messages / sizeof messages[0])

static int add_words(struct text *to, struct scan value, unsigned depth);

/* Of a mistake in a request, as FastAPI tells it: where it is. */
static int add_place(struct text *to, struct scan place)
{
        size_t before = to->n;
        int r = 0;

        for (struct scan step = scan_first(place); step.p && r == 0;
             step = scan_next(place, step)) {
                if (to->n > before)
                        r = add_string(to, ".");
                if (r == 0)
                        r = scan_is_string(step)
                                    ? text_add(to, step)
                                    : text_add_bytes(to, step.p, (size_t)(step.end - step.p));
        }
        return r == 0 && to->n > before ? add_string(to, ": ") : r;
}

static int add_object(struct text *to, struct scan object, unsigned depth)
{
        struct scan found[MESSAGES], raw;
        size_t before;
        int r;

        scan_members(object, messages, MESSAGES, found);
        r = add_place(to, scan_member(object, "loc"));
        before = to->n;
        for (size_t i = 0; i < MESSAGES && r == 0 && to->n == before; i++)
                r = add_words(to, found[i], depth + 1);
        /* What a provider said to a gateway. */
        raw = scan_member(scan_member(object, "metadata"), "raw");
        if (r == 0 && to->n > before && scan_is_string(raw) && raw.end - raw.p > 2) {
                r = add_string(to, ": ");
                if (r == 0)
                        r = text_add(to, raw);
        }
        return r;
}

static int add_list(struct text *to, struct scan list, unsigned depth)
{
        unsigned n = 0;
        int r = 0;

        for (struct scan item = scan_first(list); item.p && r == 0 && n < ITEMS_MAX;
             item = scan_next(list, item)) {
                size_t before = to->n;

                if (n > 0)
                        r = add_string(to, "; ");
                if (r == 0)
                        r = add_words(to, item, depth + 1);
                if (n > 0 && to->n == before + 2)
                        to->n = before;
                n += to->n > before;
        }
        return r;
}

static int add_words(struct text *to, struct scan value, unsigned depth)
{
        if (!value.p || depth > DEPTH_MAX || to->n > WORDS_MAX)
                return 0;
        if (*value.p == '"')
                return text_add(to, value);
        if (*value.p == '{')
                return add_object(to, value, depth);
        return *value.p == '[' ? add_list(to, value, depth) : 0;
}

int words_of_json(struct text *to, struct scan value)
{
        return add_words(to, value, 0);
}

/* --- pages --------------------------------------------------------------------------------- */

/* The text of the first element with this name. */
static struct scan find_element(const char *name, const char *p, const char *end)
{
        size_t n = strlen(name);
        const char *close;

        for (; (p = memchr(p, '<', (size_t)(end - p))); p++) {
                if ((size_t)(end - p) < n + 2 || strncasecmp(p + 1, name, n) != 0 ||
                    !strchr("> \t\r\n", p[n + 1]))
                        continue;
                p = memchr(p, '>', (size_t)(end - p));
                if (!p)
                        break;
                close = memchr(p, '<', (size_t)(end - p));
                return (struct scan){ p + 1, close ? close : end };
        }
        return (struct scan){};
}

static const struct {
        const char *entity, *text;
} entities[] = {
        { "&amp;", "&" }, { "&lt;", "<" },   { "&gt;", ">" },   { "&quot;", "\"" },
        { "&#39;", "'" }, { "&#x27;", "'" }, { "&nbsp;", " " }, { "&mdash;", "-" },
};

/* Adds text on one line, with its blanks run together. */
static int add_line(struct text *to, const char *p, const char *end, bool is_markup)
{
        size_t begin = to->n;
        int r = 0;

        while (p < end && r == 0 && to->n - begin < WORDS_MAX) {
                const char *run = p;

                if (isspace((unsigned char)*p)) {
                        while (p < end && isspace((unsigned char)*p))
                                p++;
                        if (p < end && to->n > begin)
                                r = add_string(to, " ");
                        continue;
                }
                for (size_t i = 0;
                     is_markup && *p == '&' && i < sizeof entities / sizeof entities[0]; i++) {
                        size_t n = strlen(entities[i].entity);

                        if ((size_t)(end - p) >= n && memcmp(p, entities[i].entity, n) == 0) {
                                r = add_string(to, entities[i].text);
                                p += n;
                                break;
                        }
                }
                if (p > run)
                        continue;
                do
                        p++;
                while (p < end && !isspace((unsigned char)*p) && *p != '&');
                r = text_add_bytes(to, run, (size_t)(p - run));
        }
        return r == 0 ? text_end(to) : r;
}

int words_of_page(struct text *to, const char *body, size_t n)
{
        static const char *const elements[] = { "title", "h1", "Message", "message", "p" };
        const char *end = body + n;
        size_t begin = to->n;
        int r = 0;

        while (body < end && isspace((unsigned char)*body))
                body++;
        if (body == end || *body != '<')
                return add_line(to, body, end, false);
        for (size_t i = 0; i < sizeof elements / sizeof elements[0] && to->n == begin && r == 0;
             i++) {
                struct scan found = find_element(elements[i], body, end);

                if (found.p)
                        r = add_line(to, found.p, found.end, true);
        }
        return r;
}
