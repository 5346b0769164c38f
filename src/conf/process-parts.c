/* SPDX-License-Identifier: MIT */
#include "conf/process-parts.h"

#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/diag.h"
#include "conf/get.h"
#include "conf/node.h"
#include "conf/option.h"
#include "conf/process.h"
#include "conf/value.h"
#include "util/cleanup.h"

#define ARGUMENTS_MAX 100000 /* bytes of JSON: the kernel allows 128 KiB for one variable */
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* --- lists of strings ------------------------------------------------------------------------- */

int strings_add(struct strings *strings, const char *format, ...)
{
        char **grown, *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                return -ENOMEM;
        grown = reallocarray(strings->s, strings->n + 2, sizeof *grown);
        if (!grown) {
                free(text);
                return -ENOMEM;
        }
        strings->s = grown;
        grown[strings->n++] = text;
        grown[strings->n] = NULL;
        return 0;
}

void strings_done(struct strings *strings)
{
        for (char **s = strings->s; s && *s; s++)
                option_secret_free(*s);
        free(strings->s);
        *strings = (struct strings){};
}

/* The value of NAME=VALUE; NULL: it is not there. */
static const char *find_variable(const struct strings *strings, const char *name)
{
        size_t n = strlen(name);

        for (size_t i = 0; i < strings->n; i++)
                if (strncmp(strings->s[i], name, n) == 0 && strings->s[i][n] == '=')
                        return strings->s[i] + n + 1;
        return NULL;
}

static int set_default(const struct parts *p, const char *name, const char *value)
{
        if (!value || find_variable(p->environment, name))
                return 0;
        return strings_add(p->environment, "%s=%s", name, value);
}

/* --- programs --------------------------------------------------------------------------------- */

char *parts_join(const char *directory, const char *path)
{
        char *joined;

        if (path[0] == '/')
                return strdup(path);
        return asprintf(&joined, "%s/%s", directory, path) < 0 ? NULL : joined;
}

static bool is_program(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* NULL: it is in none of the folders, or out of memory. */
static char *search_path(const char *folders, const char *name)
{
        while (*folders) {
                size_t n = strcspn(folders, ":");
                char *path;

                if (asprintf(&path, "%.*s/%s", (int)n, folders, name) < 0)
                        return NULL;
                if (path[0] == '/' && is_program(path))
                        return path;
                free(path);
                folders += n + (folders[n] == ':');
        }
        return NULL;
}

int parts_program(const struct parts *p, const struct node *node, const char *base, char **ret)
{
        const char *folders = find_variable(p->environment, "PATH");

        if (!folders)
                folders = PATH_DEFAULT;
        if (!strchr(node->text, '/')) {
                *ret = search_path(folders, node->text);
                if (!*ret)
                        diag_add(p->diag, node, "there is no program \"%s\" in %s", node->text,
                                 folders);
                return *ret ? 0 : -EINVAL;
        }
        *ret = parts_join(base, node->text);
        if (!*ret)
                return -ENOMEM;
        if (is_program(*ret))
                return 0;
        diag_add(p->diag, node, "%s: %s", *ret,
                 access(*ret, F_OK) < 0 ? strerror(errno) : "is not a program that brickd may run");
        return -EINVAL;
}

/* --- users ------------------------------------------------------------------------------------ */

int parts_user(const struct parts *p, struct process_spec *spec)
{
        const struct node *node = get_node(p->options, "user");
        const struct passwd *entry;

        spec->uid = geteuid();
        spec->gid = getegid();
        if (!node)
                return 0;
        entry = getpwnam(node->text);
        if (!entry) {
                diag_add(p->diag, node, "there is no user \"%s\"", node->text);
                return -EINVAL;
        }
        if (spec->uid != 0 && spec->uid != entry->pw_uid) {
                diag_add(p->diag, node,
                         "brickd may not run programs as another user, because root has not "
                         "started it");
                return -EINVAL;
        }
        spec->uid = entry->pw_uid;
        spec->gid = entry->pw_gid;
        spec->user = strdup(node->text);
        return spec->user ? 0 : -ENOMEM;
}

/* --- the environment -------------------------------------------------------------------------- */

static bool is_variable(const char *name)
{
        static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

        return *name && strchr(first, *name) &&
               name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                                 "0123456789")] == '\0';
}

static bool is_ours(const char *name)
{
        static const char *const ours[] = { "BRICKD_SOCKET", "BRICKD_ARGUMENTS", "BRICKD_GRACE",
                                            "NOTIFY_SOCKET", "WATCHDOG_USEC" };

        for (size_t i = 0; i < ELEMENTSOF(ours); i++)
                if (strcmp(name, ours[i]) == 0)
                        return true;
        return false;
}

