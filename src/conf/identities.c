/* SPDX-License-Identifier: MIT */
#include "conf/identities.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/document.h"
#include "conf/get.h"
#include "conf/node.h"
#include "conf/value.h"
#include "conf/yaml.h"
#include "util/trust.h"

#define RATE_MIN 0.001
#define RATE_MAX 1000000

/* identities[].tokens.reserve */
#define RESERVE 1000

#define BRICK "(\\*|[a-z0-9][a-z0-9._-]{0,63})"
#define METHOD "(\\*|GetServiceInfo|Unary|OutputStreaming|InputStreaming|BidiStreaming)"

/* What a caller and a group may be called. */
#define NAME                                                                                     \
        .pattern = "^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$",                                         \
        .expected = "a name of up to 63 characters from A-Z a-z 0-9 . _ @ - that begins with a " \
                    "letter or a digit"

#define TOKENS(key, value, text)                                                              \
        {                                                                                     \
                .name = key, .type = OPTION_STRING, .pattern = "^[0-9]+([.][0-9]+)?[kKMG]?$", \
                .expected = "a number such as " value, .help = text,                          \
        }

static const struct option_spec token_options[] = {
        TOKENS("minute", "10k", "tokens in a minute"),
        TOKENS("day", "1M", "tokens in a day of UTC"),
        TOKENS("month", "20M", "tokens in a month of UTC"),
        TOKENS("reserve", "1k",
               "tokens that a call without max_tokens reserves for its answer; default: 1k"),
        {},
};

static const struct option_spec identity_options[] = {
        { .name = "name",
          .type = OPTION_STRING,
          .flags = OPTION_REQUIRED,
          NAME,
          .help = "name of the caller in logs, in metrics and for bricks" },
        { .name = "token",
          .type = OPTION_STRING,
          .flags = OPTION_REPEATED,
          .help = "digests of its tokens, from brickctl token new" },
        { .name = "certificate",
          .type = OPTION_STRING,
          .flags = OPTION_REPEATED,
          .help = "names in its client certificates: URI:NAME, DNS:NAME or CN:NAME; without a "
                  "kind, "
                  "what begins with a scheme is a URI, and all else a DNS name or a common name" },
        { .name = "expires",
          .type = OPTION_STRING,
          .help = "date or time of expiry, such as 2027-01-31; default: it does not expire" },
        { .name = "allow",
          .type = OPTION_STRING,
          .flags = OPTION_REPEATED | OPTION_REQUIRED,
          .pattern = "^" BRICK "(/" METHOD ")?$",
          .expected = "BRICK or BRICK/METHOD (either may be *)",
          .help = "what it may call" },
        { .name = "groups",
          .type = OPTION_STRING,
          .flags = OPTION_REPEATED,
          NAME,
          .help = "groups of which it is a member, for bricks such as retrieval-fts" },
        { .name = "rate", .type = OPTION_FLOAT, .help = "requests per second" },
        { .name = "burst",
          .type = OPTION_INT,
          .min = 1,
          .max = 1000000,
          .help = "requests that may come at once; default: the requests of one second" },
        { .name = "concurrency",
          .type = OPTION_INT,
          .min = 1,
          .max = 1000000,
          .help = "concurrent calls" },
        { .name = "tokens",
          .type = OPTION_MAP,
          .table = token_options,
          .help = "tokens of language models that it may use" },
        {},
};

const struct option_spec identities_options[] = {
        { .name = "identities",
          .type = OPTION_MAP,
          .flags = OPTION_REPEATED,
          .fallback = "[]",
          .min = 0,
          .max = IDENTITIES_MAX,
          .table = identity_options,
          .help = "the identities that may call" },
        {},
};

/* --- values ----------------------------------------------------------------------------------- */

/* strptime() accepts any number of digits. */
static bool has_form(const char *text, const char *form)
{
        for (; *form; form++, text++)
                if (*form == '0' ? *text < '0' || *text > '9' : *text != *form)
                        return false;
        return true;
}

