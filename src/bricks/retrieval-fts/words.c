/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <string.h>

#include "fold.h"
#include "stem.h"

/* A piece with more parts is a serial number or a hash: it is one token. */
#define PARTS_MAX 8

/* Pieces of a word that is also found as one: state-of-the-art has four. */
#define JOINED_PIECES_MAX 4
#define JOINED_SIZE_MAX 48

/* With dots, only names as short as Node.js and U.S.A. are: others are files, hosts and members. */
#define DOTTED_SIZE_MAX 8

struct buffer {
        char text[WORDS_TOKEN_MAX];
        size_t n;
};

struct part {
        size_t folded; /* where it starts in the folded piece, and in the text */
        size_t start;
};

/* What is between two joiners: "get" and "userName" of get-userName. */
struct piece {
        struct buffer folded;
        struct buffer umlaut; /* with ae for a umlaut */
        size_t start;
        size_t end;
        struct part parts[PARTS_MAX];
        size_t n_parts;
        bool has_umlaut;
        bool capital;
        bool digits; /* nothing else */
};

/* The pieces of a word so far. */
struct group {
        struct buffer joined;
        size_t start;
        size_t end;
        size_t n;    /* pieces */
        bool elided; /* "l'imprimante" */
        bool dotted; /* "Node.js" */
        bool digits; /* "12.4.1" */
};

/* The text, and room for the word that is read: to clear it for each word would take longer than to
 * read the word. */
struct reader {
        const char *text;
        size_t n;
        words_func *func;
        void *user;
        bool places; /* only tokens with a position, not stemmed */
        char stemmed[WORDS_TOKEN_MAX];
        struct buffer name; /* "c++", ".net" */
        struct piece piece;
        struct group group;
};

static inline size_t peek(struct reader *r, size_t at, struct folded *f)
{
        if (at < r->n)
                return fold_next(r->text + at, r->n - at, f);
        *f = (struct folded){ .kind = FOLD_SEPARATOR };
        return 0;
}

static void put(struct buffer *b, const char *s, size_t n)
{
        if (n > sizeof b->text - b->n)
                return;
        if (n == 1) /* the usual case */
                b->text[b->n] = *s;
        else
                memcpy(b->text + b->n, s, n);
        b->n += n;
}

static int emit(struct reader *r, enum words_kind kind, const char *s, size_t n, size_t start,
                size_t end)
{
        struct words_token token = {
                .text = r->stemmed,
                .folded = s,
                .n_folded = n,
                .start = start,
                .end = end,
                .kind = kind,
        };

        if (n == 0 || (r->places && kind == WORDS_ALIAS))
                return 0;
        if (r->places) {
                token.text = s;
                token.n = n;
                return r->func(r->user, &token);
        }
        memcpy(r->stemmed, s, n);
        token.n = stem(r->stemmed, n);
        return r->func(r->user, &token);
}

static int emit_unspaced(struct reader *r, enum words_kind kind, const struct buffer *b,
                         size_t start, size_t end)
{
        return r->func(r->user, &(struct words_token){ .text = b->text,
                                                       .n = b->n,
                                                       .folded = b->text,
                                                       .n_folded = b->n,
                                                       .start = start,
                                                       .end = end,
                                                       .kind = kind,
                                                       .unspaced = true });
}

/* Where what is ignored at `at` ends. *ret is the character there, of *ret_length bytes. */
static size_t skip_ignored(struct reader *r, size_t at, struct folded *ret, size_t *ret_length)
{
        while ((*ret_length = peek(r, at, ret)) > 0 && ret->kind == FOLD_IGNORED)
                at += *ret_length;
        return at;
}

/*
 * Each character of a run of a script without spaces starts a token: a pair with the next. The last
 * one is a token by itself, so that a single character is found at the end of a run, too. a: the
 * character at *at, of n bytes. Each character is folded once.
 */
static int read_run(struct reader *r, size_t *at, struct folded a, size_t n)
{
        size_t first = *at, second, end;
        struct folded b, next;
        struct buffer pair;
        int result = 0;

        second = skip_ignored(r, first + n, &b, &n);
        for (bool alone = true; result == 0; alone = false) {
                pair.n = 0;
                put(&pair, a.text, a.n);
                if (b.kind != FOLD_UNSPACED) {
                        *at = second;
                        return emit_unspaced(r, alone ? WORDS_ALONE : WORDS_LAST, &pair, first,
                                             second);
                }
                put(&pair, b.text, b.n);
                end = skip_ignored(r, second + n, &next, &n);
                result = emit_unspaced(r, WORDS_PART, &pair, first, end);
                a = b;
                b = next;
                first = second;
                second = end;
        }
        return result;
}

