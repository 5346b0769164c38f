/* SPDX-License-Identifier: MIT */
#include "module/load.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/nearest.h"
#include "module/verify.h"
#include "util/trust.h"

/* The highest major of a later ABI that a message can name. */
#define MAJOR_PROBED 9

/* The tables of options of one module. */
#define TABLES_SIZE_MAX ((size_t)4 * 1024 * 1024)

/* How deep module_calling_libc() looks. */
#define FRAMES_MAX 64

static const struct module_builtin *builtins; /* NULL: there are none */

void module_set_builtins(const struct module_builtin *table)
{
        builtins = table;
}

static const struct module_builtin *find_builtin(const char *name)
{
        for (const struct module_builtin *b = builtins; b && b->name; b++)
                if (strcmp(b->name, name) == 0)
                        return b;
        return NULL;
}

static bool is_name(const char *s)
{
        return s[0] && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* The built-in module, or the one in the directory, with the nearest name; NULL: none is near. */
static char *nearest_module(const char *dir, const char *name)
{
        struct nearest nearest = nearest_to(name);
        struct dirent *entry;
        char *best;
        DIR *d;

        for (const struct module_builtin *b = builtins; b && b->name; b++)
                nearest_offer(&nearest, b->name);
        best = nearest.best ? strdup(nearest.best) : NULL;
        d = opendir(dir);
        if (!d)
                return best;
        while ((entry = readdir(d))) {
                size_t n = strlen(entry->d_name);
                char *candidate;

                if (n <= 3 || strcmp(entry->d_name + n - 3, ".so") != 0)
                        continue;
                candidate = strndup(entry->d_name, n - 3);
                if (!candidate)
                        break;
                nearest_offer(&nearest, candidate);
                if (nearest.best == candidate) {
                        free(best);
                        best = candidate;
                } else {
                        free(candidate);
                }
        }
        (void)closedir(d);
        return best;
}

static int not_found(const char *dir, const char *name, char **ret_why)
{
        _cleanup_free_ char *nearest = nearest_module(dir, name);

        if (nearest)
                return verdict(ret_why, -ENOENT, dir, "no module '%s', did you mean '%s'?", name,
                               nearest);
        if (access(dir, F_OK) < 0)
                return verdict(ret_why, -ENOENT, dir, "no module '%s': there is no such directory",
                               name);
        return verdict(ret_why, -ENOENT, dir, "no module '%s'", name);
}

/* ---- ELF -------------------------------------------------------------------------------- */

static const char *machine_to_string(unsigned machine)
{
        switch (machine) {
        case EM_386:
                return "i386";
        case EM_X86_64:
                return "x86-64";
        case EM_ARM:
                return "32-bit ARM";
        case EM_AARCH64:
                return "AArch64";
        case EM_PPC64:
                return "PowerPC 64";
        case EM_S390:
                return "S/390";
        case EM_RISCV:
                return "RISC-V";
        }
        return "another machine";
}

/* The part of an ELF header that is the same for 32 and 64 bits. */
struct elf_head {
        unsigned char ident[EI_NIDENT];
        uint16_t type;
        uint16_t machine;
};

static bool read_head(int fd, struct elf_head *ret)
{
        return pread(fd, ret, sizeof *ret, 0) == (ssize_t)sizeof *ret &&
               memcmp(ret->ident, ELFMAG, SELFMAG) == 0;
}

/* dlopen() refuses such files as well, but its messages are less clear. */
static int check_elf(int fd, const char *path, char **ret_why)
{
        _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        struct elf_head head, own;

        if (!read_head(fd, &head))
                return verdict(ret_why, -ENOEXEC, path, "is not an ELF file");
        if (!read_head(self, &own))
                return 0;
        if (head.ident[EI_CLASS] != own.ident[EI_CLASS] ||
            head.ident[EI_DATA] != own.ident[EI_DATA] || head.machine != own.machine)
                return verdict(ret_why, -ENOEXEC, path, "is for %s, this brickd for %s",
                               machine_to_string(head.machine), machine_to_string(own.machine));
        if (head.type != ET_DYN)
                return verdict(ret_why, -ENOEXEC, path,
                               "is an ELF file, but no shared object: link it with -shared");
        return 0;
}

/* ---- opening ---------------------------------------------------------------------------- */

/* All checks of the file that run none of its code. */
static int check_file(const char *given, const char *path, char **ret_why)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return verdict(ret_why, -errno, path, "%s", strerror(errno));
        if (!S_ISREG(st.st_mode))
                return verdict(ret_why, -ENOEXEC, path, "is not a regular file");
        r = trust_file(&st, given, path, ret_why);
        if (r < 0)
                return r;
        return check_elf(fd, path, ret_why);
}

