/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/identities.h"

/* Arguments: the sample file, the manual page of the configuration. */

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789abcdef"
#define OTHER "sha256:1123456789abcdef0123456789abcdef0123456789ABCDEF0123456789abcdef"

/* The mistakes of a text, a line each, without what is quoted. */
static struct identities *parse(const char *text, char *mistakes, size_t size)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct identities *identities = NULL;
        const char *line;
        int r;

        mistakes[0] = '\0';
        assert(diag_new(&diag, "f", text, strlen(text)) == 0);
        r = identities_parse(&identities, text, strlen(text), diag);
        assert(r == 0 || r == -EINVAL);
        assert((r == 0) == (diag_count(diag) == 0));
        for (size_t i = 0; (line = diag_text(diag, i)); i++) {
                size_t used = strlen(mistakes);

                (void)snprintf(mistakes + used, size - used, "%.*s\n", (int)strcspn(line, "\n"),
                               line);
        }
        return identities;
}

static struct identities *parse_good(const char *text)
{
        char mistakes[1024];
        struct identities *identities = parse(text, mistakes, sizeof mistakes);

        if (!identities)
                (void)fprintf(stderr, "%s", mistakes);
        assert(identities);
        return identities;
}

static void expect(const char *text, const char *expected)
{
        char mistakes[4096];
        struct identities *identities = parse(text, mistakes, sizeof mistakes);

        if (strcmp(mistakes, expected) != 0)
                (void)fprintf(stderr, "%s\ngot:\n%s\nexpected:\n%s", text, mistakes, expected);
        assert(!identities && strcmp(mistakes, expected) == 0);
}

static void test_good(void)
{
        _cleanup_(identities_freep) struct identities *identities = parse_good(
                "identities:\n"
                "  - name: a\n"
                "    token: " DIGEST "\n"
                "    allow: \"*\"\n"
                "    rate: 2.5\n"
                "  - name: b@example.org\n"
                "    token: [" OTHER "]\n"
                "    certificate: [$HOME, \"spiffe://x/y\"]\n"
                "    expires: 2027-01-31T12:00:00+01:30\n"
                "    allow: [chat, chat/Unary, \"*/Unary\", \"chat/*\"]\n"
                "    rate: 0.5\n"
                "    concurrency: 7\n"
                "    groups: [staff, x.y@z]\n"
                "  - { name: c, certificate: c, allow: [], rate: 10, burst: 99 }\n");
        const struct identity *a = &identities->list[0], *b = &identities->list[1];

        assert(identities->n == 3);
        assert(strcmp(a->name, "a") == 0 && a->n_digests == 1 && a->digests[0][0] == 0x01 &&
               a->digests[0][31] == 0xef && a->expires == INT64_MAX && a->n_allow == 1);
        assert(a->rate == 2.5 && a->burst == 2 && a->concurrency == 0);
        assert(b->n_certificates == 2 && strcmp(b->certificates[0].name, "$HOME") == 0);
        assert(b->certificates[0].kinds == (IDENTITY_DNS | IDENTITY_COMMON_NAME));
        assert(b->certificates[1].kinds == IDENTITY_URI);
        assert(b->expires == 1801391400 && b->n_allow == 4);
        assert(b->burst == 1 && b->concurrency == 7);
        assert(a->n_groups == 0 && b->n_groups == 2 && strcmp(b->groups[1], "x.y@z") == 0);
        assert(identities->list[2].n_allow == 0 && identities->list[2].burst == 99);
}