enum case_of { CASE_NONE, CASE_LOWER, CASE_UPPER, CASE_DIGIT };

static enum case_of case_of(const struct folded *f)
{
        return f->digit ? CASE_DIGIT : f->upper ? CASE_UPPER : CASE_LOWER;
}

static void part_add(struct piece *p, size_t folded, size_t start)
{
        if (p->n_parts < PARTS_MAX)
                p->parts[p->n_parts] = (struct part){ folded, start };
        p->n_parts++;
}

static void piece_put(struct piece *p, const struct folded *f)
{
        if (f->umlaut && !p->has_umlaut) {
                p->umlaut = p->folded;
                p->has_umlaut = true;
        }
        if (p->has_umlaut) {
                put(&p->umlaut, f->text, f->umlaut ? 1 : f->n);
                put(&p->umlaut, &f->umlaut, f->umlaut ? 1 : 0);
        }
        put(&p->folded, f->text, f->n);
}

/* "APIs" is the plural of API: the s does not start a part with the letter before it, and goes. */
static void mend_plural(struct reader *r, struct piece *p)
{
        const struct part *last;

        if (p->n_parts < 2 || p->n_parts > PARTS_MAX)
                return;
        last = &p->parts[p->n_parts - 1];
        if (p->folded.n - last->folded == 2 && r->text[p->end - 1] == 's' &&
            p->end - last->start == 2) {
                p->n_parts--;
                p->folded.n--;
        }
}

/* The usual case: small letters of ASCII after such a letter, or digits after a digit. Returns how
 * many were read. */
static size_t read_same(struct reader *r, size_t at, struct piece *p, char first, char last)
{
        size_t n = 0, room = sizeof p->folded.text - p->folded.n;

        while (at + n < r->n && r->text[at + n] >= first && r->text[at + n] <= last)
                n++;
        if (n > 0 && at + n < r->n && (unsigned char)r->text[at + n] >= 0x80)
                n--; /* it may have an accent */
        put(&p->folded, r->text + at, n < room ? n : room);
        p->end += n;
        return n;
}

/* Reads a piece at `at`, and notes where its parts start: getUser, HTTPServer, python3, 10GB. */
static void read_piece(struct reader *r, size_t at, struct piece *p)
{
        enum case_of last = CASE_NONE, now;
        size_t next, previous_folded = 0, previous_start = at;
        bool acronym = false; /* the last two letters are capitals */
        struct folded f;

        p->folded.n = p->umlaut.n = p->n_parts = 0;
        p->has_umlaut = p->capital = false;
        p->digits = true;
        p->start = p->end = at;
        for (; (next = peek(r, at, &f)) > 0; at += next) {
                if (f.kind == FOLD_IGNORED) {
                        p->end = at + next;
                        continue;
                }
                if (f.kind != FOLD_WORD)
                        break;
                now = case_of(&f);
                p->digits = p->digits && now == CASE_DIGIT;
                if (last == CASE_NONE) {
                        part_add(p, 0, at);
                        p->capital = now == CASE_UPPER;
                } else if (now == CASE_LOWER && acronym)
                        part_add(p, previous_folded, previous_start);
                else if (now != last && !(last == CASE_UPPER && now == CASE_LOWER))
                        part_add(p, p->folded.n, at);
                acronym = last == CASE_UPPER && now == CASE_UPPER;
                last = now;
                previous_folded = p->folded.n;
                previous_start = at;
                piece_put(p, &f);
                p->end = at + next;
                if (p->has_umlaut || next > 1 || now == CASE_UPPER)
                        continue;
                next += now == CASE_LOWER ? read_same(r, p->end, p, 'a', 'z')
                                          : read_same(r, p->end, p, '0', '9');
        }
        mend_plural(r, p);
}

/* Emits the piece, and as aliases the parts that it has. */
static int emit_parts(struct reader *r, const struct piece *p)
{
        size_t to, end;
        int result;

        result = emit(r, WORDS_PART, p->folded.text, p->folded.n, p->start, p->end);
        if (p->n_parts == 1 || p->n_parts > PARTS_MAX || r->places)
                return result;
        for (size_t i = 0; result == 0 && i < p->n_parts; i++) {
                to = i + 1 < p->n_parts ? p->parts[i + 1].folded : p->folded.n;
                end = i + 1 < p->n_parts ? p->parts[i + 1].start : p->end;
                result = emit(r, WORDS_ALIAS, p->folded.text + p->parts[i].folded,
                              to - p->parts[i].folded, p->parts[i].start, end);
        }
        return result;
}

