/* SPDX-License-Identifier: MIT */

/* The parser of expressions, by operator precedence. */

#include <stdio.h>
#include <string.h>

#include "conf/nearest.h"
#include "expr/compile.h"
#include "expr/value.h"

static struct expr_node *parse_from(struct expr_compiler *compiler, unsigned precedence);

/* "there is no WHAT 'NAME' WHERE; did you mean 'BEST'?" */
static void *unknown(struct expr_compiler *compiler, const struct expr_token *token,
                     const char *what, const char *where, const struct nearest *nearest)
{
        const char *before = nearest->best ? "; did you mean '" : "";
        const char *best = nearest->best ? nearest->best : "";

        return expr_wrong(compiler, token->place, "there is no %s '%.*s'%s%s%s%s", what,
                          expr_token_shown(token), token->ptr, where, before, best,
                          nearest->best ? "'?" : "");
}

struct word {
        char text[EXPR_SHOWN + 1];
};

static struct word word_of(const struct expr_token *token)
{
        struct word word = { "" };

        memcpy(word.text, token->ptr, (size_t)expr_token_shown(token));
        return word;
}

static struct expr_node *unknown_function(struct expr_compiler *compiler,
                                          const struct expr_token *token)
{
        struct word word = word_of(token);
        struct nearest nearest = nearest_to(word.text);

        for (size_t i = 0; expr_function_at(i); i++)
                nearest_offer(&nearest, expr_function_at(i)->name);
        return unknown(compiler, token, "function", "", &nearest);
}

static struct expr_node *unknown_name(struct expr_compiler *compiler,
                                      const struct expr_token *token)
{
        struct word word = word_of(token);
        struct nearest nearest = nearest_to(word.text);

        if (expr_function(token->ptr, token->length))
                return expr_wrong(compiler, token->place, "%s is a function: write %s(...)",
                                  word.text, word.text);
        for (uint32_t i = 0; i < compiler->n_variables; i++) {
                struct word variable = { "" };
                size_t n = compiler->variables[i].length;

                memcpy(variable.text, compiler->variables[i].name, n < EXPR_SHOWN ? n : EXPR_SHOWN);
                nearest_offer(&nearest, variable.text);
                if (nearest.best == variable.text)
                        return expr_wrong(compiler, token->place,
                                          "there is no '%s'; did you mean '%s'?", word.text,
                                          variable.text);
        }
        for (size_t i = 0; i < compiler->scope->n_names; i++)
                if (!compiler->scope->names[i].unavailable)
                        nearest_offer(&nearest, compiler->scope->names[i].name);
        return unknown(compiler, token, "value", "", &nearest);
}

/* Adds the arguments of a function, up to and with its closing bracket. */
static bool parse_args(struct expr_compiler *compiler, struct expr_nodes *args)
{
        if (expr_accept(compiler, ")"))
                return true;
        do {
                if (!expr_nodes_add(compiler, args, parse_from(compiler, 0)))
                        return false;
        } while (expr_accept(compiler, ","));
        return expr_expect(compiler, ")", "it closes the arguments; ',' separates them");
}

static struct expr_node *function_node(struct expr_compiler *compiler,
                                       const struct expr_token *name, const struct expr_nodes *args)
{
        const struct expr_op *op = expr_function(name->ptr, name->length);

        if (args->n < op->min_args || args->n > op->max_args)
                return expr_wrong(compiler, name->place,
                                  "%s takes %s; what stands before '|' is the first", op->name,
                                  op->max_args == 1   ? "one value"
                                  : op->min_args == 1 ? "one or two values"
                                                      : "two values");
        return expr_node(compiler, op, name->place, args->nodes, args->n);
}

/* NAME or NAME(...). piped: what stands before '|', the first argument; or NULL. */
static struct expr_node *parse_function(struct expr_compiler *compiler,
                                        const struct expr_token *name, struct expr_node *piped)
{
        struct expr_nodes args = { 0 };

        if (!expr_function(name->ptr, name->length))
                return unknown_function(compiler, name);
        if (piped && !expr_nodes_add(compiler, &args, piped))
                return NULL;
        if (expr_accept(compiler, "(") && !parse_args(compiler, &args))
                return NULL;
        return compiler->error == 0 ? function_node(compiler, name, &args) : NULL;
}

static struct expr_node *parse_list(struct expr_compiler *compiler, struct expr_place place)
{
        struct expr_nodes items = { 0 };

