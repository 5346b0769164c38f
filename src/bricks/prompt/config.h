/* SPDX-License-Identifier: MIT */
#pragma once

/* The options of a brick, checked and compiled. */

#include <stdbool.h>

#include "expr/expr.h"
#include "reply.h"

extern const struct brick_option prompt_options[];

struct example {
        char *question; /* the template, filled in */
        char *reply;
};

struct config {
        struct brick_ctx *ctx;
        unsigned type;
        struct brick_target *llm;
        bool plain; /* format: text */
        unsigned attempts;
        struct reply_rules rules;
        char **categories;        /* ends with NULL */
        struct expr_value *names; /* the categories, as a list for templates */
        size_t n_categories;
        struct expr *instructions, *question;
        char *form; /* what the model is told of its reply, behind the instructions */
        struct example *examples;
        size_t n_examples;
        char *model; /* or NULL */
        float temperature;
        int32_t max_tokens;
};

/* Mistakes have been told to the host. 0 or a negative errno. */
int config_new(struct config **ret, struct brick_ctx *ctx, const struct brick_node *node);
struct config *config_free(struct config *config); /* accepts NULL; returns NULL */

/*
 * Fill in a template for a request of the brick's type, in memory of alloc(). 0, or what expr_run()
 * returns.
 */
int config_render(const struct config *config, const struct expr *template,
                  const ProtobufCMessage *request, void *(*alloc)(void *user, size_t size),
                  void *user, char **ret, struct expr_mistake *mistake);

/* A text of a request or response by the name of its field; "" if it has no such field. */
const char *config_text(const ProtobufCMessage *message, const char *field);
void config_set_text(ProtobufCMessage *message, const char *field, const char *text);
