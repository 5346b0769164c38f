/* SPDX-License-Identifier: MIT */
#include "speller.h"

#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <hunspell.h>

#define REMEMBERED 4096 /* words; one that falls into the same place takes it */
#define LETTERS_MAX (2 * SPELLER_WORD_MAX)

struct reader {
        struct reader *next; /* of those that nobody has */
        Hunhandle *hunspell;
        iconv_t to, from; /* (iconv_t)-1: the dictionary is in UTF-8 */
};

struct memory {
        char word[SPELLER_WORD_MAX + 1]; /* "": free */
        struct correction correction;
};

struct speller {
        char *aff, *dic;
        const char *terms;
        pthread_mutex_t lock; /* of what follows */
        struct reader *readers;
        struct memory memory[REMEMBERED];
};

/* ---- readers -------------------------------------------------------------------------------- */

static void reader_free(struct reader *reader)
{
        if (reader->to != (iconv_t)-1)
                (void)iconv_close(reader->to);
        if (reader->from != (iconv_t)-1)
                (void)iconv_close(reader->from);
        if (reader->hunspell)
                Hunspell_destroy(reader->hunspell);
        free(reader);
}

static bool recode(iconv_t how, const char *word, size_t length, char *ret, size_t size);

static void add_terms(struct reader *reader, const char *terms)
{
        char in[2 * SPELLER_WORD_MAX + 1];
        size_t n;

        for (; *terms; terms += n + (terms[n] == '\n')) {
                n = strcspn(terms, "\n");
                if (n > 0 && *terms != '#' && recode(reader->to, terms, n, in, sizeof in))
                        (void)Hunspell_add(reader->hunspell, in);
        }
}

/* NULL: out of memory, or an encoding that iconv() does not know. */
static struct reader *reader_new(const struct speller *speller)
{
        struct reader *reader = calloc(1, sizeof *reader);
        const char *encoding;
        bool ok;

        if (!reader)
                return NULL;
        reader->to = reader->from = (iconv_t)-1;
        reader->hunspell = Hunspell_create(speller->aff, speller->dic);
        encoding = reader->hunspell ? Hunspell_get_dic_encoding(reader->hunspell) : NULL;
        ok = encoding != NULL;
        if (ok && strcasecmp(encoding, "UTF-8") != 0) {
                reader->to = iconv_open(encoding, "UTF-8");
                reader->from = iconv_open("UTF-8", encoding);
                ok = reader->to != (iconv_t)-1 && reader->from != (iconv_t)-1;
        }
        if (!ok) {
                reader_free(reader);
                return NULL;
        }
        add_terms(reader, speller->terms);
        return reader;
}

struct reader *speller_borrow(struct speller *speller)
{
        struct reader *reader;

        (void)pthread_mutex_lock(&speller->lock);
        reader = speller->readers;
        if (reader)
                speller->readers = reader->next;
        (void)pthread_mutex_unlock(&speller->lock);
        return reader ? reader : reader_new(speller);
}

void speller_return(struct speller *speller, struct reader *reader)
{
        if (!reader)
                return;
        (void)pthread_mutex_lock(&speller->lock);
        reader->next = speller->readers;
        speller->readers = reader;
        (void)pthread_mutex_unlock(&speller->lock);
}

/* hunspell makes an empty dictionary of files that are missing. */
static int check_files(struct speller *speller, const char *path)
{
        if (asprintf(&speller->aff, "%s.aff", path) < 0) {
                speller->aff = NULL;
                return -ENOMEM;
        }
        if (asprintf(&speller->dic, "%s.dic", path) < 0) {
                speller->dic = NULL;
                return -ENOMEM;
        }
        return access(speller->aff, R_OK) < 0 || access(speller->dic, R_OK) < 0 ? -errno : 0;
}

