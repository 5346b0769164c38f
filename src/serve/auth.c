/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The EVP functions of OpenSSL 3.0 allocate memory for every digest; these do not. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "brick.h"
#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/identities.h"
#include "conf/names.h"
#include "module/groups.h"
#include "serve/auth.h"
#include "shared/stats.h"

#define TOKEN_MAX 512
#define METHODS_ALL ((1u << (BRICK_METHOD_BIDI_STREAMING + 1)) - 1)

/*
 * What a client proves its identity with: the digest of a token, or of the kind and the text of a
 * name in a certificate. A token has 256 random bits, so the digest need not be slow to prevent
 * guessing.
 */
struct key {
        uint8_t digest[SHA256_DIGEST_LENGTH];
        const struct auth_identity *identity; /* NULL: free */
};

/* Open addressing, at most half full. */
struct keys {
        struct key *list;
        size_t mask; /* size - 1 */
};

struct table {
        atomic_uint refs;
        struct identities *identities;
        struct auth_identity *list;
        uint8_t *methods;
        struct keys tokens;
        struct keys certificates;
};

struct reader {
        struct table *table;          /* in use; only the reader's thread sees it */
        _Atomic(struct table *) next; /* for its next call; NULL: there is no newer one */
};

struct auth {
        const struct conf *conf;
        struct stats *stats;
        struct quota *quota;
        struct reader readers[AUTH_READERS];
};

_Static_assert(SHA256_DIGEST_LENGTH == IDENTITY_DIGEST_SIZE, "the file has these digests");

/* The kinds of names in a certificate by which an identity may be known. */
static const unsigned name_kinds[] = { IDENTITY_URI, IDENTITY_DNS, IDENTITY_COMMON_NAME };

/* --- keys --------------------------------------------------------------------------------------
 */

static void digest(const char *s, size_t length, uint8_t ret[SHA256_DIGEST_LENGTH])
{
        SHA256_CTX context;

        (void)SHA256_Init(&context);
        (void)SHA256_Update(&context, s, length);
        (void)SHA256_Final(ret, &context);
}

static void digest_name(unsigned kind, const char *name, uint8_t ret[SHA256_DIGEST_LENGTH])
{
        const uint8_t byte = (uint8_t)kind;
        SHA256_CTX context;

        (void)SHA256_Init(&context);
        (void)SHA256_Update(&context, &byte, sizeof byte);
        (void)SHA256_Update(&context, name, strlen(name));
        (void)SHA256_Final(ret, &context);
}

static size_t place_of(const struct keys *keys, const uint8_t *digest)
{
        size_t place;

        memcpy(&place, digest, sizeof place);
        return place & keys->mask;
}

static int keys_init(struct keys *keys, size_t n)
{
        size_t size = 2;

        while (size < 2 * n)
                size *= 2;
        keys->list = calloc(size, sizeof *keys->list);
        keys->mask = size - 1;
        return keys->list ? 0 : -ENOMEM;
}

static void keys_put(struct keys *keys, const uint8_t *digest, const struct auth_identity *identity)
{
        size_t i = place_of(keys, digest);

        while (keys->list[i].identity)
                i = (i + 1) & keys->mask;
        memcpy(keys->list[i].digest, digest, SHA256_DIGEST_LENGTH);
        keys->list[i].identity = identity;
}

/*
 * How long this takes depends on digests only: of what the client has sent, and of the tokens in
 * the file. A client that learnt digests from the timing would still have to find the tokens.
 */
static const struct auth_identity *keys_find(const struct keys *keys, const uint8_t *wanted)
{
        size_t i;

        for (i = place_of(keys, wanted); keys->list[i].identity; i = (i + 1) & keys->mask)
                if (CRYPTO_memcmp(keys->list[i].digest, wanted, SHA256_DIGEST_LENGTH) == 0)
                        return keys->list[i].identity;
        return NULL;
}

/* --- tables ------------------------------------------------------------------------------------
 */

