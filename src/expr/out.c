/* SPDX-License-Identifier: MIT */
#include "expr/out.h"

#include <math.h>
#include <string.h>

#include "expr/value.h"

enum {
        FIRST_SIZE = 256,
        JSON_DEPTH = 64,
};

static int grow(struct expr_out *out, size_t n)
{
        size_t size = out->size ? out->size : FIRST_SIZE;
        char *grown;

        while (size - out->len < n)
                size *= 2;
        if (size == out->size)
                return 0;
        grown = expr_alloc(out->machine, size);
        if (!grown)
                return -ENOMEM;
        if (out->len > 0)
                memcpy(grown, out->ptr, out->len);
        out->ptr = grown;
        out->size = size;
        return 0;
}

int expr_out_add(struct expr_out *out, const char *s, size_t n)
{
        int r;

        if (n > out->machine->output - out->len)
                return expr_fail(out->machine, out->node, -E2BIG,
                                 "this makes a text that is longer than %zu bytes",
                                 out->machine->output);
        r = expr_charge(out->machine, out->node, n);
        if (r == 0)
                r = grow(out, n);
        if (r < 0)
                return r;
        if (n > 0)
                memcpy(out->ptr + out->len, s, n);
        out->len += n;
        return 0;
}

struct expr_value expr_out_end(const struct expr_out *out)
{
        return expr_text_n(out->ptr ? out->ptr : "", out->len);
}

static int adds(struct expr_out *out, const char *s)
{
        return expr_out_add(out, s, strlen(s));
}

/* What stands for a byte in a JSON string; NULL: itself. */
static const char *escape(unsigned char c, char hex[7])
{
        switch (c) {
        case '"':
                return "\\\"";
        case '\\':
                return "\\\\";
        case '\n':
                return "\\n";
        case '\r':
                return "\\r";
        case '\t':
                return "\\t";
        default:
                if (c >= ' ' && c != 0x7f)
                        return NULL;
                (void)snprintf(hex, 7, "\\u%04x", c);
                return hex;
        }
}

static int add_json_text(struct expr_out *out, const char *s, size_t n)
{
        size_t done = 0;
        char hex[7];
        int r = adds(out, "\"");

        for (size_t i = 0; r == 0 && i < n; i++) {
                const char *escaped = escape((unsigned char)s[i], hex);

                if (!escaped)
                        continue;
                r = expr_out_add(out, s + done, i - done);
                if (r == 0)
                        r = adds(out, escaped);
                done = i + 1;
        }
        if (r == 0)
                r = expr_out_add(out, s + done, n - done);
        return r < 0 ? r : adds(out, "\"");
}

static int add_json(struct expr_out *out, const struct expr_value *value, unsigned depth);

static int add_member(struct expr_out *out, const char *name, const struct expr_value *value,
                      bool first, unsigned depth)
{
        int r = first ? 0 : adds(out, ", ");

        if (r == 0)
                r = add_json_text(out, name, strlen(name));
        if (r == 0)
                r = adds(out, ": ");
        return r < 0 ? r : add_json(out, value, depth);
}

static int add_json_struct(struct expr_out *out, const ProtobufCMessage *object, unsigned depth)
{
        int r = adds(out, "{");

        for (size_t i = 0; r == 0 && i < expr_struct_size(object); i++) {
                struct expr_value value = expr_struct_at(object, i);

                r = add_member(out, expr_struct_key(object, i), &value, i == 0, depth);
        }
        return r < 0 ? r : adds(out, "}");
}

static int add_json_message(struct expr_out *out, const ProtobufCMessage *message, unsigned depth)
{
        int r = adds(out, "{");

        for (unsigned i = 0; r == 0 && i < message->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
                struct expr_value value = expr_value_of_field(message, field);

                r = add_member(out, field->name, &value, i == 0, depth);
        }
        return r < 0 ? r : adds(out, "}");
}

static int add_json_list(struct expr_out *out, const struct expr_value *list, unsigned depth)
{
        int r = adds(out, "[");

        for (size_t i = 0; r == 0 && i < list->n; i++) {
                struct expr_value value = expr_element(list, i);

                if (i > 0)
                        r = adds(out, ", ");
                if (r == 0)
                        r = add_json(out, &value, depth);
        }
        return r < 0 ? r : adds(out, "]");
}

static int add_json(struct expr_out *out, const struct expr_value *value, unsigned depth)
{
        if (depth == JSON_DEPTH)
                return expr_fail(out->machine, out->node, -E2BIG,
                                 "this is nested deeper than %d: name the part that you need",
                                 JSON_DEPTH);
        if (expr_is_null(value) || (value->kind == EXPR_NUMBER && !isfinite(value->number)))
                return adds(out, "null");
        switch (value->kind) {
        case EXPR_TEXT:
                return add_json_text(out, value->text, value->n);
        case EXPR_MESSAGE:
                return expr_is_struct(value->message->descriptor)
                               ? add_json_struct(out, value->message, depth + 1)
                               : add_json_message(out, value->message, depth + 1);
        case EXPR_LIST:
                return add_json_list(out, value, depth + 1);
        default:
                return expr_out_add_value(out, value);
        }
}

int expr_out_add_json(struct expr_out *out, const struct expr_value *value)
{
        return add_json(out, value, 0);
}

int expr_out_add_value(struct expr_out *out, const struct expr_value *value)
{
        if (expr_is_null(value))
                return 0;
        switch (value->kind) {
        case EXPR_BOOL:
                return adds(out, value->truth ? "true" : "false");
        case EXPR_NUMBER:
                return adds(out, expr_number_text(value->number).text);
        case EXPR_TEXT:
                return expr_out_add(out, value->text, value->n);
        default:
                return expr_out_add_json(out, value);
        }
}
