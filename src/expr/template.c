/* SPDX-License-Identifier: MIT */

/* Templates: text with {{ }}, {% if %} and {% for %}. */

#include <string.h>

#include "expr/compile.h"
#include "expr/out.h"
#include "expr/value.h"

/* --- how they run --- */

static int emit(struct expr_machine *machine, const struct expr_node *node, struct expr_out *out)
{
        struct expr_value value;
        int r;

        if (node->op->emit)
                return node->op->emit(machine, node, out);
        r = expr_run_node(machine, node, &value);
        out->node = node;
        return r < 0 ? r : expr_out_add_value(out, &value);
}

static int block_emit(struct expr_machine *machine, const struct expr_node *node,
                      struct expr_out *out)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < node->n_args; i++)
                r = emit(machine, node->args[i], out);
        return r;
}

static int template_run(struct expr_machine *machine, const struct expr_node *node,
                        struct expr_value *ret)
{
        struct expr_out out = { .machine = machine, .node = node };
        int r = block_emit(machine, node, &out);

        *ret = expr_out_end(&out);
        return r;
}

static int if_emit(struct expr_machine *machine, const struct expr_node *node, struct expr_out *out)
{
        struct expr_value value;
        size_t i;
        int r;

        for (i = 0; i + 1 < node->n_args; i += 2) {
                r = expr_run_node(machine, node->args[i], &value);
                if (r == 0 && value.kind != EXPR_BOOL)
                        r = expr_fail(machine, node->args[i], -EINVAL,
                                      "if needs true or false, this is %s",
                                      expr_kind_name(value.kind));
                if (r < 0)
                        return r;
                if (value.truth)
                        return emit(machine, node->args[i + 1], out);
        }
        return i < node->n_args ? emit(machine, node->args[i], out) : 0;
}

static int for_emit(struct expr_machine *machine, const struct expr_node *node,
                    struct expr_out *out)
{
        struct expr_loop *loop = &machine->loops[node->slot];
        struct expr_value list;
        int r = expr_run_node(machine, node->args[0], &list);

        if (r < 0)
                return r;
        if (expr_is_null(&list))
                list = (struct expr_value){ .kind = EXPR_LIST };
        if (list.kind != EXPR_LIST)
                return expr_fail(machine, node->args[0], -EINVAL, "for needs a list, this is %s",
                                 expr_kind_name(list.kind));
        for (size_t i = 0; r == 0 && i < list.n; i++) {
                *loop = (struct expr_loop){ expr_element(&list, i), i, list.n };
                r = expr_charge(machine, node, 0);
                if (r == 0)
                        r = emit(machine, node->args[1], out);
        }
        if (r == 0 && list.n == 0 && node->n_args == 3)
                r = emit(machine, node->args[2], out);
        return r;
}

static struct expr_value loop_index(const struct expr_loop *loop)
{
        return expr_number((double)loop->index + 1);
}

static struct expr_value loop_first(const struct expr_loop *loop)
{
        return expr_bool(loop->index == 0);
}

static struct expr_value loop_last(const struct expr_loop *loop)
{
        return expr_bool(loop->index + 1 == loop->n);
}

static struct expr_value loop_length(const struct expr_loop *loop)
{
        return expr_number((double)loop->n);
}

const struct expr_loop_field expr_loop_fields[] = {
        { "index", EXPR_NUMBER, loop_index },
        { "first", EXPR_BOOL, loop_first },
        { "last", EXPR_BOOL, loop_last },
        { "length", EXPR_NUMBER, loop_length },
        { 0 },
};

/* --- how they are printed --- */

/* Prints a '{' that could open a tag, with what follows it or the next part, as {{ "{" }}. */
static void print_raw(FILE *file, const struct expr_value *text)
{
        for (size_t i = 0; i < text->n; i++) {
                bool opens = text->text[i] == '{' &&
                             (i + 1 == text->n || memchr("{%#", text->text[i + 1], 3));

                if (opens)
                        (void)fputs("{{ \"{\" }}", file);
                else
                        (void)fputc(text->text[i], file);
        }
}