/* Parses "Z" or "+01:00". Ignores a fraction of a second before it. */
static int parse_zone(const char *text, int64_t *ret)
{
        int64_t seconds;

        if (*text == '.' && text[1] >= '0' && text[1] <= '9')
                text += 1 + strspn(text + 1, "0123456789");
        if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0) {
                *ret = 0;
                return 0;
        }
        if (!has_form(text, text[0] == '-' ? "-00:00" : "+00:00") || text[6] != '\0' ||
            atoi(text + 1) > 23 || atoi(text + 4) > 59)
                return -EINVAL;
        seconds = atoi(text + 1) * 3600 + atoi(text + 4) * 60;
        *ret = text[0] == '-' ? -seconds : seconds;
        return 0;
}

int identities_parse_time(const char *text, int64_t *ret)
{
        static const char date[] = "0000-00-00", time[] = "0000-00-00T00:00:00";
        bool with_time = strlen(text) > strlen(date);
        struct tm tm = {}, same;
        int64_t zone = 0, seconds;

        if (!has_form(text, with_time ? time : date) ||
            !strptime(text, with_time ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d", &tm))
                return -EINVAL;
        if (with_time && parse_zone(text + strlen(time), &zone) < 0)
                return -EINVAL;
        same = tm;
        seconds = timegm(&tm);
        if (tm.tm_mday != same.tm_mday) /* timegm() has moved a day that does not exist */
                return -EINVAL;
        *ret = seconds - zone;
        return 0;
}

static void read_expires(const struct node *node, int64_t *ret, struct diag *diag)
{
        *ret = INT64_MAX;
        if (node && identities_parse_time(node->text, ret) < 0)
                diag_add(diag, node,
                         "expected a date or a time, such as 2027-01-31 or 2027-01-31T18:00:00Z, "
                         "got \"%.40s\"",
                         node->text);
}

static double read_rate(const struct node *node, struct diag *diag)
{
        double rate = 0;

        if (!node || !option_float(node, &rate, NULL))
                return 0;
        if (rate >= RATE_MIN && rate <= RATE_MAX)
                return rate;
        diag_add(diag, node, "must be from %g to %d requests per second", RATE_MIN, RATE_MAX);
        return 0;
}

/* fallback: if there is no such key. */
static uint64_t read_count(const struct node *tokens, const char *key, uint64_t fallback,
                           struct diag *diag)
{
        const struct node *node = get_node(tokens, key);
        int64_t n = 0;

        if (!node || node->bad)
                return fallback;
        if (value_parse_count(node->text, &n) == 0 && n >= 1 && n <= IDENTITY_TOKENS_MAX)
                return (uint64_t)n;
        diag_add(diag, node, "must be from 1 to 10G tokens");
        return fallback;
}

static void read_tokens(const struct node *node, struct identity_tokens *ret, struct diag *diag)
{
        if (!node || node->kind != NODE_MAP)
                return;
        ret->minute = read_count(node, "minute", 0, diag);
        ret->day = read_count(node, "day", 0, diag);
        ret->month = read_count(node, "month", 0, diag);
        ret->reserve = read_count(node, "reserve", RESERVE, diag);
        if (!node_get(node, "minute") && !node_get(node, "day") && !node_get(node, "month"))
                diag_add(diag, node, "needs one of minute, day and month");
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

static bool parse_digest(const char *text, uint8_t digest[IDENTITY_DIGEST_SIZE])
{
        const size_t prefix = strlen(IDENTITY_DIGEST_PREFIX);

        if (strncmp(text, IDENTITY_DIGEST_PREFIX, prefix) != 0 ||
            strlen(text) != prefix + (size_t)2 * IDENTITY_DIGEST_SIZE)
                return false;
        text += prefix;
        for (size_t i = 0; i < IDENTITY_DIGEST_SIZE; i++) {
                int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return false;
                digest[i] = (uint8_t)(high << 4 | low);
        }
        return true;
}

static int read_digests(struct document *doc, const struct node *list, struct identity *identity,
                        struct diag *diag)
{
        uint8_t(*digests)[IDENTITY_DIGEST_SIZE];

        if (!list)
                return 0;
        digests = document_alloc(doc, list->n_children * sizeof digests[0]);
        if (!digests)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++) {
                const struct node *node = list->children[i];

                if (node->bad)
                        continue;
                if (parse_digest(node->text, digests[identity->n_digests])) {
                        identity->n_digests++;
                        continue;
                }
                /* The text may be a token: do not quote the line. */
                diag_hide_line(diag, node->line);
                diag_add(diag, node,
                         "expected " IDENTITY_DIGEST_PREFIX " and 64 hexadecimal digits, as "
                         "brickctl token new prints it; never write the token itself here");
        }
        identity->digests = digests;
        return 0;
}

/* Whether text begins as a URI does: with a scheme, as RFC 3986 has them, and a colon. */
static bool has_scheme(const char *text)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        size_t n = strspn(text, letters);

        if (n == 0)
                return false;
        while (text[n] && (strchr(letters, text[n]) || strchr("0123456789+-.", text[n])))
                n++;
        return text[n] == ':';
}

/* The text may begin with the kind of the name, as openssl(1) prints it. */
static struct identity_certificate certificate_of(const char *text)
{
        static const struct {
                const char *prefix;
                unsigned kind;
        } kinds[] = {
                { "URI:", IDENTITY_URI },
                { "DNS:", IDENTITY_DNS },
                { "CN:", IDENTITY_COMMON_NAME },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t n = strlen(kinds[i].prefix);

                if (strncasecmp(text, kinds[i].prefix, n) == 0)
                        return (struct identity_certificate){ kinds[i].kind, text + n };
        }
        return (struct identity_certificate){
                has_scheme(text) ? IDENTITY_URI : IDENTITY_DNS | IDENTITY_COMMON_NAME, text
        };
}

static bool check_certificate(const struct node *node, const struct identity_certificate *c,
                              struct diag *diag)
{
        const char *text = node->text;

        if (c->name[0] == '\0')
                diag_add(diag, node,
                         c->name == text ? "expected a name" : "expected a name after %s", text);
        else if (c->kinds == IDENTITY_URI && !has_scheme(c->name))
                diag_add(diag, node,
                         "expected a URI with a scheme, such as spiffe://example.org/batch, got "
                         "\"%.40s\"",
                         c->name);
        else if (c->kinds != IDENTITY_URI && strchr(c->name, '*'))
                diag_add(diag, node,
                         "* has no special meaning here; give the whole name of each client");
        else
                return true;
        return false;
}

static int read_certificates(struct document *doc, const struct node *list,
                             struct identity *identity, struct diag *diag)
{
        struct identity_certificate c;

        if (!list)
                return 0;
        identity->certificates = document_alloc(doc, list->n_children *
                                                             sizeof identity->certificates[0]);
        if (!identity->certificates)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++) {
                if (list->children[i]->bad)
                        continue;
                c = certificate_of(list->children[i]->text);
                if (check_certificate(list->children[i], &c, diag))
                        identity->certificates[identity->n_certificates++] = c;
        }
        return 0;
}