/* dlerror(), without the path if it starts with it. */
static const char *load_error(const char *path)
{
        const char *text = dlerror();
        size_t n = strlen(path);

        if (!text)
                return "dlopen() does not say why";
        return strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

static int no_entry(void *handle, const char *path, char **ret_why)
{
        for (unsigned major = BRICK_ABI_MAJOR + 1; major <= MAJOR_PROBED; major++) {
                char name[sizeof BRICK_ENTRY_NAME + 16];

                snprintf(name, sizeof name, "brick_module_v%u", major);
                if (dlsym(handle, name))
                        return verdict(ret_why, -ENOEXEC, path,
                                       "was built for brick ABI %u, this brickd speaks %u.%u",
                                       major, BRICK_ABI_MAJOR, BRICK_ABI_MINOR);
        }
        return verdict(ret_why, -ENOEXEC, path,
                       "is not a brick: it exports no " BRICK_ENTRY_NAME "()");
}

/* Never unloaded: threads and destructors of libraries do not survive a dlclose(). */
static int open_library(const char *path, void **ret, char **ret_why)
{
        *ret = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        return *ret ? 0
                    : verdict(ret_why, -ENOEXEC, path, "cannot be loaded: %s", load_error(path));
}

static int load(const char *path, const struct brick_module **ret, char **ret_why)
{
        const struct brick_module *(*entry)(void);
        void *handle;
        int r;

        r = open_library(path, &handle, ret_why);
        if (r < 0)
                return r;
        *(void **)&entry = dlsym(handle, BRICK_ENTRY_NAME);
        if (!entry)
                return no_entry(handle, path, ret_why);
        *ret = entry();
        return 0;
}

/* A module built with a shorter struct lacks the members at the end: they are then NULL. */
static struct brick_module *copy_descriptor(const struct brick_module *brick)
{
        struct brick_module *copy = calloc(1, sizeof *copy);
        size_t size = brick->struct_size < sizeof *copy ? brick->struct_size : sizeof *copy;

        if (copy)
                memcpy(copy, brick, size);
        return copy;
}

/* Checks what a module says of itself. */
static int adopt(struct module *module, const struct brick_module *brick,
                 const struct option_spec *options, char **ret_why)
{
        int r;

        r = verify_descriptor(brick, module->path, ret_why);
        if (r < 0)
                return r;
        module->brick = copy_descriptor(brick);
        if (!module->brick)
                return -ENOMEM;
        if (options) {
                module->options = options;
                return 0;
        }
        return verify_options(module->brick, module->path, &module->tables, &module->options,
                              ret_why);
}

static struct module *module_new(void)
{
        struct module *module = calloc(1, sizeof *module);

        if (module)
                arena_init(&module->tables, TABLES_SIZE_MAX);
        return module;
}

static int open_builtin(struct module **ret, const struct module_builtin *builtin, char **ret_why)
{
        _cleanup_(module_freep) struct module *module = module_new();
        int r;

        if (!module)
                return -ENOMEM;
        if (asprintf(&module->path, "%s (built in)", builtin->name) < 0) {
                module->path = NULL;
                return -ENOMEM;
        }
        r = adopt(module, builtin->entry(), builtin->options, ret_why);
        if (r == 0)
                *ret = TAKE_PTR(module);
        return r;
}

static int open_path(struct module **ret, const char *given, char **ret_why)
{
        _cleanup_(module_freep) struct module *module = module_new();
        const struct brick_module *brick = NULL;
        int r;

        if (!module)
                return -ENOMEM;
        module->path = realpath(given, NULL);
        if (!module->path)
                return verdict(ret_why, -errno, given, "%s", strerror(errno));
        r = check_file(given, module->path, ret_why);
        if (r == 0)
                r = load(module->path, &brick, ret_why);
        if (r == 0)
                r = adopt(module, brick, NULL, ret_why);
        if (r == 0)
                *ret = TAKE_PTR(module);
        return r;
}

int module_open(struct module **ret, const char *dir, const char *name, char **ret_why)
{
        _cleanup_free_ char *path = NULL;

        *ret_why = NULL;
        if (name[0] == '/')
                return open_path(ret, name, ret_why);
        if (!is_name(name))
                return verdict(ret_why, -EINVAL, name,
                               "a module is a name of a-z, 0-9 and -, or an absolute path");
        if (find_builtin(name))
                return open_builtin(ret, find_builtin(name), ret_why);
        if (asprintf(&path, "%s/%s.so", dir, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (access(path, F_OK) < 0 && errno == ENOENT)
                return not_found(dir, name, ret_why);
        return open_path(ret, path, ret_why);
}

const void *module_symbol(const char *path, const char *name, char **ret_why)
{
        const void *symbol;
        void *handle;

        *ret_why = NULL;
        if (check_file(path, path, ret_why) < 0 || open_library(path, &handle, ret_why) < 0)
                return NULL;
        symbol = dlsym(handle, name);
        if (!symbol)
                (void)verdict(ret_why, -ENOEXEC, path, "is not of this brickd: it lacks %s", name);
        return symbol;
}

bool module_same_file(const void *a, const void *b)
{
        Dl_info first, second;

        return dladdr(a, &first) && dladdr(b, &second) && first.dli_fbase == second.dli_fbase;
}

const char *module_calling_libc(void)
{
        void *frames[FRAMES_MAX];
        int n = backtrace(frames, FRAMES_MAX);
        Dl_info libc, info;
        bool in_libc = false;

        if (!dladdr((void *)exit, &libc))
                return "an unknown file";
        for (int i = 0; i < n; i++) {
                if (!dladdr(frames[i], &info))
                        continue;
                if (info.dli_fbase == libc.dli_fbase)
                        in_libc = true;
                else if (in_libc)
                        return info.dli_fname;
        }
        return "an unknown file";
}

struct module *module_free(struct module *module)
{
        if (!module)
                return NULL;
        free((void *)module->brick);
        arena_done(&module->tables);
        free(module->path);
        free(module);
        return NULL;
}