        if (!expr_accept(compiler, "]")) {
                do {
                        if (!expr_nodes_add(compiler, &items, parse_from(compiler, 0)))
                                return NULL;
                } while (expr_accept(compiler, ","));
                if (!expr_expect(compiler, "]", "it closes the list; ',' separates its items"))
                        return NULL;
        }
        return expr_node(compiler, &expr_op_list, place, items.nodes, items.n);
}

static struct expr_node *parse_string(struct expr_compiler *compiler)
{
        struct expr_token token = compiler->token;
        char *text = expr_compiler_alloc(compiler, token.length + 1);

        if (!text)
                return NULL;
        expr_advance(compiler);
        return expr_node_constant(compiler, token.place,
                                  expr_text_n(text, expr_unescape(&token, text)));
}

/* loop.FIELD of the innermost {% for %}. */
static struct expr_node *parse_loop(struct expr_compiler *compiler, const struct expr_token *name)
{
        struct expr_token token;
        struct word word;
        struct nearest nearest;

        if (!expr_expect(compiler, ".", "write loop.index, loop.first, loop.last or loop.length"))
                return NULL;
        token = compiler->token;
        word = word_of(&token);
        nearest = nearest_to(word.text);
        for (const struct expr_loop_field *f = expr_loop_fields; f->name; f++) {
                struct expr_node *node;

                nearest_offer(&nearest, f->name);
                if (!expr_accept(compiler, f->name))
                        continue;
                node = expr_node_raw(compiler, &expr_op_loop, name->place, NULL, 0);
                if (!node)
                        return NULL;
                node->loop = f;
                node->slot = compiler->n_variables - 1;
                node->type.kind = f->kind;
                return node;
        }
        return unknown(compiler, &token, "field", " in loop", &nearest);
}

static struct expr_node *name_node(struct expr_compiler *compiler, const struct expr_op *op,
                                   const struct expr_token *token, size_t slot,
                                   struct expr_type type, enum expr_trust trust)
{
        struct expr_node *node = expr_node_raw(compiler, op, token->place, NULL, 0);
        char *name = expr_compiler_alloc(compiler, token->length + 1);

        if (!node || !name)
                return NULL;
        memcpy(name, token->ptr, token->length);
        node->name = name;
        node->slot = (uint32_t)slot;
        node->type = type;
        node->trust = expr_trust_in(&type, trust);
        return node;
}

static struct expr_node *resolve(struct expr_compiler *compiler, const struct expr_token *token)
{
        const struct expr_scope *scope = compiler->scope;

        for (uint32_t i = compiler->n_variables; i-- > 0;)
                if (compiler->variables[i].length == token->length &&
                    memcmp(compiler->variables[i].name, token->ptr, token->length) == 0)
                        return name_node(compiler, &expr_op_variable, token, i,
                                         compiler->variables[i].type, compiler->variables[i].trust);
        if (compiler->n_variables > 0 && expr_token_is(token, "loop"))
                return parse_loop(compiler, token);
        for (size_t i = 0; i < scope->n_names; i++) {
                if (!expr_token_is(token, scope->names[i].name))
                        continue;
                if (scope->names[i].unavailable)
                        return expr_wrong(compiler, token->place, "%s",
                                          scope->names[i].unavailable);
                return name_node(compiler, &expr_op_name, token, i, scope->names[i].type,
                                 scope->names[i].untrusted ? EXPR_FOREIGN : EXPR_OWN);
        }
        return unknown_name(compiler, token);
}

static struct expr_node *parse_word(struct expr_compiler *compiler)
{
        struct expr_token token = compiler->token;

        expr_advance(compiler);
        if (expr_token_is(&token, "true") || expr_token_is(&token, "false"))
                return expr_node_constant(compiler, token.place, expr_bool(*token.ptr == 't'));
        if (expr_token_is(&token, "null"))
                return expr_node_constant(compiler, token.place, expr_null());
        if (expr_token_is_keyword(&token))
                return expr_wrong(compiler, token.place, "expected a value before '%.*s'",
                                  expr_token_shown(&token), token.ptr);
        if (expr_token_is(&compiler->token, "("))
                return parse_function(compiler, &token, NULL);
        return resolve(compiler, &token);
}

static struct expr_node *parse_primary(struct expr_compiler *compiler)
{
        struct expr_token token = compiler->token;
        struct expr_node *node;