static int read_identity(struct document *doc, const struct node *node, struct identity *identity,
                         struct diag *diag)
{
        int r;

        identity->node = node;
        identity->name = get_string(node, "name");
        read_expires(get_node(node, "expires"), &identity->expires, diag);
        identity->rate = read_rate(get_node(node, "rate"), diag);
        identity->burst = (unsigned)get_number(node, "burst");
        identity->concurrency = (unsigned)get_number(node, "concurrency");
        read_tokens(get_node(node, "tokens"), &identity->tokens, diag);
        if (identity->burst > 0 && !node_get(node, "rate"))
                diag_add_key(diag, node_get(node, "burst"), "means nothing without a rate");
        if (identity->burst == 0)
                identity->burst = identity->rate < RATE_MAX ? (unsigned)identity->rate : RATE_MAX;
        if (identity->burst == 0)
                identity->burst = 1;
        if (!node_get(node, "token") && !node_get(node, "certificate") && node->kind == NODE_MAP)
                diag_add(diag, node,
                         "needs a token or a certificate; otherwise no caller can have this "
                         "identity");
        r = read_digests(doc, get_node(node, "token"), identity, diag);
        if (r < 0)
                return r;
        r = read_certificates(doc, get_node(node, "certificate"), identity, diag);
        if (r < 0)
                return r;
        r = get_strings(doc, node, "groups", &identity->groups, &identity->n_groups);
        if (r < 0)
                return r;
        if (identity->n_groups > IDENTITY_GROUPS_MAX)
                diag_add_key(diag, node_get(node, "groups"), "has more than %d groups",
                             IDENTITY_GROUPS_MAX);
        return get_strings(doc, node, "allow", &identity->allow, &identity->n_allow);
}

