/* SPDX-License-Identifier: MIT */
#include "rectify.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "scan.h"
#include "taiwan.h"

#define SAMPLE 200          /* words from which the language is found out */
#define LANGUAGE_SHARE 0.75 /* of the words that a dictionary must have */
#define HUNSPELL_MIN 4      /* letters: shorter words have too many neighbours */
#define CAPITALS_MIN 5      /* letters of a word in capitals that is no abbreviation */

/* A text while it is corrected. */
struct work {
        const struct rectifier *rectifier;
        struct brick_call *call;
        const char *text;
        size_t length;
        size_t done; /* bytes that are in out */
        struct brick_text out;
        struct rectified *ret;
        size_t size; /* of ret->changes */

        const struct language *language; /* NULL: none that there is a dictionary of */
        struct reader *reader;           /* of its speller */
        bool english;
        unsigned looked_up;
};

/* ---- changes -------------------------------------------------------------------------------- */

static int note(struct work *work, const struct change *change)
{
        struct rectified *ret = work->ret;
        struct change *grown;

        if (ret->n_changes == work->size) {
                work->size = work->size ? 2 * work->size : 16;
                grown = brick_alloc(work->call, work->size * sizeof *grown);
                if (!grown)
                        return -ENOMEM;
                if (ret->n_changes > 0)
                        memcpy(grown, ret->changes, ret->n_changes * sizeof *grown);
                ret->changes = grown;
        }
        ret->changes[ret->n_changes++] = *change;
        return 0;
}

/* Puts something else in place of a part of the text, behind what was changed before. */
static int change(struct work *work, size_t start, size_t length, const char *to, size_t to_length,
                  const char *by)
{
        struct change change = {
                .at = start,
                .from = brick_strndup(work->call, work->text + start, length),
                .to = brick_strndup(work->call, to, to_length),
                .by = by,
        };

        if (!change.from || !change.to)
                return -ENOMEM;
        brick_text_add(&work->out, work->text + work->done, start - work->done);
        brick_text_add(&work->out, to, to_length);
        work->done = start + length;
        return note(work, &change);
}

/* ---- words ---------------------------------------------------------------------------------- */

static bool is_upper(char c)
{
        return c >= 'A' && c <= 'Z';
}

static char lower(char c)
{
        return is_upper(c) ? (char)(c + 32) : c;
}