int speller_new(const char *path, const char *terms, struct speller **ret)
{
        struct speller *speller = calloc(1, sizeof *speller);
        int r;

        if (!speller)
                return -ENOMEM;
        speller->terms = terms;
        (void)pthread_mutex_init(&speller->lock, NULL);
        r = check_files(speller, path);
        if (r == 0)
                *ret = speller;
        else
                speller_free(speller);
        return r;
}

struct speller *speller_free(struct speller *speller)
{
        struct reader *next;

        if (!speller)
                return NULL;
        for (struct reader *reader = speller->readers; reader; reader = next) {
                next = reader->next;
                reader_free(reader);
        }
        (void)pthread_mutex_destroy(&speller->lock);
        free(speller->aff);
        free(speller->dic);
        free(speller);
        return NULL;
}

/* ---- words ---------------------------------------------------------------------------------- */

/* Into or from the dictionary's encoding, NUL-terminated. ’ is ' there. false: it does not fit. */
static bool recode(iconv_t how, const char *word, size_t length, char *ret, size_t size)
{
        char in[2 * SPELLER_WORD_MAX + 1], *from = in, *to = ret;
        size_t left = size - 1, n = 0;

        for (size_t i = 0; i < length; i++) {
                bool quote = length - i >= 3 && memcmp(word + i, "’", 3) == 0;

                if (n + 1 >= sizeof in)
                        return false;
                in[n++] = quote ? '\'' : word[i];
                i += quote ? 2 : 0;
        }
        if (how == (iconv_t)-1) {
                if (n > left)
                        return false;
                memcpy(ret, in, n);
                ret[n] = '\0';
                return true;
        }
        (void)iconv(how, NULL, NULL, NULL, NULL);
        if (iconv(how, &from, &n, &to, &left) == (size_t)-1)
                return false;
        *to = '\0';
        return true;
}

bool speller_knows(struct reader *reader, const char *word, size_t length)
{
        char in[2 * SPELLER_WORD_MAX + 1];

        return recode(reader->to, word, length, in, sizeof in) &&
               Hunspell_spell(reader->hunspell, in) != 0;
}

/* The letters of a word; more than LETTERS_MAX are not looked at. */
static size_t letters_of(const char *word, uint32_t ret[LETTERS_MAX])
{
        size_t n = 0;

        for (; *word && n < LETTERS_MAX; word++)
                if (((unsigned char)*word & 0xc0) != 0x80)
                        ret[n++] = (unsigned char)*word;
                else if (n > 0)
                        ret[n - 1] = ret[n - 1] << 8 | (unsigned char)*word;
        return n;
}

bool speller_is_near(const char *a, const char *b)
{
        uint32_t x[LETTERS_MAX], y[LETTERS_MAX], *p = x, *q = y;
        size_t n = letters_of(a, x), m = letters_of(b, y);

        while (n > 0 && m > 0 && *p == *q) {
                p++;
                q++;
                n--;
                m--;
        }
        while (n > 0 && m > 0 && p[n - 1] == q[m - 1]) {
                n--;
                m--;
        }
        return (n <= 1 && m <= 1 && n + m > 0) ||
               (n == 2 && m == 2 && p[0] == q[1] && p[1] == q[0]);
}

static bool is_vowel(char c)
{
        return c && strchr("aeiouy", c);
}

bool speller_is_british(const char *word, const char *other)
{
        size_t i = 0, n = strlen(word), m = strlen(other);
        const char *a, *b;

        while (i < n && i < m && word[i] == other[i])
                i++;
        a = word + i;
        b = other + i;
        if (i == 0 || i == n || i == m)
                return false;
        if (n == m && strcmp(a, "re") == 0)
                return strcmp(b, "er") == 0;
        if (n == m)
                return a[0] == 's' && b[0] == 'z' && strcmp(a + 1, b + 1) == 0 && is_vowel(a[-1]);
        if (m == n + 1 && a[0] == 'r')
                return b[0] == 'e' && strcmp(a, b + 1) == 0;
        if (n != m + 1 || strcmp(a + 1, b) != 0)
                return false;
        return (a[0] == 'u' && a[-1] == 'o' && a[1] == 'r') ||
               (a[0] == 'e' && a[-1] == 'g' && strncmp(b, "ment", 4) == 0) ||
               (a[0] == 'l' && a[-1] == 'l' && is_vowel(a[1]));
}