static void print_part(FILE *file, const struct expr_node *node)
{
        if (node->op->emit) {
                node->op->print(file, node);
        } else if (node->op == &expr_op_constant) {
                print_raw(file, &node->value);
        } else {
                (void)fputs("{{ ", file);
                expr_print_node(file, node, 0);
                (void)fputs(" }}", file);
        }
}

static void block_print(FILE *file, const struct expr_node *node)
{
        for (size_t i = 0; i < node->n_args; i++)
                print_part(file, node->args[i]);
}

static void print_tag(FILE *file, const char *word, const struct expr_node *node)
{
        (void)fprintf(file, "{%% %s ", word);
        expr_print_node(file, node, 0);
        (void)fputs(" %}", file);
}

static void if_print(FILE *file, const struct expr_node *node)
{
        size_t i;

        for (i = 0; i + 1 < node->n_args; i += 2) {
                print_tag(file, i == 0 ? "if" : "elif", node->args[i]);
                print_part(file, node->args[i + 1]);
        }
        if (i < node->n_args) {
                (void)fputs("{% else %}", file);
                print_part(file, node->args[i]);
        }
        (void)fputs("{% endif %}", file);
}

static void for_print(FILE *file, const struct expr_node *node)
{
        (void)fprintf(file, "{%% for %s in ", node->name);
        expr_print_node(file, node->args[0], 0);
        (void)fputs(" %}", file);
        print_part(file, node->args[1]);
        if (node->n_args == 3) {
                (void)fputs("{% else %}", file);
                print_part(file, node->args[2]);
        }
        (void)fputs("{% endfor %}", file);
}

const struct expr_op expr_op_template = {
        .result = EXPR_TEXT,
        .run_node = template_run,
        .print = block_print,
};
static const struct expr_op op_block = { .emit = block_emit, .print = block_print };
static const struct expr_op op_if = { .name = "if", .emit = if_emit, .print = if_print };
static const struct expr_op op_for = { .name = "for", .emit = for_emit, .print = for_print };

/* --- how they are parsed --- */

/* A block while it is parsed. Constant parts next to each other are joined into one text. */
struct block {
        struct expr_nodes nodes;
        struct expr_out text;
        struct expr_place text_place;
};

static struct expr_node *parse_block(struct expr_compiler *compiler, const struct expr_op *op);

static bool add_text(struct expr_compiler *compiler, struct block *block, struct expr_place place,
                     const struct expr_value *value)
{
        struct expr_node blamed = { .place = place };
        int r;

        if (block->text.len == 0)
                block->text_place = place;
        block->text.machine = &compiler->fold;
        block->text.node = &blamed;
        r = expr_out_add_value(&block->text, value);
        if (r < 0 && compiler->error == 0)
                compiler->error = r == -ENOMEM ? r : -EINVAL;
        return r == 0;
}

static bool flush_text(struct expr_compiler *compiler, struct block *block)
{
        struct expr_value text = expr_out_end(&block->text);

        if (text.n == 0)
                return true;
        block->text = (struct expr_out){ 0 };
        return expr_nodes_add(compiler, &block->nodes,
                              expr_node_constant(compiler, block->text_place, text));
}

static bool add_part(struct expr_compiler *compiler, struct block *block, struct expr_node *node)
{
        if (node && node->op == &expr_op_constant)
                return add_text(compiler, block, node->place, &node->value);
        return node && flush_text(compiler, block) && expr_nodes_add(compiler, &block->nodes, node);
}

/* The tag must end here. Its end is not skipped: behind it, the lexer reads text outside of tags.
 */
static bool close_tag(struct expr_compiler *compiler, const char *close)
{
        if (expr_token_is(&compiler->token, close) && compiler->token.kind == EXPR_TOKEN_CLOSE)
                return true;
        if (compiler->error == 0)
                (void)expr_wrong(compiler, compiler->token.place,
                                 "expected '%s' or an operator here", close);
        return false;
}