/* The length of "++" or "#" at `at`, with which names of languages end: C++, C++20, F#. */
static size_t sharp_length(struct reader *r, size_t at, char ret[static 2])
{
        struct folded next;
        size_t n = peek(r, at, &next);

        if (n == 0)
                return 0;
        if (r->n - at >= 2 && memcmp(r->text + at, "++", 2) == 0) {
                memcpy(ret, "++", 2);
                n = 2;
        } else if (next.text[0] == '#')
                ret[0] = '#';
        else
                return 0;
        (void)peek(r, at + n, &next);
        return next.kind == FOLD_WORD && !next.digit ? 0 : n;
}

/* Returns 1 if the piece is a name with ++ or #, whose token is emitted. */
static int emit_sharp(struct reader *r, struct piece *p)
{
        char mark[2];
        size_t length = sharp_length(r, p->end, mark);
        int result = 0;

        if (length == 0 || p->digits || p->folded.n > WORDS_TOKEN_MAX - 2)
                return 0;
        r->name = p->folded;
        put(&r->name, mark, mark[0] == '#' ? 1 : 2);
        p->end += length;
        if (p->folded.n > 1)
                result = emit_parts(r, p);
        if (result == 0)
                result = emit(r, p->folded.n > 1 ? WORDS_ALIAS : WORDS_PART, r->name.text,
                              r->name.n, p->start, p->end);
        return result ?: 1;
}

/* ".NET", ".bashrc": a word after a dot that no word is before. */
static int emit_dotted(struct reader *r, const struct piece *p)
{
        if (p->start == 0 || r->text[p->start - 1] != '.' || p->digits || p->folded.n < 2 ||
            p->folded.n >= WORDS_TOKEN_MAX)
                return 0;
        r->name.n = 0;
        put(&r->name, ".", 1);
        put(&r->name, p->folded.text, p->folded.n);
        return emit(r, WORDS_ALIAS, r->name.text, r->name.n, p->start - 1, p->end);
}

/* Emits a piece with its aliases. */
static int emit_piece(struct reader *r, struct piece *p, bool first)
{
        int result;

        result = emit_sharp(r, p);
        if (result != 0)
                return result == 1 ? 0 : result;
        result = emit_parts(r, p);
        if (result == 0 && p->has_umlaut)
                result = emit(r, WORDS_ALIAS, p->umlaut.text, p->umlaut.n, p->start, p->end);
        if (result == 0 && first)
                result = emit_dotted(r, p);
        return result;
}

/* Characters that join the pieces of one word. */
static bool is_joiner(const struct folded *f)
{
        return (f->n == 1 && f->text[0] != '\0' && strchr("-_.'&", f->text[0])) ||
               (f->n == 2 && memcmp(f->text, "\xc2\xb7" /* Catalan's middle dot */, 2) == 0);
}

/* Articles and pronouns of French, Italian and Catalan that lose their vowel before another. */
static bool is_elided(const struct buffer *b)
{
        static const char *const words[] = {
                "l",    "d",     "j",      "m",      "n",      "s",     "t",    "c",
                "qu",   "jusqu", "lorsqu", "puisqu", "quoiqu", "dell",  "all",  "nell",
                "dall", "sull",  "gl",     "un",     "quell",  "quest", "degl", "agl",
        };

        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
                if (strlen(words[i]) == b->n && memcmp(words[i], b->text, b->n) == 0)
                        return true;
        return false;
}

/* Where the next piece of the word starts, if a joiner and another piece follow; or 0. */
static size_t next_piece(struct reader *r, size_t at, bool *ret_apostrophe)
{
        struct folded f;
        size_t n = peek(r, at, &f), start = at + n;

        if (n == 0 || f.kind != FOLD_SEPARATOR || !is_joiner(&f))
                return 0;
        *ret_apostrophe = f.text[0] == '\'';
        (void)peek(r, start, &f);
        return f.kind == FOLD_WORD ? start : 0;
}