static void test_certificates(void)
{
        static const struct {
                const char *text;
                unsigned kinds;
                const char *name;
        } cases[] = {
                { "spiffe://x/y", IDENTITY_URI, "spiffe://x/y" },
                { "urn:x:y", IDENTITY_URI, "urn:x:y" },
                { "a+b-c.1:", IDENTITY_URI, "a+b-c.1:" },
                { "URI:spiffe://x", IDENTITY_URI, "spiffe://x" },
                { "uri:dns:x", IDENTITY_URI, "dns:x" },
                { "dns:x.y", IDENTITY_DNS, "x.y" },
                { "DNS:x", IDENTITY_DNS, "x" },
                { "CN:spiffe://x", IDENTITY_COMMON_NAME, "spiffe://x" },
                { "Cn:a b", IDENTITY_COMMON_NAME, "a b" },
                { "x.y", IDENTITY_DNS | IDENTITY_COMMON_NAME, "x.y" },
                { "1a:b", IDENTITY_DNS | IDENTITY_COMMON_NAME, "1a:b" },
                { ":x", IDENTITY_DNS | IDENTITY_COMMON_NAME, ":x" },
                { "a b:c", IDENTITY_DNS | IDENTITY_COMMON_NAME, "a b:c" },
                { "a@b", IDENTITY_DNS | IDENTITY_COMMON_NAME, "a@b" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(identities_freep) struct identities *identities = NULL;
                char text[256];

                (void)snprintf(text, sizeof text,
                               "identities: [ { name: a, certificate: \"%s\", allow: [] } ]\n",
                               cases[i].text);
                identities = parse_good(text);
                assert(identities->list[0].n_certificates == 1);
                assert(identities->list[0].certificates[0].kinds == cases[i].kinds);
                assert(strcmp(identities->list[0].certificates[0].name, cases[i].name) == 0);
        }
}

static void test_empty(void)
{
        static const char *const texts[] = { "", "# none\n", "identities:\n", "identities: []\n" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(identities_freep) struct identities *identities = parse_good(texts[i]);

                assert(identities->n == 0);
        }
}

static void test_tokens(void)
{
        _cleanup_(identities_freep) struct identities *identities = parse_good(
                "identities:\n"
                "  - { name: a, certificate: a, allow: [], tokens: { minute: 250, day: 10k, "
                "month: 1.5M, reserve: 2K } }\n"
                "  - { name: b, certificate: b, allow: [], tokens: { month: 10G } }\n"
                "  - { name: c, certificate: c, allow: [], tokens: }\n");
        const struct identity_tokens *a = &identities->list[0].tokens;
        const struct identity_tokens *b = &identities->list[1].tokens;

        assert(a->minute == 250 && a->day == 10000 && a->month == 1500000 && a->reserve == 2000);
        assert(b->minute == 0 && b->day == 0 && b->month == UINT64_C(10000000000));
        assert(b->reserve == 1000);
        assert(identity_has_budget(&identities->list[0]) &&
               !identity_has_budget(&identities->list[2]));
}

static void test_mistakes(void)
{
        static const struct {
                const char *entry;
                const char *mistake;
        } cases[] = {
                { "{ certificate: a, allow: [] }", "1:15: identities[0].name: required" },
                { "{ name: a, certificate: a }", "1:15: identities[0].allow: required" },
                { "{ name: a, allow: [] }", "1:15: identities[0]: needs a token or a certificate; "
                                            "otherwise no caller can have this identity" },
                { "{ name: a b, certificate: a, allow: [] }",
                  "1:23: identities[0].name: expected a name of up to 63 characters from A-Z a-z "
                  "0-9 . _ @ - that begins with a letter or a digit, got \"a b\"" },
                { "{ name: a, certificate: a, allow: Not/This }",
                  "1:49: identities[0].allow[0]: expected BRICK or BRICK/METHOD (either may be *), "
                  "got \"Not/This\"" },
                { "{ name: a, certificate: a, allow: x/y/z }",
                  "1:49: identities[0].allow[0]: expected BRICK or BRICK/METHOD (either may be *), "
                  "got \"x/y/z\"" },
                { "{ name: a, certificate: a, allow: [], expires: soon }",
                  "1:62: identities[0].expires: expected a date or a time, such as 2027-01-31 or "
                  "2027-01-31T18:00:00Z, got \"soon\"" },
                { "{ name: a, certificate: a, allow: [], rate: 0 }",
                  "1:59: identities[0].rate: must be from 0.001 to 1000000 requests per second" },
                { "{ name: a, certificate: a, allow: [], rate: .nan }",
                  "1:59: identities[0].rate: expected a number, got \".nan\"" },
                { "{ name: a, certificate: a, allow: [], burst: 5 }",
                  "1:53: identities[0].burst: means nothing without a rate" },
                { "{ name: a, certificate: \"\", allow: [] }",
                  "1:39: identities[0].certificate[0]: expected a name" },
                { "{ name: a, certificate: [b, \"CN:\"], allow: [] }",
                  "1:43: identities[0].certificate[1]: expected a name after CN:" },
                { "{ name: a, certificate: \"URI:b\", allow: [] }",
                  "1:39: identities[0].certificate[0]: expected a URI with a scheme, such as "
                  "spiffe://example.org/batch, got \"b\"" },
                { "{ name: a, certificate: \"*.example.org\", allow: [] }",
                  "1:39: identities[0].certificate[0]: * has no special meaning here; give the "
                  "whole "
                  "name of each client" },
                { "{ name: a, certificate: a, allow: [], tokens: { day: 10x } }",
                  "1:68: identities[0].tokens.day: expected a number such as 1M, got \"10x\"" },
                { "{ name: a, certificate: a, allow: [], tokens: { minute: 0 } }",
                  "1:71: identities[0].tokens.minute: must be from 1 to 10G tokens" },
                { "{ name: a, certificate: a, allow: [], tokens: { month: 10.1G } }",
                  "1:70: identities[0].tokens.month: must be from 1 to 10G tokens" },
                { "{ name: a, certificate: a, allow: [], tokens: { reserve: 5 } }",
                  "1:61: identities[0].tokens: needs one of minute, day and month" },
                { "{ name: a, certificate: a, allow: [], tokens: 10k }",
                  "1:61: identities[0].tokens: expected a map, got \"10k\"" },
                { "{ name: a, certificate: a, allow: [], tokn: x }",
                  "1:53: identities[0].tokn: unknown key; did you mean \"token\"?" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[512], expected[512];

                (void)snprintf(text, sizeof text, "identities: [ %s ]\n", cases[i].entry);
                (void)snprintf(expected, sizeof expected, "f:%s\n", cases[i].mistake);
                expect(text, expected);
        }
}

static void test_twins(void)
{
        expect("identities:\n"
               "  - { name: a, token: " DIGEST ", certificate: x, allow: [] }\n"
               "  - { name: b, token: " OTHER ", allow: [] }\n"
               "  - { name: a, token: " DIGEST ", certificate: y, allow: [] }\n"
               "  - { name: d, certificate: [z, x], allow: [] }\n",
               "f:4:13: identities[2].name: another identity has this name; see line 2\n"
               "f:4:23: identities[2].token: another identity has this token; see line 2\n"
               "f:5:29: identities[3].certificate: another identity has this certificate; see "
               "line 2\n");
}

/* What a file costs grows as it does: this one has the most values and the most mistakes. */
static void test_cost(void)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_(identities_freep) struct identities *identities = NULL;
        _cleanup_(conf_freep) struct conf *conf = NULL;
        _cleanup_free_ char *text = NULL, *bricks = NULL;
        clock_t start = clock();
        size_t length, size;
        FILE *f;

        f = open_memstream(&text, &length);
        assert(f);
        (void)fprintf(f, "identities:\n  - name: a\n    certificate: x\n    allow:\n");
        for (unsigned i = 0; i < 60000; i++)
                (void)fprintf(f, "      - brick-%u-that-is-not-there\n", i);
        assert(fclose(f) == 0);
        f = open_memstream(&bricks, &size);
        assert(f);
        (void)fprintf(f, "ports: [{ listen: \"127.0.0.1:0\" }]\nbricks:\n");
        for (unsigned i = 0; i < 100; i++)
                (void)fprintf(f, "  - { name: brick-%u-that-is, module: m }\n", i);
        assert(fclose(f) == 0);

        assert(diag_new(&diag, "f", text, length) == 0);
        assert(conf_parse(&conf, "/f", bricks, size, diag) == 0);
        assert(identities_parse(&identities, text, length, diag) == 0);
        identities_check_bricks(identities, conf, diag);
        assert(diag_count(diag) == 60000);
        assert(clock() - start < 10 * CLOCKS_PER_SEC);
}

/* A name without a kind is two. */
static void test_twins_of_kinds(void)
{
        _cleanup_(identities_freep) struct identities *identities = NULL;

        identities = parse_good("identities:\n"
                                "  - { name: a, certificate: \"CN:x\", allow: [] }\n"
                                "  - { name: b, certificate: \"DNS:x\", allow: [] }\n"
                                "  - { name: c, certificate: \"URI:x:\", allow: [] }\n"
                                "  - { name: d, certificate: \"CN:x:\", allow: [] }\n");
        assert(identities->n == 4);
        expect("identities:\n"
               "  - { name: a, certificate: x, allow: [] }\n"
               "  - { name: b, certificate: \"CN:x\", allow: [] }\n"
               "  - { name: c, certificate: \"DNS:x\", allow: [] }\n",
               "f:3:29: identities[1].certificate: another identity has this certificate; see line "
               "2\n"
               "f:4:29: identities[2].certificate: another identity has this certificate; see line "
               "2\n");
}

/* A token where its digest should be is not shown, on whatever occasion. */
static void test_secrecy(void)
{
        static const char text[] = "identities:\n"
                                   "  - { name: a, token: my-secret, allow: [], rait: 5 }\n"
                                   "  - { name: b, token: sha256:my-secret, allow: [] }\n";
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct identities *identities;
        size_t i;

        assert(diag_new(&diag, "f", text, strlen(text)) == 0);
        assert(identities_parse(&identities, text, strlen(text), diag) == -EINVAL);
        for (i = 0; diag_text(diag, i); i++)
                assert(!strstr(diag_text(diag, i), "my-secret"));
        assert(i == 3);
}

static void test_times(void)
{
        static const struct {
                const char *text;
                int64_t seconds;
        } good[] = {
                { "1970-01-01", 0 },
                { "2024-02-29", 1709164800 },
                { "2027-01-31T00:00:00Z", 1801353600 },
                { "2027-01-31T00:00:00.999z", 1801353600 },
                { "2027-01-31T01:00:00+01:00", 1801353600 },
                { "2027-01-30T20:30:00-03:30", 1801353600 },
        };
        static const char *const bad[] = {
                "",
                "2027",
                "2027-1-31",
                "2027-02-29",
                "2027-13-01",
                "2027-00-10",
                "2027-01-31T",
                "2027-01-31T10:00:00",
                "2027-01-31 10:00:00Z",
                "2027-01-31T24:01:00Z",
                "2027-01-31T10:60:00Z",
                "2027-01-31T10:00:00+1:00",
                "2027-01-31T10:00:00+24:00",
                "2027-01-31T10:00:00Zx",
                "2027-01-31T10:00:00.Z",
                "+027-01-31",
                "2027-01-31x",
                " 2027-01-31",
        };
        int64_t seconds = -1;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert(identities_parse_time(good[i].text, &seconds) == 0);
                assert(seconds == good[i].seconds);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (identities_parse_time(bad[i], &seconds) != -EINVAL) {
                        (void)fprintf(stderr, "taken for a time: %s\n", bad[i]);
                        abort();
                }
}

static void test_file(const char *sample)
{
        _cleanup_(identities_freep) struct identities *identities = NULL;
        char path[] = "/tmp/brickd-identities-XXXXXX", *why = NULL, *bytes = NULL;
        int fd = mkstemp(path);
        size_t length;

        assert(fd >= 0 && write(fd, "identities: []", 14) == 14);
        assert(identities_read(path, &bytes, &length, &why) == 0 && length == 14);
        free(bytes);
        assert(fchmod(fd, 0664) == 0);
        assert(identities_read(path, &bytes, &length, &why) == -EPERM);
        assert(strstr(why, "is writable by users other than its owner"));
        free(why);
        assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
        assert(identities_read(path, &bytes, &length, &why) == -EINVAL);
        assert(strstr(why, "not a regular file"));
        free(why);
        assert(unlink(path) == 0);
        assert(identities_read(path, &bytes, &length, &why) == -ENOENT);
        free(why);
        (void)close(fd);

        assert(conf_read(sample, &bytes, &length) == 0);
        bytes[length - 1] = '\0';
        identities = parse_good(bytes);
        assert(identities->n == 3);
        free(bytes);
}

/* As many names as a file can hold, none of which is a brick's: each would be compared with each.
 */
static void test_many_names(void)
{
        enum { N_BRICKS = 1024, N_NAMES = 90000 };
        const char stem[] = "a-name-as-long-as-it-may-be-so-that-to-compare-takes-its-time";
        _cleanup_(identities_freep) struct identities *identities = NULL;
        _cleanup_(conf_freep) struct conf *conf = NULL;
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_free_ char *text = NULL, *file = NULL;
        size_t size;
        clock_t begun;
        FILE *f = open_memstream(&text, &size);

        assert(f);
        fputs("ports: [{ listen: '127.0.0.1:0' }]\nbricks:\n", f);
        for (int i = 0; i < N_BRICKS; i++)
                fprintf(f, "  - { name: %.58s-%04x, module: m }\n", stem, i);
        assert(fclose(f) == 0);
        assert(diag_new(&diag, "conf", text, size) == 0);
        assert(conf_parse(&conf, "conf", text, size, diag) == 0);

        f = open_memstream(&file, &size);
        assert(f);
        fputs("identities:\n  - name: x\n    certificate: x\n    allow: [", f);
        for (int i = 0; i < N_NAMES; i++)
                fprintf(f, "%.58s%05x, ", stem, i);
        fputs("]\n", f);
        assert(fclose(f) == 0);
        begun = clock();
        assert(identities_parse(&identities, file, size, diag) == 0);
        identities_check_bricks(identities, conf, diag);
        assert(diag_count(diag) == N_NAMES);
        assert(strstr(diag_text(diag, 0), "did you mean"));
        assert((clock() - begun) / CLOCKS_PER_SEC < 10); /* it was minutes */
}

/* The manual tells of every key. */
static void test_manual(const char *page)
{
        _cleanup_free_ char *text = NULL;
        size_t length;
        char heading[64];

        assert(conf_read(page, &text, &length) == 0);
        for (const struct option_spec *o = identities_options[0].table; o->name; o++) {
                (void)snprintf(heading, sizeof heading, "\n*%s* (", o->name);
                if (!memmem(text, length, heading, strlen(heading))) {
                        (void)fprintf(stderr, "%s does not tell of %s\n", page, o->name);
                        abort();
                }
        }
}

int main(int argc, char **argv)
{
        assert(argc == 3);
        test_good();
        test_certificates();
        test_cost();
        test_empty();
        test_tokens();
        test_mistakes();
        test_twins();
        test_twins_of_kinds();
        test_secrecy();
        test_times();
        test_file(argv[1]);
        test_many_names();
        test_manual(argv[2]);
        return 0;
}