static char upper(char c)
{
        return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

/* Whether a word begins with a capital of Latin letters from U+00C0 to U+017F. */
static bool has_accented_capital(const char *word, size_t length)
{
        const unsigned char *s = (const unsigned char *)word;
        unsigned c;

        if (length < 2 || s[0] < 0xc3 || s[0] > 0xc5)
                return false;
        c = (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
        if (c < 0x100)
                return c < 0xdf;
        /* capitals are even, but odd from U+0139 to U+0148 and from U+0179 on */
        return (c & 1) == ((c >= 0x139 && c <= 0x148) || c >= 0x179 ? 1u : 0u);
}

enum letter_case { CASE_LOWER, CASE_FIRST, CASE_ALL, CASE_MIXED };

static enum letter_case case_of(const char *word, size_t length)
{
        size_t capitals = 0, small = 0;

        for (size_t i = 0; i < length; i++) {
                capitals += is_upper(word[i]);
                small += word[i] >= 'a' && word[i] <= 'z';
        }
        if (has_accented_capital(word, length))
                return capitals > 0 && small == 0 ? CASE_ALL : CASE_FIRST;
        if (capitals == 0)
                return CASE_LOWER;
        if (small == 0 && length > 1)
                return CASE_ALL;
        return capitals == 1 && is_upper(word[0]) ? CASE_FIRST : CASE_MIXED;
}

/* As the user wrote the word. */
static void set_case(char *text, enum letter_case how)
{
        if (how == CASE_FIRST)
                text[0] = upper(text[0]);
        for (; how == CASE_ALL && *text; text++)
                *text = upper(*text);
}

/* The word in small letters; false: it is too long to be looked up. */
static bool fold(const char *word, size_t length, char ret[SPELLER_WORD_MAX])
{
        for (size_t i = 0; i < length && i < SPELLER_WORD_MAX; i++)
                ret[i] = lower(word[i]);
        return length <= SPELLER_WORD_MAX;
}

static bool knows(const struct work *work, const char *word, size_t length)
{
        return work->reader && speller_knows(work->reader, word, length);
}

static int correct_by_list(struct work *work, const struct token *token, const struct pair *pair,
                           enum letter_case how)
{
        char *right = brick_strndup(work->call, pair->right, strlen(pair->right));

        if (!right)
                return -ENOMEM;
        set_case(right, how);
        return change(work, token->start, token->length, right, strlen(right), "list");
}

/* Whether it has an apostrophe, as genitives of names, or is a part of a word with hyphens. */
static bool is_compound(const struct work *work, const struct token *token)
{
        const char *word = work->text + token->start;

        return word[token->length] == '-' || (token->start > 0 && word[-1] == '-') ||
               memchr(word, '\'', token->length) || memmem(word, token->length, "’", strlen("’"));
}

static int correct_by_dictionary(struct work *work, const struct token *token)
{
        const char *word = work->text + token->start;
        struct correction correction;

        if (!work->reader || token->length < HUNSPELL_MIN || is_compound(work, token) ||
            knows(work, word, token->length))
                return 0;
        if (brick_host->call_cancelled(work->call))
                return -ECANCELED;
        correction = speller_correct(work->language->speller, work->reader, word, token->length,
                                     &work->looked_up, work->rectifier->max_lookups);
        if (!correction.text[0])
                return 0;
        return change(work, token->start, token->length, correction.text, strlen(correction.text),
                      "dictionary");
}

/* What the lists have in place of a word; *how: the letters to write it in. The user's own list
 * knows better than a dictionary, and may have words with capitals. NULL: nothing. */
static const struct pair *find(const struct work *work, const char *word, const char *folded,
                               size_t length, enum letter_case *how)
{
        const struct rectifier *rectifier = work->rectifier;
        const struct pair *pair = list_find(rectifier->extra, word, length);

        if (pair) {
                *how = CASE_LOWER; /* as the list has it */
                return pair;
        }
        pair = list_find(rectifier->extra, folded, length);
        if (pair || !work->english || knows(work, word, length))
                return pair;
        return list_find(rectifier->list, folded, length);
}

/* Words with a capital may be names, which only the lists correct. */
static int correct_word(struct work *work, const struct token *token)
{
        const char *word = work->text + token->start;
        enum letter_case how = case_of(word, token->length), written = how;
        char folded[SPELLER_WORD_MAX];
        const struct pair *pair;

        if (!fold(word, token->length, folded) || how == CASE_MIXED ||
            (how == CASE_ALL && token->length < CAPITALS_MIN))
                return 0;
        pair = find(work, word, folded, token->length, &written);
        if (pair)
                return correct_by_list(work, token, pair, written);
        return how == CASE_LOWER ? correct_by_dictionary(work, token) : 0;
}

/* ---- Chinese -------------------------------------------------------------------------------- */

/* The right side is "traditional/simplified" where they differ. */
static int correct_confusion(struct work *work, size_t at, const struct pair *pair, bool simplified)
{
        const char *slash = strchr(pair->right, '/'), *right = pair->right;
        size_t n = slash ? (size_t)(slash - right) : strlen(right);

        if (slash && simplified) {
                right = slash + 1;
                n = strlen(right);
        }
        return change(work, at, strlen(pair->wrong), right, n, "confusions");
}

static int changed_words(void *user, size_t at, size_t length, const char *to, size_t to_length)
{
        return change(user, at, length, to, to_length, "words");
}

/* Mainland words in traditional characters, where nothing else has been changed. */
static int correct_words(struct work *work, size_t start, size_t end, bool simplified)
{
        if (!work->rectifier->taiwan || simplified || start == end)
                return 0;
        return taiwan_words(work->rectifier->taiwan, work->text, start, end, changed_words, work);
}

static size_t character_length(const char *text)
{
        size_t n = 1;

        while (((unsigned char)text[n] & 0xc0) == 0x80)
                n++;
        return n;
}

static int correct_han(struct work *work, const struct token *token, bool simplified)
{
        size_t at = token->start, end = token->start + token->length, start = at;
        const char *text = work->text;
        int r = 0;

        while (r == 0 && at < end) {
                const struct pair *pair = list_match(work->rectifier->extra, text, end, at);

                if (!pair)
                        pair = list_match(work->rectifier->confusions, text, end, at);
                if (!pair) {
                        at += character_length(text + at);
                        continue;
                }
                r = correct_words(work, start, at, simplified);
                if (r == 0)
                        r = correct_confusion(work, at, pair, simplified);
                start = at += strlen(pair->wrong);
        }
        return r == 0 ? correct_words(work, start, end, simplified) : r;
}

/* Whether the text has more characters that are only simplified than only traditional. */
static bool is_simplified(const char *text)
{
        static const char simplified[] = "这个们来时为说会对过还没样开现发经动问间话让请给应该实";
        static const char traditional[] = "這個們來時為說會對過還沒樣開現發經動問間話讓請給應該實";
        int lead = 0;

        for (const char *p = text; *p; p += character_length(p)) {
                char character[5] = { 0 };
                size_t n = character_length(p);

                if (n != 3)
                        continue;
                memcpy(character, p, n);
                lead += strstr(simplified, character) != NULL;
                lead -= strstr(traditional, character) != NULL;
        }
        return lead > 0;
}

/* ---- the language --------------------------------------------------------------------------- */

static bool names(const char *language, const char *tag)
{
        size_t n = strlen(tag);

        return strncasecmp(language, tag, n) == 0 && strchr("-_", language[n]);
}

/* The share of words that a language has, from 0 to 1. */
static double share(const struct work *work, const struct language *language, struct reader *reader)
{
        struct scan scan = scan_of(work->text, work->length);
        bool english = strcmp(language->tag, "en") == 0;
        char folded[SPELLER_WORD_MAX];
        size_t n = 0, known = 0;
        struct token token;

        while (n < SAMPLE && scan_next(&scan, &token)) {
                const char *word = work->text + token.start;

                if (token.han || !fold(word, token.length, folded))
                        continue;
                n++;
                known += speller_knows(reader, word, token.length) ||
                         (english && list_find(work->rectifier->list, folded, token.length));
        }
        return n > 0 ? (double)known / (double)n : 0;
}

/* The one that has most of the words; none if those are too few. */
static int find_language(struct work *work)
{
        const struct rectifier *rectifier = work->rectifier;
        double best = LANGUAGE_SHARE;

        for (size_t i = 0; i < rectifier->n_languages; i++) {
                const struct language *language = &rectifier->languages[i];
                struct reader *reader = speller_borrow(language->speller);
                double here;

                if (!reader)
                        return -ENOMEM;
                here = share(work, language, reader);
                speller_return(language->speller, reader);
                if (here >= best && (here > best || !work->language)) {
                        best = here;
                        work->language = language;
                }
        }
        work->english = work->language && strcmp(work->language->tag, "en") == 0;
        return 0;
}

static int choose_language(struct work *work, const char *tag)
{
        const struct rectifier *rectifier = work->rectifier;

        if (!*tag)
                return find_language(work);
        work->english = names(tag, "en");
        for (size_t i = 0; i < rectifier->n_languages; i++)
                if (names(tag, rectifier->languages[i].tag))
                        work->language = &rectifier->languages[i];
        return 0;
}

/* ---- the text ------------------------------------------------------------------------------- */

static int correct_all(struct work *work)
{
        struct scan scan = scan_of(work->text, work->length);
        bool simplified = is_simplified(work->text);
        struct token token;
        int r = 0;

        while (r == 0 && scan_next(&scan, &token))
                r = token.han ? correct_han(work, &token, simplified) : correct_word(work, &token);
        return r;
}

int rectify(const struct rectifier *rectifier, struct brick_call *call, const char *text,
            const char *language, struct rectified *ret)
{
        struct work work = {
                .rectifier = rectifier,
                .call = call,
                .text = text,
                .length = strlen(text),
                .out = BRICK_TEXT(call),
                .ret = ret,
        };
        int r;

        *ret = (struct rectified){ 0 };
        r = choose_language(&work, language);
        if (r == 0 && work.language) {
                work.reader = speller_borrow(work.language->speller);
                r = work.reader ? 0 : -ENOMEM;
        }
        if (r == 0)
                r = correct_all(&work);
        if (work.language)
                speller_return(work.language->speller, work.reader);
        brick_text_add(&work.out, text + work.done, work.length - work.done);
        ret->text = brick_text_end(&work.out);
        return r < 0 || ret->text ? r : -ENOMEM;
}
