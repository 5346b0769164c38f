/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/identities.h"
#include "conf/node.h"
#include "conf/value.h"
#include "ctl/ctl.h"
#include "ctl/file.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* The prefix identifies a token to people and to scanners for leaked secrets. */
#define TOKEN_PREFIX "brickd_"
#define TOKEN_BITS 256

/* 6 bits per character. No character needs quoting in a shell, a header or YAML. */
#define TOKEN_CHARACTERS ((TOKEN_BITS + 5) / 6)

#define LOCK_LIMIT INT64_C(5000000000) /* ns */
#define LOCK_NAP 10000000

struct token {
        char text[sizeof TOKEN_PREFIX + TOKEN_CHARACTERS];
        char digest[sizeof IDENTITY_DIGEST_PREFIX + 2 * (size_t)IDENTITY_DIGEST_SIZE];
};

static int make_token(struct token *ret)
{
        static const char characters[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        uint8_t random[TOKEN_CHARACTERS], digest[IDENTITY_DIGEST_SIZE];
        char *p = stpcpy(ret->text, TOKEN_PREFIX);

        if (getentropy(random, sizeof random) < 0)
                return -errno;
        for (size_t i = 0; i < sizeof random; i++)
                *p++ = characters[random[i] & 63];
        *p = '\0';
        if (EVP_Digest(ret->text, strlen(ret->text), digest, NULL, EVP_sha256(), NULL) != 1)
                return -EIO;
        p = stpcpy(ret->digest, IDENTITY_DIGEST_PREFIX);
        for (size_t i = 0; i < sizeof digest; i++)
                p += sprintf(p, "%02x", digest[i]);
        return 0;
}

/* --- the entry -------------------------------------------------------------------------------- */

/* given: a duration from now, or a date or time in the form of the file. */
static int format_expiry(const char *given, char ret[static CLOCK_TEXT_SIZE])
{
        int64_t duration, seconds;

        if (value_parse_duration(given, &duration) == 0 && duration > 0) {
                seconds = (int64_t)time(NULL) + duration / (int64_t)NSEC_PER_SEC;
                return clock_text(seconds, ret) ? 0 : -EINVAL;
        }
        if (identities_parse_time(given, &seconds) < 0)
                return -EINVAL;
        (void)snprintf(ret, CLOCK_TEXT_SIZE, "%s", given);
        return 0;
}

/* As YAML's double-quoted text: whatever is in it, it is one value. What the value may not be is
 * then said of the value. */
static void put_quoted(FILE *f, const char *text)
{
        fputc('"', f);
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if (*p < ' ' || *p == 0x7f)
                        fprintf(f, "\\x%02x", *p);
                else
                        fprintf(f, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
        fputc('"', f);
}

/* A name that is as it should be needs no quotes. */
static void put_name(FILE *f, const char *name)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789._@-";

        if (*name && name[strspn(name, plain)] == '\0' && strcasecmp(name, "null") != 0)
                fputs(name, f);
        else
                put_quoted(f, name);
}

static const char *const token_windows[] = { "minute", "day", "month" };

/* The window of "10k/minute"; NULL: it has none. */
static const char *window_of(const char *given)
{
        const char *slash = strchr(given, '/');

        for (size_t i = 0; slash && i < ELEMENTSOF(token_windows); i++)
                if (strcmp(slash + 1, token_windows[i]) == 0)
                        return token_windows[i];
        return NULL;
}

/* Whether the number is one, the check of the whole entry says. */
static int check_budget(const struct ctl *ctl)
{
        int64_t n;

        for (size_t i = 0; i < ctl->n_tokens; i++) {
                const char *window = window_of(ctl->tokens[i]);
                _cleanup_free_ char *number = strndup(ctl->tokens[i], strcspn(ctl->tokens[i], "/"));

                if (!window || !number || value_parse_count(number, &n) < 0)
                        return ctl_error(EX_USAGE,
                                         "--tokens: expected a number and a window, such as "
                                         "10k/minute, 1M/day or 20M/month, got '%s'",
                                         ctl->tokens[i]);
                for (size_t k = 0; k < i; k++)
                        if (window_of(ctl->tokens[k]) == window)
                                return ctl_error(EX_USAGE, "--tokens: two numbers for a %s",
                                                 window);
        }
        return CTL_OK;
}

static void put_budget(FILE *f, const struct ctl *ctl, unsigned indent)
{
        if (ctl->n_tokens == 0)
                return;
        fprintf(f, "%*s  tokens: {", (int)indent, "");
        for (size_t i = 0; i < ctl->n_tokens; i++)
                fprintf(f, "%s %s: %.*s", i > 0 ? "," : "", window_of(ctl->tokens[i]),
                        (int)strcspn(ctl->tokens[i], "/"), ctl->tokens[i]);
        fputs(" }\n", f);
}

static void put_list(FILE *f, const char *key, const char *const *list, size_t n, unsigned indent)
{
        fprintf(f, "%*s  %s: [", (int)indent, "", key);
        for (size_t i = 0; i < n; i++) {
                fputs(i > 0 ? ", " : "", f);
                put_quoted(f, list[i]);
        }
        fputs("]\n", f);
}

static int write_entry(const struct ctl *ctl, const char *digest, unsigned indent, char **ret)
{
        _cleanup_fclose_ FILE *f = NULL;
        char expires[CLOCK_TEXT_SIZE];
        size_t size;

        if (ctl->expires && format_expiry(ctl->expires, expires) < 0)
                return ctl_error(EX_USAGE,
                                 "--expires: expected a duration (90d), a date (2027-01-31) or a "
                                 "time (2027-01-31T18:00:00Z), got '%s'",
                                 ctl->expires);
        if (check_budget(ctl) != CTL_OK)
                return EX_USAGE;
        f = open_memstream(ret, &size);
        if (!f)
                return ctl_error(EX_OSERR, "Out of memory");
        fprintf(f, "%*s- name: ", (int)indent, "");
        put_name(f, ctl->arguments[1]);
        fprintf(f, "\n%*s  token: %s\n", (int)indent, "", digest);
        if (ctl->expires)
                fprintf(f, "%*s  expires: %s\n", (int)indent, "", expires);
        put_list(f, "allow", ctl->allow, ctl->n_allow, indent);
        if (ctl->n_groups > 0)
                put_list(f, "groups", ctl->groups, ctl->n_groups, indent);
        put_budget(f, ctl, indent);
        return CTL_OK;
}

/* Parses the file as brickd would, and prints its mistakes. */
static int parse(const char *path, const char *bytes, size_t length, struct identities **ret)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        int r;

        r = diag_new(&diag, path, bytes, length);
        if (r == 0)
                r = identities_parse(ret, bytes, length, diag);
        if (r == -EINVAL)
                diag_print(diag, stderr);
        if (r < 0)
                return r == -EINVAL ? EX_CONFIG : ctl_error(EX_OSERR, "Out of memory");
        return CTL_OK;
}