/* --- values that must be unique --------------------------------------------------------------- */

struct claim {
        unsigned kinds; /* two claims with the same bytes are duplicates if they share a kind */
        const void *bytes;
        size_t length;
        const struct node *node;
};

static int compare_claims(const void *left, const void *right)
{
        const struct claim *a = left, *b = right;
        size_t n = a->length < b->length ? a->length : b->length;
        int r = memcmp(a->bytes, b->bytes, n);

        if (r != 0)
                return r;
        if (a->length != b->length)
                return a->length < b->length ? -1 : 1;
        return a->node->line < b->node->line ? -1 : a->node->line > b->node->line;
}

static const struct claim *find_twin(const struct claim *claims, size_t i)
{
        const struct claim *claim = &claims[i];

        while (i-- > 0 && claims[i].length == claim->length &&
               memcmp(claims[i].bytes, claim->bytes, claim->length) == 0)
                if (claims[i].kinds & claim->kinds)
                        return &claims[i];
        return NULL;
}

static void blame_twins(struct claim *claims, size_t n, const char *what, struct diag *diag)
{
        const struct claim *twin;

        qsort(claims, n, sizeof claims[0], compare_claims);
        for (size_t i = 1; i < n; i++) {
                twin = find_twin(claims, i);
                if (twin)
                        diag_add(diag, claims[i].node, "another identity has this %s; see line %u",
                                 what, twin->node->line);
        }
}

static int check_twins(const struct identities *identities, struct diag *diag)
{
        _cleanup_free_ struct claim *names = NULL, *tokens = NULL, *certificates = NULL;
        size_t n_names = 0, n_tokens = 0, n_certificates = 0;

        for (size_t i = 0; i < identities->n; i++) {
                n_tokens += identities->list[i].n_digests;
                n_certificates += identities->list[i].n_certificates;
        }
        names = calloc(identities->n + 1, sizeof *names);
        tokens = calloc(n_tokens + 1, sizeof *tokens);
        certificates = calloc(n_certificates + 1, sizeof *certificates);
        if (!names || !tokens || !certificates)
                return -ENOMEM;

        n_tokens = n_certificates = 0;
        for (size_t i = 0; i < identities->n; i++) {
                const struct identity *identity = &identities->list[i];

                if (identity->name)
                        names[n_names++] = (struct claim){ 1, identity->name,
                                                           strlen(identity->name),
                                                           node_get(identity->node, "name") };
                for (size_t k = 0; k < identity->n_digests; k++)
                        tokens[n_tokens++] = (struct claim){ 1, identity->digests[k],
                                                             IDENTITY_DIGEST_SIZE,
                                                             node_get(identity->node, "token") };
                for (size_t k = 0; k < identity->n_certificates; k++)
                        certificates[n_certificates++] = (struct claim){
                                identity->certificates[k].kinds, identity->certificates[k].name,
                                strlen(identity->certificates[k].name),
                                node_get(identity->node, "certificate")
                        };
        }
        blame_twins(names, n_names, "name", diag);
        blame_twins(tokens, n_tokens, "token", diag);
        blame_twins(certificates, n_certificates, "certificate", diag);
        return 0;
}