/* Characters beyond ASCII. */
static unsigned count_accents(const char *word)
{
        unsigned n = 0;

        for (; *word; word++)
                n += (unsigned char)*word >= 0xc0;
        return n;
}

/* Mistakes are seldom in the first letter, but names of programs are words with a letter before
 * them: dconf, rlogin. An accent may be missing, or a capital. */
static bool begins_alike(const char *word, const char *other)
{
        return (*word | 0x20) == (*other | 0x20) || (unsigned char)*other >= 0xc0;
}

/* Whether the word is the other one with an s: a plural that the dictionary lacks. */
static bool is_plural(const char *word, const char *other)
{
        size_t n = strlen(other);

        return n > 0 && other[n - 1] != 's' && strncmp(word, other, n) == 0 &&
               strcmp(word + n, "s") == 0;
}

/* The one suggestion that is near, if there is no other. Nobody types an accent by mistake. */
static struct correction choose(struct reader *reader, const char *word, char **suggestions, int n)
{
        struct correction ret = { "" };
        char text[2 * SPELLER_WORD_MAX];
        unsigned near = 0;

        for (int i = 0; i < n; i++) {
                if (!recode(reader->from, suggestions[i], strlen(suggestions[i]), text,
                            sizeof text) ||
                    strpbrk(text, " -'") || count_accents(text) < count_accents(word) ||
                    !speller_is_near(word, text))
                        continue;
                near++;
                (void)snprintf(ret.text, sizeof ret.text, "%s", text);
        }
        if (near != 1 || !begins_alike(word, ret.text) || is_plural(word, ret.text) ||
            speller_is_british(word, ret.text))
                ret.text[0] = '\0';
        return ret;
}

static struct correction look_up(struct reader *reader, const char *word)
{
        char in[2 * SPELLER_WORD_MAX + 1], **suggestions = NULL;
        struct correction ret = { "" };
        int n;

        if (!recode(reader->to, word, strlen(word), in, sizeof in))
                return ret;
        n = Hunspell_suggest(reader->hunspell, &suggestions, in);
        if (n > 0) {
                ret = choose(reader, word, suggestions, n);
                Hunspell_free_list(reader->hunspell, &suggestions, n);
        }
        return ret;
}

static struct memory *place(struct speller *speller, const char *word)
{
        uint32_t h = 2166136261u;

        for (const char *p = word; *p; p++)
                h = (h ^ (unsigned char)*p) * 16777619;
        return &speller->memory[h % REMEMBERED];
}

static bool remembers(struct speller *speller, const char *word, struct correction *ret)
{
        const struct memory *memory = place(speller, word);
        bool found;

        (void)pthread_mutex_lock(&speller->lock);
        found = strcmp(memory->word, word) == 0;
        if (found)
                *ret = memory->correction;
        (void)pthread_mutex_unlock(&speller->lock);
        return found;
}

static void remember(struct speller *speller, const char *word, const struct correction *correction)
{
        struct memory *memory = place(speller, word);

        (void)pthread_mutex_lock(&speller->lock);
        (void)snprintf(memory->word, sizeof memory->word, "%s", word);
        memory->correction = *correction;
        (void)pthread_mutex_unlock(&speller->lock);
}

struct correction speller_correct(struct speller *speller, struct reader *reader, const char *word,
                                  size_t length, unsigned *looked_up, unsigned max)
{
        char key[SPELLER_WORD_MAX + 1];
        struct correction ret = { "" };

        if (length > SPELLER_WORD_MAX)
                return ret;
        memcpy(key, word, length);
        key[length] = '\0';
        if (remembers(speller, key, &ret) || *looked_up >= max)
                return ret;
        ++*looked_up;
        ret = look_up(reader, key);
        remember(speller, key, &ret);
        return ret;
}