/* Parses the new entry alone, so that a mistake in it is not reported at a line of the file. */
static int check_entry(const char *entry)
{
        _cleanup_(identities_freep) struct identities *identities = NULL;
        _cleanup_free_ char *text = NULL;

        if (asprintf(&text, "identities:\n%s", entry) < 0)
                return ctl_error(EX_OSERR, "Out of memory");
        return parse("(new)", text, strlen(text), &identities);
}

static int make_entry(const struct ctl *ctl, const char *digest, unsigned indent, char **ret)
{
        int r = write_entry(ctl, digest, indent, ret);

        return r == CTL_OK ? check_entry(*ret) : r;
}

/* --- the file --------------------------------------------------------------------------------- */

struct edit {
        const char *path; /* with symbolic links resolved */
        char *bytes;      /* its contents */
        size_t length;
        struct stat st;
        bool exists;
        struct identities *identities;
};

static void edit_done(struct edit *edit)
{
        (void)identities_free(edit->identities);
        free(edit->bytes);
}

static int open_file(const char *path, struct edit *edit)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        int r;

        edit->path = path;
        if (fd < 0 && errno == ENOENT)
                return CTL_OK;
        if (fd < 0 || fstat(fd, &edit->st) < 0)
                return ctl_error(EX_NOINPUT, "Failed to open %s: %s", path, strerror(errno));
        if (!S_ISREG(edit->st.st_mode))
                return ctl_error(EX_NOINPUT, "%s is not a regular file", path);
        edit->exists = true;
        r = conf_read_fd(fd, &edit->bytes, &edit->length);
        if (r < 0)
                return ctl_error(EX_NOINPUT, "Failed to read %s: %s", path, conf_strerror(r));
        return parse(path, edit->bytes, edit->length, &edit->identities);
}

