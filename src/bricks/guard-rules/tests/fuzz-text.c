/* SPDX-License-Identifier: MIT */

/* What a client may send: a serialised request, judged by rules that use all that there is. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "brick-yaml.h"
#include "fold.h"
#include "match.h"
#include "request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
        "version: 1\n"
        "categories: { c: {}, d: {} }\n"
        "rules:\n"
        "  - { id: words, category: c, score: 0.5, literals: [ignore, ign, gnor, '忽略', '<|x|>'] "
        "}\n"
        "  - { id: phrase, category: c, score: 0.5, regex: 'ignore\\W+(?:\\w+\\W+){0,3}rules',\n"
        "      needs: [ignore, rules] }\n"
        "  - { id: card, category: d, score: 0.9, check: luhn, regex: '(?:\\d[ -]?){13,19}' }\n"
        "  - { id: iban, category: d, score: 0.9, check: iban,\n"
        "      regex: '\\b[a-z]{2}\\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?\\b' }\n"
        "  - { id: tw, category: d, score: 0.9, check: tw-id, regex: '[a-z]\\d{9}' }\n"
        "  - { id: cn, category: d, score: 0.9, check: cn-id, regex: '\\d{17}[\\dx]' }\n"
        "  - { id: raw, category: d, score: 0.9, raw: true, regex: '[\\x{200B}-\\x{200D}]{2}' }\n"
        "  - { id: slow, category: d, score: 0.9, regex: '(a+)+$', needs: aaa }\n";

static struct rules *load(void)
{
        struct brick_yaml *file;
        struct rules *rules;

        if (rules_new(&rules) < 0 || brick_yaml_new(&file, "f") < 0 ||
            rules_parse(rules, "f", yaml, strlen(yaml), file) < 0)
                abort();
        brick_yaml_free(file);
        return rules;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct rules *rules;
        struct match match;
        char names[32];
        const char *text;
        size_t length;
        char *memory;
        int r;

        if (!rules)
                rules = load();
        if (request_text(data, size, &text, &length) < 0)
                return 0;
        memory = malloc(match_size(rules, length));
        if (!memory)
                abort();
        r = match_text(&match, rules, MATCH_ALL, text, length, memory);
        if (r == 0) {
                char *folded = (char *)match.folded;
                size_t n = match.folded_length;

                for (size_t i = 0; i < rules->n_categories; i++) {
                        double score = rules_score(rules, match.hits, match.n_hits, i);

                        if (!(score >= 0 && score < 1))
                                abort();
                        match_names(&match, i, names, sizeof names);
                }
                match_names(&match, MATCH_ALL, names, sizeof names);
                /* folding is done once and for all */
                if (n > length || fold_text(folded, n, folded) != n)
                        abort();
        }
        free(memory);
        return 0;
}
