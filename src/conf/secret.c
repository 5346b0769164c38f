/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/diag.h"
#include "conf/node.h"
#include "conf/option.h"
#include "util/cleanup.h"
#include "util/io.h"

#define SECRET_MAX (64 * 1024)

static void hide(const struct node *node, struct diag *diag)
{
        diag_hide_line(diag, node->line);
        for (size_t i = 0; i < node->n_children; i++)
                hide(node->children[i], diag);
}

bool option_secret_check(const struct node *node, struct diag *diag)
{
        static const char form[] =
                "a secret must be { file: PATH }, { credential: NAME } or { env: NAME }, never the "
                "secret itself";
        const struct node *child;

        if (node->kind != NODE_MAP || node->n_children != 1) {
                hide(node, diag);
                diag_add(diag, node, "%s", form);
                return false;
        }
        child = node->children[0];
        if (strcmp(child->key, "file") != 0 && strcmp(child->key, "credential") != 0 &&
            strcmp(child->key, "env") != 0) {
                hide(node, diag);
                diag_add_key(diag, child, "%s", form);
                return false;
        }
        if (child->kind != NODE_SCALAR || child->length == 0 || node_is_null(child)) {
                diag_add(diag, child, "expected a name or a path");
                return false;
        }
        if (strcmp(child->key, "credential") == 0 && strchr(child->text, '/')) {
                diag_add(diag, child,
                         "the name of a credential must not contain \"/\"; for a path use { file: "
                         "PATH }");
                return false;
        }
        return true;
}

static int open_file(const struct node *node, const char *path, bool private, struct diag *diag)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0) {
                diag_add(diag, node, "%s: %s", path, strerror(errno));
                return -EINVAL;
        }
        if (!S_ISREG(st.st_mode)) {
                diag_add(diag, node, "%s: not a regular file", path);
                return -EINVAL;
        }
        if (private && (st.st_mode & (S_IROTH | S_IWOTH))) {
                diag_add(diag, node, "%s: every user of this machine can %s it; run chmod o-rw",
                         path, st.st_mode & S_IROTH ? "read" : "change");
                return -EINVAL;
        }
        return TAKE_FD(fd);
}

/* The text of the file without its final newline. No copy of it stays in memory: it may be a
 * secret. */
static char *read_text(const struct node *node, const char *path, size_t size, bool private,
                       struct diag *diag)
{
        _cleanup_close_ int fd = -EBADF;
        char *text;
        ssize_t r;
        size_t n;

        fd = open_file(node, path, private, diag);
        if (fd < 0)
                return NULL;
        text = calloc(1, size + 2);
        if (!text) {
                diag_add(diag, node, "out of memory");
                return NULL;
        }
        r = io_read(fd, text, size + 1);
        n = r > 0 ? (size_t)r : 0;
        if (n > 0 && n <= size && text[n - 1] == '\n')
                text[--n] = '\0';
        if (n > 0 && n <= size && text[n - 1] == '\r')
                text[--n] = '\0';

        if (r < 0)
                diag_add(diag, node, "%s: %s", path, strerror((int)-r));
        else if (n == 0)
                diag_add(diag, node, "%s: empty", path);
        else if (n > size)
                diag_add(diag, node, "%s: larger than %zu KiB", path, size / 1024);
        else if (strlen(text) != n)
                diag_add(diag, node, "%s: contains a NUL character", path);
        else
                return text;
        explicit_bzero(text, size + 2);
        free(text);
        return NULL;
}

char *option_text(const struct node *node, const char *path, size_t size, struct diag *diag)
{
        return read_text(node, path, size, false, diag);
}

static char *from_environment(const struct node *node, struct diag *diag)
{
        const char *value = getenv(node->text);
        char *secret;

        if (!value || value[0] == '\0') {
                diag_add(diag, node, "the environment variable %s is %s", node->text,
                         value ? "empty" : "not set");
                return NULL;
        }
        secret = strdup(value);
        if (!secret)
                diag_add(diag, node, "out of memory");
        return secret;
}

char *option_secret_path(const struct node *node, const char *base)
{
        const struct node *source = node->children[0];
        const char *directory = NULL;
        char *path;

        if (strcmp(source->key, "file") == 0)
                directory = base;
        else if (strcmp(source->key, "credential") == 0)
                directory = getenv("CREDENTIALS_DIRECTORY");
        if (!directory)
                return NULL;
        if (source->text[0] == '/')
                return strdup(source->text);
        return asprintf(&path, "%s/%s", directory, source->text) < 0 ? NULL : path;
}

static char *from_file(const struct node *node, const char *base, struct diag *diag)
{
        const struct node *source = node->children[0];
        _cleanup_free_ char *path = option_secret_path(node, base);

        if (!path) {
                diag_add(diag, source, "out of memory");
                return NULL;
        }
        /* systemd has already restricted who can read a credential. */
        return read_text(source, path, SECRET_MAX, strcmp(source->key, "file") == 0, diag);
}

bool option_secret(const struct node *node, const char *base, char **ret, struct diag *diag)
{
        const struct node *source;
        char *secret = NULL;

        if (!option_secret_check(node, diag))
                return false;
        source = node->children[0];
        if (strcmp(source->key, "env") == 0)
                secret = from_environment(source, diag);
        else if (strcmp(source->key, "file") == 0 || getenv("CREDENTIALS_DIRECTORY"))
                secret = from_file(node, base, diag);
        else
                diag_add(diag, source,
                         "$CREDENTIALS_DIRECTORY is not set; the unit needs "
                         "LoadCredential=%s:/PATH",
                         source->text);
        if (!secret)
                return false;
        *ret = secret;
        return true;
}

void option_secret_free(char *secret)
{
        if (!secret)
                return;
        explicit_bzero(secret, strlen(secret));
        free(secret);
}
