/* SPDX-License-Identifier: MIT */
#include "util/trace.h"

#include <string.h>

/* Reads n lower-case digits. False: there are other characters. */
static bool read_hex(const char *s, size_t n, uint64_t *ret)
{
        uint64_t value = 0;

        for (size_t i = 0; i < n; i++) {
                unsigned digit;

                if (s[i] >= '0' && s[i] <= '9')
                        digit = (unsigned)(s[i] - '0');
                else if (s[i] >= 'a' && s[i] <= 'f')
                        digit = (unsigned)(s[i] - 'a') + 10;
                else
                        return false;
                value = value << 4 | digit;
        }
        *ret = value;
        return true;
}

/* "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"; a later version may be longer. */
bool trace_parse(const char *s, size_t length, struct trace_context *ret)
{
        struct trace_context context;
        uint64_t version, flags;

        if (length < TRACE_PARENT_LENGTH || s[2] != '-' || s[35] != '-' || s[52] != '-')
                return false;
        if (!read_hex(s, 2, &version) || !read_hex(s + 3, 16, &context.trace[0]) ||
            !read_hex(s + 19, 16, &context.trace[1]) || !read_hex(s + 36, 16, &context.span) ||
            !read_hex(s + 53, 2, &flags))
                return false;
        if (version == 0xff || (version == 0 && length != TRACE_PARENT_LENGTH) ||
            (length > TRACE_PARENT_LENGTH && s[TRACE_PARENT_LENGTH] != '-'))
                return false;
        if ((context.trace[0] | context.trace[1]) == 0 || context.span == 0)
                return false;
        context.flags = (uint8_t)(flags & (TRACE_SAMPLED | TRACE_RANDOM));
        *ret = context;
        return true;
}

static char *put_hex(char *p, uint64_t value, unsigned digits)
{
        for (unsigned i = digits; i > 0; i--, value >>= 4)
                p[i - 1] = "0123456789abcdef"[value & 0xf];
        return p + digits;
}

void trace_put_id(const struct trace_context *context, char ret[static TRACE_ID_LENGTH])
{
        (void)put_hex(put_hex(ret, context->trace[0], 16), context->trace[1], 16);
}

void trace_put_span(uint64_t span, char ret[static TRACE_SPAN_LENGTH])
{
        (void)put_hex(ret, span, 16);
}

void trace_put_parent(const struct trace_context *context, char ret[static TRACE_PARENT_LENGTH])
{
        char *p = mempcpy(ret, "00-", 3);

        trace_put_id(context, p);
        p += TRACE_ID_LENGTH;
        *p++ = '-';
        p = put_hex(p, context->span, 16);
        *p++ = '-';
        (void)put_hex(p, context->flags, 2);
}

static bool is_printable(const char *s, size_t length)
{
        for (size_t i = 0; i < length; i++)
                if (s[i] < ' ' || s[i] > '~')
                        return false;
        return true;
}

size_t trace_add_state(char state[static TRACE_STATE_MAX], size_t used, const char *s,
                       size_t length)
{
        size_t room = TRACE_STATE_MAX - used;

        if (used > 0 && room > 0) /* for the comma */
                room--;
        if (length == 0 || !is_printable(s, length))
                return used;
        if (length > room) {
                const char *comma = memrchr(s, ',', room + 1);

                length = comma ? (size_t)(comma - s) : 0;
        }
        if (length == 0)
                return used;
        if (used > 0)
                state[used++] = ',';
        memcpy(state + used, s, length);
        return used + length;
}