static bool check_printable(struct expr_compiler *compiler, const struct expr_node *node)
{
        const struct expr_type *type = &node->type;

        if (type->kind == EXPR_MESSAGE)
                return expr_wrong(compiler, node->place,
                                  "%s is no text: name a field of it, or write json(...)",
                                  expr_type_name(type).text);
        if (type->kind == EXPR_LIST)
                return expr_wrong(compiler, node->place,
                                  "%s is no text: write {%% for %%}, join(...) or json(...)",
                                  expr_type_name(type).text);
        if (node->trust == EXPR_FOREIGN)
                return expr_wrong(compiler, node->place,
                                  "this text comes from outside: write json(...), escape(...) or "
                                  "markdown(...) around it");
        return true;
}

static struct expr_node *parse_output(struct expr_compiler *compiler)
{
        struct expr_node *node;

        expr_advance(compiler);
        node = expr_parse(compiler);
        return node && close_tag(compiler, "}}") ? node : NULL;
}

static bool at_end_of_block(const struct expr_compiler *compiler)
{
        static const char *const words[] = { "elif", "else", "endif", "endfor" };

        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
                if (expr_token_is(&compiler->token, words[i]))
                        return true;
        return false;
}

/* The end of a block: "{% WORD %}". The current token is WORD. */
static bool end_tag(struct expr_compiler *compiler, const char *word, const char *start,
                    struct expr_place place)
{
        if (compiler->error < 0)
                return false;
        if (expr_accept(compiler, word))
                return close_tag(compiler, "%}");
        if (compiler->error == 0 && compiler->token.kind == EXPR_TOKEN_END)
                (void)expr_wrong(compiler, place, "this {%% %s %%} has no {%% %s %%}", start, word);
        else if (compiler->error == 0)
                (void)expr_wrong(compiler, compiler->token.place,
                                 "expected '%s' for the {%% %s %%} in line %u, not '%.*s'", word,
                                 start, place.line, expr_token_shown(&compiler->token),
                                 compiler->token.ptr);
        return false;
}

static struct expr_node *parse_condition(struct expr_compiler *compiler)
{
        struct expr_node blamed = { .op = &op_if };
        struct expr_node *node = expr_parse(compiler);

        if (!node || !expr_check_kind(compiler, &blamed, node, EXPR_BOOL))
                return NULL;
        return close_tag(compiler, "%}") ? node : NULL;
}

static struct expr_node *parse_if(struct expr_compiler *compiler, struct expr_place place)
{
        struct expr_nodes parts = { 0 };

        do {
                if (!expr_nodes_add(compiler, &parts, parse_condition(compiler)) ||
                    !expr_nodes_add(compiler, &parts, parse_block(compiler, &op_block)))
                        return NULL;
        } while (expr_accept(compiler, "elif"));
        if (expr_accept(compiler, "else") &&
            (!close_tag(compiler, "%}") ||
             !expr_nodes_add(compiler, &parts, parse_block(compiler, &op_block))))
                return NULL;
        if (!end_tag(compiler, "endif", "if", place))
                return NULL;
        return expr_node_raw(compiler, &op_if, place, parts.nodes, parts.n);
}

/* The name of the variable, which must be new. */
static struct expr_variable *parse_variable(struct expr_compiler *compiler)
{
        struct expr_token token = compiler->token;
        struct expr_variable *variable = &compiler->variables[compiler->n_variables];

        if (token.kind != EXPR_TOKEN_WORD)
                return expr_wrong(compiler, token.place,
                                  "expected a name here: write {%% for NAME in LIST %%}");
        if (expr_token_is(&token, "loop") || expr_token_is_keyword(&token))
                return expr_wrong(compiler, token.place,
                                  "'%.*s' has a meaning of its own: take another name",
                                  expr_token_shown(&token), token.ptr);
        for (size_t i = 0; i < compiler->scope->n_names; i++)
                if (expr_token_is(&token, compiler->scope->names[i].name))
                        return expr_wrong(compiler, token.place,
                                          "there is a value '%s' already: take another name",
                                          compiler->scope->names[i].name);
        *variable = (struct expr_variable){ .name = token.ptr, .length = token.length };
        expr_advance(compiler);
        return variable;
}