static struct table *table_free(struct table *table)
{
        if (!table)
                return NULL;
        for (size_t i = 0; table->list && i < table->identities->n; i++)
                (void)groups_unref(table->list[i].groups);
        (void)identities_free(table->identities);
        free(table->list);
        free(table->methods);
        free(table->tokens.list);
        free(table->certificates.list);
        free(table);
        return NULL;
}
DEFINE_CLEANUP(struct table *, table_free);

static void table_unref(struct table *table)
{
        if (table && atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) == 1)
                (void)table_free(table);
}

static uint8_t methods_of(const char *name)
{
        const char *method;

        for (unsigned i = 0; (method = brick_method_to_string(i)); i++)
                if (strcmp(method, name) == 0)
                        return (uint8_t)(1u << i);
        return METHODS_ALL; /* "*"; the file has been checked */
}

static void allow(struct auth_identity *identity, uint8_t *methods, const char *pattern,
                  const struct conf *conf)
{
        const char *slash = strchr(pattern, '/');
        size_t length = slash ? (size_t)(slash - pattern) : strlen(pattern);
        uint8_t bits = methods_of(slash ? slash + 1 : "*");
        bool any = length == 1 && pattern[0] == '*';

        if (any)
                identity->any |= bits;
        for (size_t i = 0; i < conf->n_bricks; i++)
                if (any || (strncmp(conf->bricks[i].name, pattern, length) == 0 &&
                            conf->bricks[i].name[length] == '\0'))
                        methods[i] |= bits;
}

static void add_certificate(struct table *table, const struct identity_certificate *certificate,
                            const struct auth_identity *identity)
{
        uint8_t name[SHA256_DIGEST_LENGTH];

        for (size_t i = 0; i < ELEMENTSOF(name_kinds); i++)
                if (certificate->kinds & name_kinds[i]) {
                        digest_name(name_kinds[i], certificate->name, name);
                        keys_put(&table->certificates, name, identity);
                }
}

static int add_identity(struct table *table, size_t index, const struct auth *auth)
{
        const struct conf *conf = auth->conf;
        const struct identity *from = &table->identities->list[index];
        struct auth_identity *identity = &table->list[index];
        uint8_t *methods = table->methods + index * conf->n_bricks;

        *identity = (struct auth_identity){
                .name = from->name,
                .name_length = strlen(from->name),
                .expires = from->expires,
                .limit = quota_limit(from->name, from->rate, from->burst, from->concurrency),
                .has_budget = identity_has_budget(from),
                .budget = {
                        .key = quota_key(from->name),
                        .limits = {
                                [WINDOW_MINUTE] = from->tokens.minute,
                                [WINDOW_DAY] = from->tokens.day,
                                [WINDOW_MONTH] = from->tokens.month,
                        },
                },
                .reserve = from->tokens.reserve,
                .place = stats_identity(auth->stats, from->name),
                .methods = methods,
        };
        if (from->n_groups > 0) {
                identity->groups = groups_new(from->groups, from->n_groups);
                if (!identity->groups)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < from->n_allow; i++)
                allow(identity, methods, from->allow[i], conf);
        for (size_t i = 0; i < from->n_digests; i++)
                keys_put(&table->tokens, from->digests[i], identity);
        for (size_t i = 0; i < from->n_certificates; i++)
                add_certificate(table, &from->certificates[i], identity);
        return 0;
}

/* The main process has checked the text, but a brickd of another version may have judged it
 * differently. */
static int parse(const char *bytes, size_t length, struct identities **ret)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        int r;

        r = diag_new(&diag, "", bytes, length);
        return r < 0 ? r : identities_parse(ret, bytes, length, diag);
}