/* --- the file --------------------------------------------------------------------------------- */

static int parse(struct identities *identities, const char *bytes, size_t length, struct diag *diag)
{
        const struct node *list;
        struct node *root;
        int r;

        r = document_new(&identities->document);
        if (r < 0)
                return r;
        r = yaml_parse_verbatim(identities->document, bytes, length, diag, &root);
        if (r < 0)
                return r;
        root = option_check(identities->document, identities_options, root, diag);
        if (!root)
                return -ENOMEM;
        list = get_node(root, "identities");
        if (!list)
                return 0;
        identities->list = document_alloc(identities->document,
                                          list->n_children * sizeof identities->list[0]);
        if (!identities->list)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++) {
                r = read_identity(identities->document, list->children[i],
                                  &identities->list[identities->n++], diag);
                if (r < 0)
                        return r;
        }
        return check_twins(identities, diag);
}

int identities_parse(struct identities **ret, const char *bytes, size_t length, struct diag *diag)
{
        _cleanup_(identities_freep) struct identities *identities = calloc(1, sizeof *identities);
        size_t mistakes = diag_count(diag);
        int r;

        if (!identities)
                return -ENOMEM;
        r = parse(identities, bytes, length, diag);
        if (r == 0 && diag_count(diag) > mistakes)
                r = -EINVAL;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(identities);
        return 0;
}

struct identities *identities_free(struct identities *identities)
{
        if (!identities)
                return NULL;
        (void)document_free(identities->document);
        free(identities);
        return NULL;
}

static int fail(int r, const char *path, char **ret_why)
{
        return asprintf(ret_why, "%s: %s", path, strerror(-r)) < 0 ? -ENOMEM : r;
}

int identities_read(const char *path, char **ret_bytes, size_t *ret_length, char **ret_why)
{
        _cleanup_free_ char *real = realpath(path, NULL);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        *ret_why = NULL;
        if (!real)
                return fail(-errno, path, ret_why);
        fd = open(real, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return fail(-errno, path, ret_why);
        if (!S_ISREG(st.st_mode))
                return asprintf(ret_why, "%s: not a regular file", path) < 0 ? -ENOMEM : -EINVAL;
        r = trust_file(&st, path, real, ret_why);
        if (r < 0)
                return r;
        r = conf_read_fd(fd, ret_bytes, ret_length);
        return r < 0 ? fail(r, path, ret_why) : 0;
}

static int compare_names(const void *left, const void *right)
{
        return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Sorted: a file may name bricks a hundred thousand times. NULL: out of memory. */
static const char **sort_bricks(const struct conf *conf)
{
        const char **names = calloc(conf->n_bricks + 1, sizeof *names);

        for (size_t i = 0; names && i < conf->n_bricks; i++)
                names[i] = conf->bricks[i].name;
        if (names)
                qsort(names, conf->n_bricks, sizeof *names, compare_names);
        return names;
}

static void check_brick(const struct node *allow, const struct conf *conf, const char **names,
                        struct diag *diag)
{
        struct node name = *allow;
        _cleanup_free_ char *brick = strndup(name.text, strcspn(name.text, "/"));

        name.text = brick;
        if (!brick || strcmp(brick, "*") == 0 ||
            bsearch(&name.text, names, conf->n_bricks, sizeof *names, compare_names))
                return;
        conf_blame_name(conf, &name, diag);
}

void identities_check_bricks(const struct identities *identities, const struct conf *conf,
                             struct diag *diag)
{
        _cleanup_free_ const char **names = sort_bricks(conf);

        for (size_t i = 0; names && i < identities->n; i++) {
                const struct node *list = node_get(identities->list[i].node, "allow");

                for (size_t k = 0; k < list->n_children; k++)
                        check_brick(list->children[k], conf, names, diag);
        }
}