static void group_join(struct reader *r, struct group *g, const struct piece *p)
{
        g->n++;
        if (r->places)
                return;
        g->digits = g->digits && p->digits;
        g->end = p->end;
        if (g->joined.n + p->folded.n > JOINED_SIZE_MAX)
                g->n = JOINED_PIECES_MAX + 1;
        else
                put(&g->joined, p->folded.text, p->folded.n);
}

/* Whether a word is also found without what joins its pieces. */
static bool group_is_one(const struct group *g, const struct piece *last)
{
        if (g->n < 2 || g->n > JOINED_PIECES_MAX || g->digits)
                return false;
        if (g->dotted && g->joined.n > DOTTED_SIZE_MAX)
                return false;
        return !g->elided || last->capital;
}

static void group_start(struct group *g, size_t start)
{
        g->joined.n = g->n = 0;
        g->start = start;
        g->elided = g->dotted = false;
        g->digits = true;
}

/* Reads a word with all its pieces, and emits their tokens and that of the word as one. */
static int read_word(struct reader *r, size_t *at)
{
        struct group *g = &r->group;
        struct piece *p = &r->piece;
        bool apostrophe = false, elided;
        size_t next = *at;
        int result = 0;

        group_start(g, next);
        do {
                read_piece(r, next, p);
                *at = p->end;
                if (apostrophe && p->folded.n == 1 && p->folded.text[0] == 's') { /* Postgres's */
                        next = next_piece(r, p->end, &apostrophe);
                        continue;
                }
                next = next_piece(r, p->end, &apostrophe);
                elided = next > 0 && apostrophe && g->n == 0 && is_elided(&p->folded);
                result = elided ? emit(r, WORDS_ELIDED, p->folded.text, p->folded.n, p->start,
                                       p->end)
                                : emit_piece(r, p, g->n == 0);
                g->elided = g->elided || elided;
                g->dotted = g->dotted || (next > 0 && r->text[next - 1] == '.');
                group_join(r, g, p);
                *at = p->end;
        } while (result == 0 && next > 0);
        if (result == 0 && !r->places && group_is_one(g, p))
                result = emit(r, WORDS_ALIAS, g->joined.text, g->joined.n, g->start, g->end);
        return result;
}

static bool is_alphanumeric(char c)
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* The length of a word of small letters of ASCII, perhaps after a capital, that has no other
 * pieces; 0: it is something else. Most words are of this kind. */
static size_t plain_length(struct reader *r, size_t at)
{
        size_t i = at + 1;

        if (!is_alphanumeric(r->text[at]) || r->text[at] <= '9' ||
            (at > 0 && r->text[at - 1] == '.'))
                return 0;
        while (i < r->n && r->text[i] >= 'a' && r->text[i] <= 'z')
                i++;
        if (i - at > WORDS_TOKEN_MAX)
                return 0;
        if (i == r->n || (r->text[i] > 0 && r->text[i] <= ' '))
                return i - at;
        if (r->text[i] <= 0 || is_alphanumeric(r->text[i]) || r->text[i] == '+' ||
            r->text[i] == '#')
                return 0;
        return i + 1 == r->n || (r->text[i + 1] > 0 && !is_alphanumeric(r->text[i + 1])) ? i - at
                                                                                         : 0;
}

/* Emits a plain word at *at. */
static int read_plain(struct reader *r, size_t *at, size_t n)
{
        char folded[WORDS_TOKEN_MAX];
        size_t start = *at;

        memcpy(folded, r->text + start, n);
        folded[0] |= 0x20;
        *at += n;
        return emit(r, WORDS_PART, folded, n, start, *at);
}

static int read_all(struct reader *r)
{
        struct folded f;
        size_t length;
        int result = 0;

        for (size_t at = 0; at < r->n && result == 0;) {
                length = plain_length(r, at);
                if (length > 0) {
                        result = read_plain(r, &at, length);
                        continue;
                }
                length = peek(r, at, &f);
                if (f.kind == FOLD_UNSPACED)
                        result = read_run(r, &at, f, length);
                else if (f.kind == FOLD_WORD)
                        result = read_word(r, &at);
                else
                        at += length;
        }
        return result;
}

int words_each(const char *text, size_t n, words_func *func, void *user)
{
        struct reader r = { .text = text, .n = n, .func = func, .user = user };

        return read_all(&r);
}

int words_places(const char *text, size_t n, words_func *func, void *user)
{
        struct reader r = { .text = text, .n = n, .func = func, .user = user, .places = true };

        return read_all(&r);
}
