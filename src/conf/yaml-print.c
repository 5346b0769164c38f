/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <yaml.h>

#include "conf/node.h"
#include "conf/option.h"
#include "conf/text.h"
#include "conf/yaml.h"
#include "util/cleanup.h"

/* True: some YAML parser reads this text, unquoted, as something other than a string. */
static bool looks_typed(const char *s)
{
        static const char *const words[] = { "",   "~",    "null", "true",  "false", "yes",
                                             "no", "on",   "off",  "y",     "n",     "=",
                                             "<<", ".nan", ".inf", "+.inf", "-.inf" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(s, words[i]) == 0)
                        return true;
        return strchr("0123456789+-.", s[0]) && strpbrk(s, "0123456789") &&
               s[strspn(s, "0123456789+-.:_eExXoOaAbBcCdDfF")] == '\0';
}

static bool emit_text(yaml_emitter_t *emitter, const char *text, bool plain)
{
        yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
        yaml_event_t event;

        if (strchr(text, '\n') || (!plain && looks_typed(text)))
                style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                            (int)strlen(text), 1, 1, style) &&
               yaml_emitter_emit(emitter, &event);
}

/* True: write the scalar without quotes, as the number, boolean or null that it is. */
static bool is_plain(const struct node *node)
{
        if (!node->plain || !node->spec || node_is_null(node))
                return node->plain;
        return node->spec->type == OPTION_INT || node->spec->type == OPTION_FLOAT ||
               node->spec->type == OPTION_BOOL;
}

static bool emit_scalar(yaml_emitter_t *emitter, const struct node *node)
{
        _cleanup_free_ char *text = NULL;

        text = text_escape(node->text);
        return text && emit_text(emitter, text, is_plain(node));
}

static bool emit_list(yaml_emitter_t *emitter, const struct node *node);
static bool emit_map(yaml_emitter_t *emitter, const struct node *node);

static bool emit(yaml_emitter_t *emitter, const struct node *node)
{
        switch (node->kind) {
        case NODE_LIST:
                return emit_list(emitter, node);
        case NODE_MAP:
                return emit_map(emitter, node);
        default:
                return emit_scalar(emitter, node);
        }
}

static bool emit_list(yaml_emitter_t *emitter, const struct node *node)
{
        yaml_event_t event;

        if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_SEQUENCE_STYLE) ||
            !yaml_emitter_emit(emitter, &event))
                return false;
        for (size_t i = 0; i < node->n_children; i++)
                if (!emit(emitter, node->children[i]))
                        return false;
        return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_map(yaml_emitter_t *emitter, const struct node *node)
{
        yaml_event_t event;

        if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_MAPPING_STYLE) ||
            !yaml_emitter_emit(emitter, &event))
                return false;
        for (size_t i = 0; i < node->n_children; i++)
                if (!emit_text(emitter, node->children[i]->key, false) ||
                    !emit(emitter, node->children[i]))
                        return false;
        return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_document(yaml_emitter_t *emitter, const struct node *root)
{
        yaml_event_t event;

        return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
               yaml_emitter_emit(emitter, &event) &&
               yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
               yaml_emitter_emit(emitter, &event) && emit(emitter, root) &&
               yaml_document_end_event_initialize(&event, 1) &&
               yaml_emitter_emit(emitter, &event) && yaml_stream_end_event_initialize(&event) &&
               yaml_emitter_emit(emitter, &event);
}

int yaml_print(const struct node *root, FILE *f)
{
        yaml_emitter_t emitter;
        bool done;

        if (!yaml_emitter_initialize(&emitter))
                return -ENOMEM;
        yaml_emitter_set_output_file(&emitter, f);
        yaml_emitter_set_unicode(&emitter, 1);
        yaml_emitter_set_width(&emitter, -1);
        done = emit_document(&emitter, root);
        yaml_emitter_delete(&emitter);
        return done ? 0 : -EIO;
}
