/* SPDX-License-Identifier: MIT */
#include "stem.h"

#include <stdbool.h>
#include <string.h>

#define LETTERS 26

/* Words that look inflected and are not, and those whose forms are irregular. By first letter, each
 * between spaces. */
static const char *const kept[LETTERS] = {
        ['a' - 'a'] = " alias always analysis anything as atlas axis ",
        ['b' - 'a'] = " basis bias bonus bus ",
        ['c' - 'a'] = " campus canvas ceiling chaos cosmos crisis ",
        ['d' - 'a'] = " does during ",
        ['e' - 'a'] = " evening ",
        ['f' - 'a'] = " focus ",
        ['g' - 'a'] = " gas ",
        ['h' - 'a'] = " has his ",
        ['i' - 'a'] = " inning is its ",
        ['k' - 'a'] = " king ",
        ['l' - 'a'] = " lens ",
        ['m' - 'a'] = " marketing mass morning ",
        ['n' - 'a'] = " news nothing ",
        ['p' - 'a'] = " physics ping plus ",
        ['r' - 'a'] = " ring ",
        ['s' - 'a'] = " series sibling something species spring status string ",
        ['t' - 'a'] = " thesis thing this thus ",
        ['u' - 'a'] = " us ",
        ['v' - 'a'] = " virus ",
        ['w' - 'a'] = " was wing ",
        ['y' - 'a'] = " yes ",
};

/* Verbs whose noun ends in -ation without a verb in -ate, without their last e. */
static const char *const plain_verbs[LETTERS] = {
        ['a' - 'a'] = " adapt affirm alter augment authoriz ",
        ['c' - 'a'] = " combin compil comput condens configur confirm conserv consider ",
        ['d' - 'a'] = " declar deriv determin document ",
        ['e' - 'a'] = " examin expect explor ",
        ['f' - 'a'] = " fragment ",
        ['i' - 'a'] = " imagin implement inclin inform instal install interpret invit ",
        ['l' - 'a'] = " limit ",
        ['o' - 'a'] = " observ orient ",
        ['p' - 'a'] = " prepar present preserv ",
        ['q' - 'a'] = " quot ",
        ['r' - 'a'] = " represent reserv resign restor ",
        ['s' - 'a'] = " segment ",
        ['t' - 'a'] = " transform transport ",
        ['v' - 'a'] = " valu vari ",
};

struct word {
        char *s;
        size_t n;
};

/* Whether the first n letters are a word of the list. */
static bool is_listed(const struct word *w, size_t n, const char *const lists[static LETTERS])
{
        const char *p = lists[w->s[0] - 'a'];

        if (!p)
                return false;
        for (p++; *p; p += strcspn(p, " ") + 1)
                if (strncmp(p, w->s, n) == 0 && p[n] == ' ')
                        return true;
        return false;
}

static bool is_kept(const struct word *w, size_t n)
{
        return (w->s[n - 1] == 's' || w->s[n - 1] == 'g') && is_listed(w, n, kept);
}

static bool is_vowel(const struct word *w, size_t i)
{
        if (w->s[i] == 'y')
                return i > 0 && !is_vowel(w, i - 1);
        return w->s[i] == 'a' || w->s[i] == 'e' || w->s[i] == 'i' || w->s[i] == 'o' ||
               w->s[i] == 'u';
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
        else if (w->n > 3 && ends(w, "s") && !ends(w, "ss") && !ends(w, "us") && !ends(w, "is"))
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
        return is_listed(w, n, plain_verbs) ||
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
        else if (w->n >= 7 && ends(w, "ical")) /* graphical, graphic */
                w->n -= 2;
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
        if (w.n < n && is_kept(&w, w.n)) /* "strings" */
                return w.n;
        cut_verb(&w);
        cut_noun(&w);
        cut_end(&w);
        return w.n;
}
