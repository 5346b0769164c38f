/* SPDX-License-Identifier: MIT */
#include "stem.h"

#include <stdbool.h>
#include <string.h>

/* Words that look inflected and are not, and those whose forms are irregular. */
static const char *const kept[] = {
        "alias",   "always",  "analysis", "bus",    "status",  "virus",    "campus", "focus",
        "bonus",   "atlas",   "basis",    "bias",   "canvas",  "chaos",    "cosmos", "crisis",
        "during",  "evening", "gas",      "his",    "howe",    "inning",   "king",   "lens",
        "mass",    "morning", "news",     "ping",   "physics", "ring",     "series", "something",
        "species", "spring",  "string",   "thesis", "thing",   "this",     "thus",   "was",
        "wing",    "nothing", "sibling",  "axis",   "ceiling", "anything", "has",    "does",
        "yes",     "plus",    "us",       "as",     "is",      "its",
};

/* Verbs whose noun ends in -ation without a verb in -ate, without their last e. */
static const char *const plain_verbs[] = {
        "adapt",     "affirm",    "alter",     "augment",   "authoriz", "combin",   "compil",
        "comput",    "condens",   "configur",  "confirm",   "conserv",  "consider", "converse",
        "declar",    "deriv",     "determin",  "document",  "examin",   "expect",   "explor",
        "fragment",  "imagin",    "implement", "inclin",    "inform",   "install",  "instal",
        "interpret", "invit",     "limit",     "motiv",     "observ",   "orient",   "prepar",
        "present",   "preserv",   "quot",      "represent", "reserv",   "resign",   "restor",
        "segment",   "substanti", "transform", "transport", "valu",     "vari",     "author",
};

struct word {
        char *s;
        size_t n;
};

static bool is_one_of(const struct word *w, size_t n, const char *const *words, size_t n_words)
{
        for (size_t i = 0; i < n_words; i++)
                if (strlen(words[i]) == n && memcmp(words[i], w->s, n) == 0)
                        return true;
        return false;
}

static bool is_kept(const struct word *w, size_t n)
{
        return is_one_of(w, n, kept, sizeof kept / sizeof *kept);
}

static bool is_vowel(const struct word *w, size_t i)
{
        if (w->s[i] == 'y')
                return i > 0 && !is_vowel(w, i - 1);
        return strchr("aeiou", w->s[i]);
}

static bool has_vowel(const struct word *w, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (is_vowel(w, i))
                        return true;
        return false;
}

/* The number of times that a vowel is followed by a consonant in the first n letters. */
static int measure(const struct word *w, size_t n)
{
        int m = 0;

        for (size_t i = 1; i < n; i++)
                m += is_vowel(w, i - 1) && !is_vowel(w, i);
        return m;
}

static bool ends(const struct word *w, const char *suffix)
{
        size_t n = strlen(suffix);

        return w->n > n && memcmp(w->s + w->n - n, suffix, n) == 0;
}

/* The first n letters end with consonant, vowel, consonant, as "hop" does: the e of "hope" counts.
 */
static bool is_short(const struct word *w, size_t n)
{
        if (n < 3)
                return n == 2 && is_vowel(w, 0) && !is_vowel(w, 1);
        return !is_vowel(w, n - 3) && is_vowel(w, n - 2) && !is_vowel(w, n - 1) &&
               !strchr("wxy", w->s[n - 1]);
}

static void cut_plural(struct word *w)
{
        if (w->n > 4 && ends(w, "es") && is_kept(w, w->n - 2))
                w->n -= 2;
        else if (ends(w, "sses") || ends(w, "xes") || ends(w, "shes") || ends(w, "ches") ||
                 ends(w, "zzes"))
                w->n -= 2;
        else if (ends(w, "ies"))
                w->n -= w->n > 4 ? 2 : 1;
        else if (ends(w, "s") && !ends(w, "ss") && !ends(w, "us") && !ends(w, "is"))
                w->n--;
}

/* What is left of a verb without -ed or -ing: "plann" becomes "plan", and "hop" of "hoped" "hope".
 */
static void mend_verb(struct word *w)
{
        char last = w->s[w->n - 1];

        if (ends(w, "at") || ends(w, "bl") || ends(w, "iz"))
                w->s[w->n++] = 'e';
        else if (w->n > 2 && last == w->s[w->n - 2] && !is_vowel(w, w->n - 1)) {
                if (!strchr("lsz", last))
                        w->n--;
        } else if (measure(w, w->n) == 1 && is_short(w, w->n))
                w->s[w->n++] = 'e';
}

static void cut_verb(struct word *w)
{
        size_t cut = ends(w, "ing") ? 3 : ends(w, "ed") ? 2 : 0;

        if (ends(w, "ied")) {
                w->n -= w->n > 4 ? 2 : 1;
                return;
        }
        if (ends(w, "eed")) {
                w->n -= measure(w, w->n - 3) > 0;
                return;
        }
        if (cut == 0 || w->n - cut < 2 || !has_vowel(w, w->n - cut))
                return;
        w->n -= cut;
        mend_verb(w);
}

static bool is_plain_verb(const struct word *w, size_t n)
{
        return is_one_of(w, n, plain_verbs, sizeof plain_verbs / sizeof *plain_verbs) ||
               (n > 4 && w->s[n - 2] == 'i' && w->s[n - 1] == 'z'); /* organization, organize */
}

/* Nouns of action: "configuration", "connection", "compression", "verification", "management". */
static void cut_noun(struct word *w)
{
        if (ends(w, "isation")) /* British */
                w->s[w->n - 6] = 'z';
        if (ends(w, "ification") && w->n > 10)
                w->n -= 6;
        else if (ends(w, "ation") && is_plain_verb(w, w->n - 5))
                w->n -= 5;
        else if (w->n >= 8 &&
                 (ends(w, "ation") || ends(w, "etion") || ends(w, "ution") || ends(w, "ssion")))
                w->n -= 3;
        else if (w->n >= 6 && ends(w, "ction"))
                w->n -= 3;
        else if (w->n >= 10 && ends(w, "ment") && !ends(w, "partment"))
                w->n -= 4;
}

static void cut_end(struct word *w)
{
        if (ends(w, "y") && w->n > 2 && !is_vowel(w, w->n - 2))
                w->s[w->n - 1] = 'i';
        else if (ends(w, "e") && measure(w, w->n - 1) > 0 &&
                 (measure(w, w->n - 1) > 1 || !is_short(w, w->n - 1)))
                w->n--;
        if (ends(w, "ll") && measure(w, w->n - 1) > 1)
                w->n--;
        if (ends(w, "is") && w->n > 6 && measure(w, w->n) > 2)
                w->s[w->n - 1] = 'z'; /* organise */
}

size_t stem(char *s, size_t n)
{
        struct word w = { s, n };

        for (size_t i = 0; i < n; i++)
                if (s[i] < 'a' || s[i] > 'z')
                        return n;
        if (n < 3 || is_kept(&w, w.n))
                return n;
        cut_plural(&w);
        if (is_kept(&w, w.n)) /* "strings" */
                return w.n;
        cut_verb(&w);
        cut_noun(&w);
        cut_end(&w);
        return w.n;
}