static int table_new(struct table **ret, const struct auth *auth, const char *bytes, size_t length)
{
        _cleanup_(table_freep) struct table *table = calloc(1, sizeof *table);
        const struct identities *identities;
        size_t n_tokens = 0, n_certificates = 0;
        int r;

        if (!table)
                return -ENOMEM;
        r = parse(bytes, length, &table->identities);
        if (r < 0)
                return r;
        identities = table->identities;
        for (size_t i = 0; i < identities->n; i++) {
                n_tokens += identities->list[i].n_digests;
                n_certificates += identities->list[i].n_certificates;
        }
        table->list = calloc(identities->n + 1, sizeof *table->list);
        table->methods = calloc(identities->n * auth->conf->n_bricks + 1, 1);
        if (!table->list || !table->methods || keys_init(&table->tokens, n_tokens) < 0 ||
            keys_init(&table->certificates, ELEMENTSOF(name_kinds) * n_certificates) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < identities->n; i++) {
                r = add_identity(table, i, auth);
                if (r < 0)
                        return r;
        }
        atomic_init(&table->refs, AUTH_READERS);
        *ret = TAKE_PTR(table);
        return 0;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

int auth_new(struct auth **ret, const struct conf *conf, struct stats *stats, struct quota *quota)
{
        struct auth *auth = calloc(1, sizeof *auth);

        if (!auth)
                return -ENOMEM;
        auth->conf = conf;
        auth->stats = stats;
        auth->quota = quota;
        *ret = auth;
        return 0;
}

struct auth *auth_free(struct auth *auth)
{
        if (!auth)
                return NULL;
        for (size_t i = 0; i < AUTH_READERS; i++) {
                table_unref(auth->readers[i].table);
                table_unref(atomic_load(&auth->readers[i].next));
        }
        free(auth);
        return NULL;
}

int auth_set(struct auth *auth, const char *bytes, size_t length)
{
        struct table *table;
        int r;

        r = table_new(&table, auth, bytes, length);
        if (r < 0)
                return r;
        for (size_t i = 0; i < AUTH_READERS; i++)
                table_unref(atomic_exchange_explicit(&auth->readers[i].next, table,
                                                     memory_order_acq_rel));
        return 0;
}

struct quota *auth_quota(const struct auth *auth)
{
        return auth->quota;
}

static const struct table *current_table(struct reader *reader)
{
        if (atomic_load_explicit(&reader->next, memory_order_relaxed)) {
                table_unref(reader->table);
                reader->table = atomic_exchange_explicit(&reader->next, NULL, memory_order_acq_rel);
        }
        return reader->table;
}

/* --- one call ----------------------------------------------------------------------------------
 */

/* The token of "Bearer TOKEN". False: it is something else. */
static bool parse_bearer(struct brick_str value, struct brick_str *ret)
{
        static const char scheme[] = "bearer ";
        const size_t prefix = sizeof scheme - 1;

        if (value.len <= prefix || strncasecmp(value.ptr, scheme, prefix) != 0)
                return false;
        *ret = (struct brick_str){ value.ptr + prefix, value.len - prefix };
        return ret->len <= TOKEN_MAX;
}

static const struct auth_identity *find_certificate(const struct table *table,
                                                    const struct auth_proof *proof)
{
        const struct auth_identity *identity = NULL;
        uint8_t name[SHA256_DIGEST_LENGTH];

        for (size_t i = 0; !identity && i < proof->n_names; i++) {
                digest_name(proof->names[i].kind, proof->names[i].name, name);
                identity = keys_find(&table->certificates, name);
        }
        return identity;
}

static bool has_expired(const struct auth_identity *identity)
{
        return identity->expires != INT64_MAX && time(NULL) >= identity->expires;
}

const char *auth_identify(struct auth *auth, enum auth_reader reader,
                          const struct auth_proof *proof, const struct auth_identity **ret)
{
        const struct table *table = current_table(&auth->readers[reader]);
        uint8_t wanted[SHA256_DIGEST_LENGTH];
        struct brick_str token;

        *ret = NULL;
        if (proof->n_authorizations == 0) {
                *ret = find_certificate(table, proof);
                if (!*ret)
                        return "This call needs the metadata authorization: Bearer TOKEN";
        } else {
                if (proof->n_authorizations > 1 || !parse_bearer(proof->authorization, &token))
                        return "The metadata authorization is not Bearer TOKEN";
                digest(token.ptr, token.len, wanted);
                *ret = keys_find(&table->tokens, wanted);
                if (!*ret)
                        return "The token is not known";
        }
        return has_expired(*ret) ? "The identity has expired" : NULL;
}

bool auth_allows(const struct auth_identity *identity, ssize_t brick, uint32_t method)
{
        uint8_t methods = brick < 0 ? identity->any : identity->methods[brick];

        return methods & (1u << method);
}