static struct expr_node *parse_loop_list(struct expr_compiler *compiler)
{
        struct expr_node blamed = { .op = &op_for };
        struct expr_node *list;

        if (!expr_expect(compiler, "in", "write {% for NAME in LIST %}"))
                return NULL;
        list = expr_parse(compiler);
        if (!list || !expr_check_kind(compiler, &blamed, list, EXPR_LIST))
                return NULL;
        return close_tag(compiler, "%}") ? list : NULL;
}

static struct expr_node *parse_loop_body(struct expr_compiler *compiler)
{
        struct expr_node *body;

        compiler->n_variables++;
        if (compiler->n_variables > compiler->expr->n_loops)
                compiler->expr->n_loops = compiler->n_variables;
        body = parse_block(compiler, &op_block);
        compiler->n_variables--;
        return body;
}

static char *copy_name(struct expr_compiler *compiler, const struct expr_variable *variable)
{
        char *name = expr_compiler_alloc(compiler, variable->length + 1);

        if (name)
                memcpy(name, variable->name, variable->length);
        return name;
}

static struct expr_node *parse_for(struct expr_compiler *compiler, struct expr_place place)
{
        struct expr_variable *variable = parse_variable(compiler);
        struct expr_nodes parts = { 0 };
        struct expr_node *node;

        if (!variable || !expr_nodes_add(compiler, &parts, parse_loop_list(compiler)))
                return NULL;
        variable->type = expr_type_of_elements(&parts.nodes[0]->type);
        variable->trust = parts.nodes[0]->trust;
        if (!expr_nodes_add(compiler, &parts, parse_loop_body(compiler)))
                return NULL;
        if (expr_accept(compiler, "else") &&
            (!close_tag(compiler, "%}") ||
             !expr_nodes_add(compiler, &parts, parse_block(compiler, &op_block))))
                return NULL;
        if (!end_tag(compiler, "endfor", "for", place))
                return NULL;
        node = expr_node_raw(compiler, &op_for, place, parts.nodes, parts.n);
        if (!node)
                return NULL;
        node->slot = compiler->n_variables;
        node->name = copy_name(compiler, variable);
        return node->name ? node : NULL;
}

/* What "{%" begins, unless it ends the block. */
static struct expr_node *parse_statement(struct expr_compiler *compiler)
{
        struct expr_place place = compiler->token.place;

        if (expr_accept(compiler, "if"))
                return parse_if(compiler, place);
        if (expr_accept(compiler, "for"))
                return parse_for(compiler, place);
        if (compiler->error == 0)
                (void)expr_wrong(compiler, place,
                                 "expected if, elif, else, endif, for or endfor here");
        return NULL;
}

static bool parse_tag(struct expr_compiler *compiler, struct block *block,
                      const struct expr_token *open)
{
        struct expr_node *node;

        if (open->ptr[1] == '%')
                return add_part(compiler, block, parse_statement(compiler));
        node = parse_output(compiler);
        return node && check_printable(compiler, node) && add_part(compiler, block, node);
}

/* Up to the end of the text, or to "{% WORD" that ends the block; WORD is then the token. */
static bool parse_parts(struct expr_compiler *compiler, struct block *block)
{
        struct expr_token raw, open;
        struct expr_value text;

        for (;;) {
                raw = expr_lex_raw(&compiler->lexer);
                text = expr_text_n(raw.ptr, raw.length);
                if (!add_text(compiler, block, raw.place, &text))
                        return false;
                open = expr_lex_open(&compiler->lexer);
                compiler->token = open;
                if (open.kind == EXPR_TOKEN_END)
                        return true;
                if (open.kind == EXPR_TOKEN_WRONG && compiler->error == 0)
                        compiler->error = -EINVAL;
                if (open.kind == EXPR_TOKEN_RAW)
                        continue;
                if (open.kind == EXPR_TOKEN_OPEN && open.ptr[1] == '%') {
                        expr_advance(compiler);
                        if (at_end_of_block(compiler))
                                return true;
                }
                if (compiler->error < 0 || !parse_tag(compiler, block, &open))
                        return false;
        }
}