/* The indentation of the entries in the file, or that of a new list. */
static unsigned indent_of(const struct edit *edit)
{
        if (!edit->identities || edit->identities->n == 0)
                return 2;
        return edit->identities->list[0].node->parent->column - 1;
}

static int check_name(const struct edit *edit, const char *name)
{
        for (size_t i = 0; edit->identities && i < edit->identities->n; i++)
                if (strcmp(edit->identities->list[i].name, name) == 0)
                        return ctl_error(CTL_FAILED,
                                         "%s already has the identity '%s' on line %u; to give it "
                                         "another token, add the digest from `brickctl token new "
                                         "%s --file -`",
                                         edit->path, name, edit->identities->list[i].node->line,
                                         name);
        return CTL_OK;
}

/* True: the file has the key identities. Asked only if it has no entries. */
static bool has_list(const struct edit *edit)
{
        static const char key[] = "\nidentities";
        const size_t n = strlen(key);

        return (edit->length >= n && memcmp(edit->bytes, key + 1, n - 1) == 0) ||
               (edit->bytes && memmem(edit->bytes, edit->length, key, n));
}

static int join(const struct edit *edit, const char *entry, char **ret)
{
        bool empty = !edit->identities || edit->identities->n == 0;
        bool ends = edit->length == 0 || edit->bytes[edit->length - 1] == '\n';

        if (empty && has_list(edit))
                return ctl_error(CTL_FAILED,
                                 "%s has an empty list; remove the key identities first",
                                 edit->path);
        if (asprintf(ret, "%.*s%s%s%s", (int)edit->length, edit->bytes ?: "", ends ? "" : "\n",
                     empty ? "identities:\n" : "", entry) < 0)
                return ctl_error(EX_OSERR, "Out of memory");
        return CTL_OK;
}

/* Replaces the file atomically, with its owner and mode. */
static int replace(const struct edit *edit, const char *text)
{
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t length = strlen(text);
        int r;

        if (asprintf(&temporary, "%s.XXXXXX", edit->path) < 0) {
                temporary = NULL;
                return -ENOMEM;
        }
        fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* Digests are not secret, and brickd must be able to read them. */
        errno = 0;
        if ((!edit->exists || fchown(fd, edit->st.st_uid, edit->st.st_gid) == 0) &&
            fchmod(fd, edit->exists ? edit->st.st_mode & 07777 : 0644) == 0 &&
            write(fd, text, length) == (ssize_t)length && fsync(fd) == 0 &&
            rename(temporary, edit->path) == 0)
                return 0;
        r = errno > 0 ? -errno : -EIO;
        (void)unlink(temporary);
        return r;
}

static int add_entry(const struct ctl *ctl, struct edit *edit, const struct token *token)
{
        _cleanup_(identities_freep) struct identities *after = NULL;
        _cleanup_free_ char *entry = NULL, *text = NULL;
        int r;

        r = check_name(edit, ctl->arguments[1]);
        if (r == CTL_OK)
                r = make_entry(ctl, token->digest, indent_of(edit), &entry);
        if (r == CTL_OK)
                r = join(edit, entry, &text);
        if (r == CTL_OK)
                r = parse(edit->path, text, strlen(text), &after);
        if (r != CTL_OK)
                return r == EX_CONFIG ? ctl_error(r, "The file has not been changed") : r;
        r = replace(edit, text);
        if (r < 0)
                return ctl_error(EX_CANTCREAT, "Failed to write %s: %s", edit->path, strerror(-r));
        return CTL_OK;
}

/* Whoever may read the directory can lock it, and for ever. */
static int wait_for_lock(int fd)
{
        const struct timespec nap = { .tv_nsec = LOCK_NAP };
        int r;

        for (int64_t waited = 0;
             (r = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK && waited < LOCK_LIMIT;
             waited += LOCK_NAP)
                (void)nanosleep(&nap, NULL);
        return r;
}

/* Serializes concurrent runs, so that each sees the entries of those before it. */
static int lock_directory(const char *path, int *ret)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *directory = slash ? strndup(path,
                                                         slash > path ? (size_t)(slash - path) : 1)
                                               : strdup(".");
        _cleanup_close_ int fd = -EBADF;

        if (!directory)
                return ctl_error(EX_OSERR, "Out of memory");
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || wait_for_lock(fd) < 0)
                return ctl_error(EX_CANTCREAT, "Failed to lock %s: %s", directory,
                                 errno == EWOULDBLOCK ? "another program keeps it locked"
                                                      : strerror(errno));
        *ret = TAKE_FD(fd);
        return CTL_OK;
}