static int add_variable(const struct parts *p, const struct node *node)
{
        char *secret;
        int r;

        if (!is_variable(node->key) || is_ours(node->key)) {
                diag_add_key(p->diag, node,
                             is_ours(node->key) ? "brickd sets this variable itself"
                                                : "is not the name of a variable");
                return -EINVAL;
        }
        if (node->kind == NODE_SCALAR && !node_is_null(node))
                return strings_add(p->environment, "%s=%s", node->key, node->text);
        if (!option_secret(node, p->base, &secret, p->diag))
                return -EINVAL;
        r = strings_add(p->environment, "%s=%s", node->key, secret);
        option_secret_free(secret);
        return r;
}

static int inherit(const struct parts *p)
{
        static const char *const passed[] = { "PATH",   "HOME", "USER",  "LOGNAME", "LANG",
                                              "LC_ALL", "TZ",   "SHELL", "TMPDIR" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(passed); i++)
                r = set_default(p, passed[i], getenv(passed[i]));
        return r < 0 ? r : set_default(p, "PATH", PATH_DEFAULT);
}

static int describe_user(const struct parts *p, const struct process_spec *spec)
{
        const struct passwd *entry = spec->user ? getpwnam(spec->user) : NULL;
        int r;

        if (!entry)
                return 0;
        r = set_default(p, "HOME", entry->pw_dir);
        if (r == 0)
                r = set_default(p, "USER", entry->pw_name);
        return r < 0 ? r : set_default(p, "LOGNAME", entry->pw_name);
}

int parts_environment(const struct parts *p, const struct process_spec *spec)
{
        const struct node *map = get_node(p->options, "environment");
        int r = 0, mistake = 0;

        for (size_t i = 0; r != -ENOMEM && map && i < map->n_children; i++) {
                r = add_variable(p, map->children[i]);
                if (r < 0)
                        mistake = r;
        }
        if (mistake < 0)
                return mistake;
        r = describe_user(p, spec);
        return r < 0 ? r : inherit(p);
}

static int add_python_path(const struct parts *p)
{
        const struct node *path = get_node(p->options, "path");
        _cleanup_free_ char *joined = NULL;
        size_t size;
        FILE *f;

        if (!path)
                return 0;
        f = open_memstream(&joined, &size);
        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < path->n_children; i++)
                (void)fprintf(f, "%s%s", i > 0 ? ":" : "", path->children[i]->text);
        if (fclose(f) != 0)
                return -ENOMEM;
        return set_default(p, "PYTHONPATH", joined);
}

int parts_python_environment(const struct parts *p)
{
        int r = add_python_path(p);

        /* So that what it prints arrives before it dies, and how it died as well. */
        if (r == 0)
                r = set_default(p, "PYTHONUNBUFFERED", "1");
        return r < 0 ? r : set_default(p, "PYTHONFAULTHANDLER", "1");
}

/* --- arguments -------------------------------------------------------------------------------- */

static json_t *to_json(const struct node *node);

static json_t *scalar_to_json(const struct node *node)
{
        int64_t integer;
        double number;

        if (node->spec && node->spec->type == OPTION_STRING)
                return json_stringn(node->text, node->length);
        if (node_is_null(node))
                return json_null();
        if (node->plain && value_parse_int(node->text, &integer) == 0)
                return json_integer(integer);
        if (node->plain && value_parse_float(node->text, &number) == 0)
                return json_real(number);
        if (node->plain && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0))
                return json_boolean(node->text[0] == 't');
        return json_stringn(node->text, node->length);
}

static json_t *list_to_json(const struct node *node)
{
        json_auto_t *list = json_array();

        for (size_t i = 0; i < node->n_children; i++)
                if (json_array_append_new(list, to_json(node->children[i])) < 0)
                        return NULL;
        return json_incref(list);
}

static json_t *map_to_json(const struct node *node)
{
        json_auto_t *map = json_object();

        for (size_t i = 0; i < node->n_children; i++)
                if (json_object_set_new(map, node->children[i]->key, to_json(node->children[i])) <
                    0)
                        return NULL;
        return json_incref(map);
}

/* NULL: out of memory. The depth of a document is bounded. */
static json_t *to_json(const struct node *node)
{
        if (node->kind == NODE_LIST)
                return list_to_json(node);
        return node->kind == NODE_MAP ? map_to_json(node) : scalar_to_json(node);
}

int parts_arguments(const struct parts *p, const struct node *arguments)
{
        json_auto_t *json = to_json(arguments);
        _cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

        if (!text)
                return -ENOMEM;
        if (strlen(text) > ARGUMENTS_MAX) {
                diag_add_key(p->diag, arguments, "longer than %d bytes of JSON", ARGUMENTS_MAX);
                return -EINVAL;
        }
        return strings_add(p->environment, "BRICKD_ARGUMENTS=%s", text);
}
