/* SPDX-License-Identifier: MIT */
#include "mask.h"

#include <stdio.h>

void mask_name(char name[PLACEHOLDER_MAX], const char *rule, size_t length)
{
        size_t n = 0;

        for (size_t i = 0; i < length && n + 16 < PLACEHOLDER_MAX; i++) {
                char c = rule[i];

                if (c >= 'a' && c <= 'z')
                        c = (char)(c - 'a' + 'A');
                name[n++] = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
        }
        name[n] = '\0';
}

/* The number of a new placeholder of a name. Sets *ret if the part has one already. */
static unsigned number_of(const struct mask *mask, const char *name, const char *part, size_t n,
                          const struct mask_entry **ret)
{
        size_t length = strlen(name);
        unsigned number = 1;

        for (size_t i = 0; i < mask->n; i++) {
                const struct mask_entry *entry = &mask->entries[i];

                if (strncmp(entry->placeholder + 1, name, length) != 0 ||
                    entry->placeholder[1 + length] != '_' ||
                    strchr(entry->placeholder + 2 + length, '_'))
                        continue;
                number++;
                if (entry->n_original == n && memcmp(entry->original, part, n) == 0)
                        *ret = entry;
        }
        return number;
}

static struct mask_entry *append(struct mask *mask)
{
        struct mask_entry *entries;

        entries = realloc(mask->entries, (mask->n + 1) * sizeof *entries);
        if (!entries)
                return NULL;
        mask->entries = entries;
        return &entries[mask->n];
}

const char *mask_add(struct mask *mask, const char *rule, size_t n_rule, const char *part,
                     size_t n_part)
{
        const struct mask_entry *known = NULL;
        char name[PLACEHOLDER_MAX];
        struct mask_entry *entry;
        unsigned number;

        mask_name(name, rule, n_rule);
        number = number_of(mask, name, part, n_part, &known);
        if (known)
                return known->placeholder;
        entry = append(mask);
        if (!entry)
                return NULL;
        entry->original = malloc(n_part + 1);
        if (!entry->original)
                return NULL;
        memcpy(entry->original, part, n_part);
        entry->n_original = n_part;
        entry->n_placeholder = (size_t)snprintf(entry->placeholder, sizeof entry->placeholder,
                                                "[%.64s_%u]", name, number);
        mask->n++;
        return entry->placeholder;
}

void mask_done(struct mask *mask)
{
        for (size_t i = 0; i < mask->n; i++)
                free(mask->entries[i].original);
        free(mask->entries);
}

enum match {
        MATCH_NONE,
        MATCH_PART, /* the text ends inside a placeholder, as far as one can tell */
        MATCH_WHOLE,
};

static enum match match(const struct mask *mask, const char *text, size_t length,
                        const struct mask_entry **ret)
{
        enum match best = MATCH_NONE;

        for (size_t i = 0; i < mask->n; i++) {
                const struct mask_entry *entry = &mask->entries[i];
                size_t n = entry->n_placeholder < length ? entry->n_placeholder : length;

                if (memcmp(text, entry->placeholder, n) != 0)
                        continue;
                *ret = entry;
                if (n == entry->n_placeholder)
                        return MATCH_WHOLE;
                best = MATCH_PART;
        }
        return best;
}

int restorer_push(struct restorer *restorer, const char *text, size_t length, bool last,
                  struct buffer *out)
{
        struct buffer *held = &restorer->held;
        size_t at = 0;
        int r;

        r = buffer_add(held, text, length);
        while (r == 0 && at < held->len) {
                const char *bracket = memchr(held->ptr + at, '[', held->len - at);
                size_t plain = bracket ? (size_t)(bracket - held->ptr) - at : held->len - at;
                const struct mask_entry *entry;
                enum match found;

                r = buffer_add(out, held->ptr + at, plain);
                at += plain;
                if (r < 0 || !bracket)
                        break;
                found = match(restorer->mask, bracket, held->len - at, &entry);
                if (found == MATCH_PART && !last)
                        break;
                if (found == MATCH_WHOLE)
                        r = buffer_add(out, entry->original, entry->n_original);
                else
                        r = buffer_add(out, bracket, 1);
                at += found == MATCH_WHOLE ? entry->n_placeholder : 1;
        }
        buffer_drop(held, at);
        return r;
}

void restorer_done(struct restorer *restorer)
{
        buffer_done(&restorer->held);
}