        switch (token.kind) {
        case EXPR_TOKEN_STRING:
                return parse_string(compiler);
        case EXPR_TOKEN_NUMBER:
                expr_advance(compiler);
                return expr_node_constant(compiler, token.place, expr_number(token.number));
        case EXPR_TOKEN_WORD:
                return parse_word(compiler);
        case EXPR_TOKEN_WRONG:
                return NULL;
        default:
                break;
        }
        if (expr_accept(compiler, "[")) {
                return parse_list(compiler, token.place);
        } else if (expr_accept(compiler, "(")) {
                node = parse_from(compiler, 0);
                return node && expr_expect(compiler, ")", "it closes the bracket") ? node : NULL;
        }
        if (token.kind == EXPR_TOKEN_END || token.kind == EXPR_TOKEN_CLOSE)
                return expr_wrong(compiler, token.place, "expected a value before the end");
        return expr_wrong(compiler, token.place, "expected a value before '%.*s'",
                          expr_token_shown(&token), token.ptr);
}

static struct expr_node *field_node(struct expr_compiler *compiler, struct expr_place place,
                                    struct expr_node *object, const ProtobufCFieldDescriptor *field)
{
        struct expr_node *node = expr_node_raw(compiler, &expr_op_field, place, &object, 1);

        if (!node)
                return NULL;
        node->field = field;
        node->type = expr_type_of_field(field);
        node->trust = expr_trust_in(&node->type, node->trust);
        if (node->type.kind == EXPR_NULL)
                return expr_wrong(compiler, place,
                                  "the field '%s' has a type that expressions cannot use",
                                  field->name);
        return node;
}

/* message.list[0].field */
static struct expr_node *expand(struct expr_compiler *compiler, struct expr_place place,
                                struct expr_node *object, const struct expr_shorthand *shorthand)
{
        const ProtobufCFieldDescriptor *list = protobuf_c_message_descriptor_get_field_by_name(
                shorthand->message, shorthand->list);
        struct expr_node *args[2];

        args[0] = field_node(compiler, place, object, list);
        args[1] = expr_node_constant(compiler, place, expr_number(0));
        if (!args[0] || !args[1])
                return NULL;
        object = expr_node(compiler, &expr_op_index, place, args, 2);
        return object ? field_node(compiler, place, object,
                                   protobuf_c_message_descriptor_get_field_by_name(
                                           list->descriptor, shorthand->field))
                      : NULL;
}

/* A field of a message whose type is known. */
static struct expr_node *message_field(struct expr_compiler *compiler,
                                       const struct expr_token *token, struct expr_node *object)
{
        const struct expr_scope *scope = compiler->scope;
        const ProtobufCMessageDescriptor *type = object->type.message;
        struct word word = word_of(token);
        struct nearest nearest = nearest_to(word.text);
        char where[96];

        for (unsigned i = 0; i < type->n_fields; i++) {
                if (expr_token_is(token, type->fields[i].name))
                        return field_node(compiler, token->place, object, &type->fields[i]);
                nearest_offer(&nearest, type->fields[i].name);
        }
        for (size_t i = 0; i < scope->n_shorthands; i++) {
                if (scope->shorthands[i].message != type)
                        continue;
                if (expr_token_is(token, scope->shorthands[i].name))
                        return expand(compiler, token->place, object, &scope->shorthands[i]);
                nearest_offer(&nearest, scope->shorthands[i].name);
        }
        (void)snprintf(where, sizeof where, " in %s", expr_type_name(&object->type).text);
        return unknown(compiler, token, "field", where, &nearest);
}

static struct expr_node *key_node(struct expr_compiler *compiler, const struct expr_token *token,
                                  struct expr_node *object)
{
        char *name = expr_compiler_alloc(compiler, token->length + 1);
        struct expr_node *args[2] = { object };

        if (!name)
                return NULL;
        memcpy(name, token->ptr, token->length);
        args[1] = expr_node_constant(compiler, token->place, expr_text_n(name, token->length));
        return args[1] ? expr_node(compiler, &expr_op_index, token->place, args, 2) : NULL;
}

static struct expr_node *parse_field(struct expr_compiler *compiler, struct expr_node *object)
{
        struct expr_token token = compiler->token;

        if (token.kind != EXPR_TOKEN_WORD)
                return expr_wrong(compiler, token.place, "expected the name of a field after '.'");
        expr_advance(compiler);
        if (object->type.kind == EXPR_MESSAGE && !expr_is_struct(object->type.message))
                return message_field(compiler, &token, object);
        if (object->type.kind == EXPR_ANY || object->type.kind == EXPR_MESSAGE)
                return key_node(compiler, &token, object);
        if (object->type.kind == EXPR_LIST)
                return expr_wrong(compiler, token.place,
                                  "%s has no fields; write [0].%.*s for those of its first item",
                                  expr_type_name(&object->type).text, expr_token_shown(&token),
                                  token.ptr);
        return expr_wrong(compiler, token.place, "%s has no fields: remove .%.*s",
                          expr_type_name(&object->type).text, expr_token_shown(&token), token.ptr);
}