static int add_to_file(const struct ctl *ctl, const char *path, const struct token *token)
{
        _cleanup_free_ char *real = realpath(path, NULL);
        _cleanup_(edit_done) struct edit edit = {};
        _cleanup_close_ int lock = -EBADF;
        int r;

        path = real ? real : path;
        r = lock_directory(path, &lock);
        if (r == CTL_OK)
                r = open_file(path, &edit);
        if (r == CTL_OK)
                r = add_entry(ctl, &edit, token);
        if (r != CTL_OK)
                return r;
        puts(token->text);
        if (isatty(STDERR_FILENO))
                fprintf(stderr,
                        "Added '%s' to %s. The token is not stored anywhere: copy it now.\n",
                        ctl->arguments[1], path);
        return CTL_OK;
}

/* For users who keep the file elsewhere: prints the entry to standard output and the token to
 * standard error. */
static int print_entry(const struct ctl *ctl, const struct token *token)
{
        _cleanup_free_ char *entry = NULL;
        int r;

        r = make_entry(ctl, token->digest, 2, &entry);
        if (r != CTL_OK)
                return r;
        fputs(entry, stdout);
        fprintf(stderr, "%s\n", token->text);
        return CTL_OK;
}

/* --- using a token ---------------------------------------------------------------------------- */

#define TOKEN_MAX 512

/* A token becomes part of a header: checks its characters. */
static int check_token(const char *token, const char *where)
{
        size_t n = strlen(token);

        if (n == 0 || n > TOKEN_MAX)
                return ctl_error(EX_NOINPUT, "%s: a token must have 1 to %d characters", where,
                                 TOKEN_MAX);
        for (size_t i = 0; i < n; i++)
                if (token[i] <= ' ' || token[i] > '~')
                        return ctl_error(EX_NOINPUT,
                                         "%s: a token must be printable ASCII without spaces",
                                         where);
        return CTL_OK;
}

static int read_token(const char *path, char buffer[TOKEN_MAX + 3])
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat st;
        size_t length = 0;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return ctl_error(EX_NOINPUT, "Failed to open %s: %s", path, strerror(errno));
        if (S_ISREG(st.st_mode) && (st.st_mode & S_IROTH))
                return ctl_error(EX_NOINPUT,
                                 "%s: every user of this machine can read it; run chmod o-r", path);
        do {
                n = read(fd, buffer + length, TOKEN_MAX + 2 - length);
                if (n > 0)
                        length += (size_t)n;
        } while (n > 0 && length < TOKEN_MAX + 2);
        if (n < 0)
                return ctl_error(EX_NOINPUT, "Failed to read %s: %s", path, strerror(errno));
        buffer[length] = '\0';
        buffer[strcspn(buffer, "\r\n")] = '\0';
        return check_token(buffer, path);
}

int ctl_authorization(const struct ctl *ctl, char **ret)
{
        const char *token = getenv("BRICKD_TOKEN");
        char buffer[TOKEN_MAX + 3];
        int r;

        *ret = NULL;
        if (ctl->token_file) {
                r = read_token(ctl->token_file, buffer);
                token = buffer;
        } else if (token && *token) {
                r = check_token(token, "$BRICKD_TOKEN");
        } else {
                return CTL_OK;
        }
        if (r != CTL_OK)
                return r;
        if (asprintf(ret, "Bearer %s", token) < 0)
                return ctl_error(EX_OSERR, "Out of memory");
        return CTL_OK;
}

int command_token(struct ctl *ctl)
{
        _cleanup_(file_done) struct file file = {};
        const char *path = ctl->file;
        struct token token;
        int r;

        if (strcmp(ctl->arguments[0], "new") != 0)
                return ctl_error(EX_USAGE,
                                 "Unknown command 'token %s'; use: brickctl token new NAME",
                                 ctl->arguments[0]);
        if (!path) {
                r = file_open(ctl, FILE_MAY_BE_WRONG, &file);
                if (r != CTL_OK)
                        return r;
                path = file.conf ? file.conf->identities : NULL;
        }
        if (!path)
                return ctl_error(EX_USAGE, "%s does not name a file of identities; use --file FILE",
                                 ctl->config);
        r = make_token(&token);
        if (r < 0)
                return ctl_error(EX_OSERR, "Failed to create a token: %s", strerror(-r));
        return strcmp(path, "-") == 0 ? print_entry(ctl, &token) : add_to_file(ctl, path, &token);
}