static struct expr_node *parse_block(struct expr_compiler *compiler, const struct expr_op *op)
{
        struct expr_place place = compiler->lexer.place;
        struct block block = { 0 };
        bool done;

        if (!expr_enter(compiler))
                return NULL;
        done = parse_parts(compiler, &block) && flush_text(compiler, &block);
        expr_leave(compiler);
        return done ? expr_node_raw(compiler, op, place, block.nodes.nodes, block.nodes.n) : NULL;
}

static struct expr_node *parse_text(struct expr_compiler *compiler)
{
        struct expr_node *node = parse_block(compiler, &expr_op_template);

        if (node && compiler->token.kind != EXPR_TOKEN_END)
                return expr_wrong(compiler, compiler->token.place,
                                  "there is no {%% if %%} or {%% for %%} that this '%.*s' ends",
                                  expr_token_shown(&compiler->token), compiler->token.ptr);
        return node;
}

static struct expr_node *parse_literal(struct expr_compiler *compiler)
{
        struct expr_node *node;

        expr_advance(compiler);
        node = expr_parse(compiler);
        if (node && node->op == &expr_op_constant && compiler->token.kind == EXPR_TOKEN_END)
                return node;
        if (compiler->error != -ENOMEM)
                compiler->error = 0;
        return expr_wrong(compiler, (struct expr_place){ 1, 1 },
                          "expected one {{ }} and nothing besides, or a number, true or false");
}

/* Skips text between tags. False: it is not all white space. */
static bool skip_raw(struct expr_lexer *lexer)
{
        struct expr_token raw = expr_lex_raw(lexer);

        for (size_t i = 0; i < raw.length; i++)
                if (!strchr(" \t\r\n", raw.ptr[i]))
                        return false;
        return true;
}

static bool is_at_end(const struct expr_compiler *compiler)
{
        return compiler->lexer.at == compiler->lexer.end;
}

/* "{{ EXPRESSION }}" and nothing besides. NULL without a mistake: it is something else. */
static struct expr_node *parse_single(struct expr_compiler *compiler, struct expr_place *ret_place)
{
        struct expr_node *node;
        struct expr_token open;

        if (!skip_raw(&compiler->lexer) || is_at_end(compiler))
                return NULL;
        open = expr_lex_open(&compiler->lexer);
        *ret_place = open.place;
        node = expr_token_is(&open, "{{") ? parse_output(compiler) : NULL;
        return node && skip_raw(&compiler->lexer) && is_at_end(compiler) ? node : NULL;
}

/* Where another type than text is wanted: a single {{ }}, or a number, true or false. */
static struct expr_node *parse_value(struct expr_compiler *compiler)
{
        struct expr_lexer start = compiler->lexer;
        struct expr_place place = { 0 };
        struct expr_node *node = parse_single(compiler, &place);

        if (node || compiler->error < 0)
                return node;
        if (place.line > 0)
                return expr_wrong(compiler, place,
                                  "expected one {{ }} and nothing besides, as this is no text");
        compiler->lexer = start;
        return parse_literal(compiler);
}

/* Where any type is wanted: the value of a single {{ }}, otherwise a text. */
static struct expr_node *parse_any(struct expr_compiler *compiler)
{
        struct expr_lexer start = compiler->lexer;
        struct expr_place place;
        struct expr_node *node = parse_single(compiler, &place);

        if (node || compiler->error == -ENOMEM)
                return node;
        compiler->error = 0;
        compiler->lexer = start;
        return parse_text(compiler);
}

struct expr_node *expr_parse_template(struct expr_compiler *compiler, const struct expr_type *want)
{
        if (!want || want->kind == EXPR_TEXT)
                return parse_text(compiler);
        return want->kind == EXPR_ANY ? parse_any(compiler) : parse_value(compiler);
}