static struct expr_node *parse_index(struct expr_compiler *compiler, struct expr_node *object,
                                     struct expr_place place)
{
        struct expr_node *args[2] = { object, parse_from(compiler, 0) };

        if (!args[1] || !expr_expect(compiler, "]", "it closes the index"))
                return NULL;
        return expr_node(compiler, &expr_op_index, place, args, 2);
}

static struct expr_node *parse_pipe(struct expr_compiler *compiler, struct expr_node *value)
{
        struct expr_token token = compiler->token;

        if (token.kind != EXPR_TOKEN_WORD || expr_token_is_keyword(&token))
                return expr_wrong(compiler, token.place,
                                  "expected the name of a function after '|'");
        expr_advance(compiler);
        return parse_function(compiler, &token, value);
}

static struct expr_node *parse_postfix(struct expr_compiler *compiler)
{
        struct expr_node *node = parse_primary(compiler);
        struct expr_place place;

        while (node && compiler->error == 0) {
                place = compiler->token.place;
                if (expr_accept(compiler, "."))
                        node = parse_field(compiler, node);
                else if (expr_accept(compiler, "["))
                        node = parse_index(compiler, node, place);
                else if (expr_accept(compiler, "|"))
                        node = parse_pipe(compiler, node);
                else
                        break;
        }
        return node;
}

static struct expr_node *parse_prefix(struct expr_compiler *compiler)
{
        struct expr_place place = compiler->token.place;
        const struct expr_op *op;
        struct expr_node *node;

        if (expr_accept(compiler, "not"))
                op = &expr_op_not;
        else if (expr_accept(compiler, "-"))
                op = &expr_op_negate;
        else
                return parse_postfix(compiler);
        node = parse_from(compiler, op->precedence);
        return node ? expr_node(compiler, op, place, &node, 1) : NULL;
}

/* The operator that is next; `not in` is one of two words. NULL: none. */
static const struct expr_op *next_operator(struct expr_compiler *compiler, struct expr_token *ret)
{
        struct expr_lexer ahead = compiler->lexer;
        struct expr_token in;

        *ret = compiler->token;
        if (ret->kind != EXPR_TOKEN_WORD && ret->kind != EXPR_TOKEN_SYMBOL)
                return NULL;
        if (!expr_token_is(ret, "not"))
                return expr_operator(ret->ptr, ret->length);
        in = expr_lex(&ahead);
        return expr_token_is(&in, "in") ? expr_operator("not in", 6) : NULL;
}

/* Refuses a < b < c. */
static bool check_chain(struct expr_compiler *compiler, const struct expr_op *op)
{
        struct expr_token token;
        const struct expr_op *next;

        if (op->precedence != EXPR_COMPARISON)
                return true;
        next = next_operator(compiler, &token);
        if (!next || next->precedence != EXPR_COMPARISON)
                return true;
        return expr_wrong(compiler, token.place,
                          "comparisons do not chain: write a %s b and b %s c", op->name,
                          next->name);
}

static struct expr_node *parse_operators(struct expr_compiler *compiler, unsigned precedence)
{
        struct expr_node *args[2] = { parse_prefix(compiler) };
        const struct expr_op *op;
        struct expr_token token;

        while (args[0] && compiler->error == 0) {
                op = next_operator(compiler, &token);
                if (!op || op->precedence < precedence)
                        break;
                expr_advance(compiler);
                if (expr_token_is(&token, "not"))
                        expr_advance(compiler);
                args[1] = parse_from(compiler, op->precedence + 1U);
                if (!args[1] || !check_chain(compiler, op))
                        return NULL;
                args[0] = expr_node(compiler, op, token.place, args, 2);
        }
        return compiler->error == 0 ? args[0] : NULL;
}

/* An expression of operators that bind at least as tightly. */
static struct expr_node *parse_from(struct expr_compiler *compiler, unsigned precedence)
{
        struct expr_node *node;

        if (!expr_enter(compiler))
                return NULL;
        node = parse_operators(compiler, precedence);
        expr_leave(compiler);
        return node;
}

struct expr_node *expr_parse(struct expr_compiler *compiler)
{
        return parse_from(compiler, 0);
}
