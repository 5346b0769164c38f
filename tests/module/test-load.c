/* SPDX-License-Identifier: MIT */

/* What the loader says of each module of the zoo, word for word. Argument: the zoo's directory. */

#undef NDEBUG
#include <assert.h>
#include <elf.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/names.h"
#include "module/load.h"
#include "util/cleanup.h"

static char zoo[4096]; /* resolved, as it stands in verdicts */
static char temp[] = "/tmp/brickd-test-load-XXXXXX";

static const struct {
        const char *name;
        const char *verdict; /* after the path; NULL: sound */
} refused[] = {
        { "no-entry", "is not a brick: it exports no brick_module_v1()" },
        { "other-entry", "was built for brick ABI 2, this brickd speaks 1.4" },
        { "bad-magic", "brick_module_v1() gives no brick descriptor (bad magic)" },
        { "wrong-major", "was built for brick ABI 7.2, this brickd speaks 1.4" },
        { "newer-host", "needs brick ABI 1.5 or newer, this brickd speaks 1.4" },
        { "longer-struct", NULL },
        { "missing-members", "its descriptor lacks 'start'" },
        { "missing-writable",
          "its descriptor lacks 'writable', which its streams need without BRICK_FLAG_BLOCKING" },
        { "illegal-method", "a Guard brick has no method BidiStreaming" },
        { "unknown-type", "has no type that this brickd knows (42)" },
        { "unknown-flag", "has flags that this brickd does not know (bits 0x80000000)" },
        { "any-without-type", "is of any type, but has no option 'type' to say which" },
        { "bad-summary", "its descriptor's 'summary' is not UTF-8" },
        { "filter-partial", "its descriptor lacks one of 'filter_open', 'filter_push' and "
                            "'filter_close', but not all" },
        { "filter-type", "has filter_open, which is for a Guard" },
        { "option-text", "option 'odd': one of its texts is not UTF-8" },
        { "option-twice", "option 'fine': there are two of this name" },
        { "option-name",
          "option 'Not-Fine': its name is not made of lower-case letters, digits and _" },
        { "option-type", "option 'odd': this brickd does not know its type" },
        { "option-flags", "option 'odd': this brickd does not know its flags" },
        { "option-choices", "option 'odd': it has no choices" },
        { "option-fallback", "option 'odd': its fallback is no value for it" },
        { "option-range", "option 'odd': its fallback is no value for it" },
        { "option-choice", "option 'odd': its fallback is none of its choices" },
        { "option-required", "option 'odd': it is required and has a fallback" },
        { "option-items", "option 'odd': only a list or a map has items" },
        { "option-inside", "option 'odd.deep': this brickd does not know its type" },
        { "option-item", "option 'odd[]': this brickd does not know its type" },
        { "option-item-fallback", "option 'odd[]': an item of a list has no fallback" },
        { "option-more", "option 'odd': only a list with items can be one or more" },
        { "options-forever", "option 'back': its fallback could contain itself" },
        { "options-endless",
          "option 'odd' has more than 256 options: is the end of the table missing?" },
        { "options-short", NULL },
        { "nested-options", NULL },
        { "missing-dependency", "cannot be loaded: libabsent.so.9: cannot open shared object file: "
                                "No such file or directory" },
        { "undefined-symbol", "cannot be loaded: undefined symbol: brick_zoo_undefined" },
        { "call-crashes", NULL }, /* those that misbehave later load well */
        { "create-hangs", NULL },
        { "blocks", NULL },
};

/* "" for a module that is sound. */
static char *judge(const char *dir, const char *name)
{
        _cleanup_(module_freep) struct module *module = NULL;
        char *why = NULL;
        int r;

        r = module_open(&module, dir, name, &why);
        assert((r == 0) == (module != NULL));
        assert((r == 0) == (why == NULL));
        assert(!why || !strchr(why, '\n'));
        return why ? why : strdup("");
}

static void expect(const char *dir, const char *name, const char *expected)
{
        _cleanup_free_ char *why = judge(dir, name);

        if (strcmp(why, expected) != 0) {
                (void)fprintf(stderr, "%s\n  got:      %s\n  expected: %s\n", name, why, expected);
                abort();
        }
}

__attribute__((format(printf, 1, 2))) static char *format(const char *text, ...)
{
        va_list args;
        char *s = NULL;

        va_start(args, text);
        assert(vasprintf(&s, text, args) >= 0);
        va_end(args);
        return s;
}

static void test_zoo(void)
{
        _cleanup_free_ char *short_struct = NULL;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_free_ char *expected = NULL;

                expected = refused[i].verdict ? format("%s/%s.so: %s", zoo, refused[i].name,
                                                       refused[i].verdict)
                                              : strdup("");
                expect(zoo, refused[i].name, expected);
        }
        short_struct = format("%s/short-struct.so: its descriptor has %zu bytes, that of brick "
                              "ABI 1.0 has %zu",
                              zoo, offsetof(struct brick_module, start),
                              offsetof(struct brick_module, filter_open));
        expect(zoo, "short-struct", short_struct);
}

static void copy(const char *from, const char *to, mode_t mode)
{
        _cleanup_free_ char *command = format("cp '%s' '%s'", from, to);

        assert(system(command) == 0);
        assert(chmod(to, mode) == 0);
}

static void write_file(const char *path, const void *bytes, size_t length)
{
        _cleanup_fclose_ FILE *f = fopen(path, "we");

        assert(f && fwrite(bytes, 1, length, f) == length);
}

static void expect_file(const char *name, const char *verdict)
{
        _cleanup_free_ char *path = format("%s/%s", temp, name);
        _cleanup_free_ char *expected = verdict[0] ? format("%s: %s", path, verdict) : strdup("");

        expect("/nonexistent", path, expected);
}

/* Files that are no modules at all. */
static void test_files(void)
{
        static const char script[] = "#!/bin/sh\n# not a module, but called one\nexit 0\n";
        _cleanup_free_ char *text = format("%s/text.so", temp);
        _cleanup_free_ char *empty = format("%s/empty.so", temp);
        _cleanup_free_ char *fifo = format("%s/fifo.so", temp);
        _cleanup_free_ char *dir = format("%s/dir.so", temp);
        _cleanup_free_ char *foreign = format("%s/foreign.so", temp);
        _cleanup_free_ char *object = format("%s/object.so", temp);
        Elf64_Ehdr head = { .e_ident = ELFMAG, .e_type = ET_DYN };

        write_file(text, script, sizeof script - 1);
        expect_file("text.so", "is not an ELF file");
        write_file(empty, "", 0);
        expect_file("empty.so", "is not an ELF file");
        assert(mkfifo(fifo, 0600) == 0);
        assert(mkdir(dir, 0755) == 0);
        expect_file("fifo.so", "is not a regular file");
        expect_file("dir.so", "is not a regular file");
        expect_file("absent.so", "No such file or directory");

        head.e_ident[EI_CLASS] = ELFCLASS64;
        head.e_ident[EI_DATA] = ELFDATA2LSB;
        head.e_machine = EM_S390;
        write_file(foreign, &head, sizeof head);
#ifdef __x86_64__
        expect_file("foreign.so", "is for S/390, this brickd for x86-64");
        head.e_machine = EM_X86_64;
        head.e_type = ET_REL;
        write_file(object, &head, sizeof head);
        expect_file("object.so", "is an ELF file, but no shared object: link it with -shared");
#endif
}

/* Who may write the file, or replace it. */
static void test_trust(void)
{
        _cleanup_free_ char *good = format("%s/longer-struct.so", zoo);
        _cleanup_free_ char *dir = format("%s/dir", temp);
        _cleanup_free_ char *file = format("%s/dir/brick.so", temp);
        _cleanup_free_ char *link = format("%s/link.so", temp);
        const char *others = "is writable by users other than its owner; run chmod go-w";
        const char *stranger = "is owned by a user other than root and the user of brickd";
        _cleanup_free_ char *dir_others = format("its directory %s", others);
        _cleanup_free_ char *dir_stranger = format("its directory %s", stranger);
        _cleanup_free_ char *linked = NULL;

        assert(mkdir(dir, 0755) == 0);
        copy(good, file, 0644);
        expect_file("dir/brick.so", "");
        assert(symlink("dir/brick.so", link) == 0);
        expect_file("link.so", "");

        assert(chmod(file, 0646) == 0);
        expect_file("dir/brick.so", others);
        assert(chmod(file, 0664) == 0);
        expect_file("dir/brick.so", others);
        assert(chmod(file, 0644) == 0);

        assert(chmod(dir, 0777) == 0);
        expect_file("dir/brick.so", dir_others);
        linked = format("%s: %s", file, dir_others); /* the link's own directory is fine */
        expect("/nonexistent", link, linked);
        assert(chmod(dir, 01777) == 0);
        expect_file("dir/brick.so", "");
        assert(chmod(dir, 0755) == 0);

        if (geteuid() != 0)
                return; /* only root can give a file away */
        assert(chown(file, 65534, 65534) == 0);
        expect_file("dir/brick.so", stranger);
        assert(chown(file, 0, 0) == 0);
        assert(chown(dir, 65534, 65534) == 0);
        expect_file("dir/brick.so", dir_stranger);
        assert(seteuid(65534) == 0);
        expect_file("dir/brick.so", "");
        assert(seteuid(0) == 0);
}

static void test_names(void)
{
        _cleanup_free_ char *nearest = format(
                "%s: no module 'short-strukt', did you mean 'short-struct'?", zoo);
        _cleanup_free_ char *none = format("%s: no module 'quite-something-else'", zoo);

        expect(zoo, "short-strukt", nearest);
        expect(zoo, "quite-something-else", none);
        expect("/nonexistent", "echo",
               "/nonexistent: no module 'echo': there is no such directory");
        expect(zoo, "../echo",
               "../echo: a module is a name of a-z, 0-9 and -, or an absolute path");
        expect(zoo, "Echo", "Echo: a module is a name of a-z, 0-9 and -, or an absolute path");
        expect(zoo, "", ": a module is a name of a-z, 0-9 and -, or an absolute path");
}

static char *printed(void (*print)(const struct module *module, FILE *f),
                     const struct module *module)
{
        char *text = NULL;
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        assert(f);
        print(module, f);
        assert(fclose(f) == 0);
        return text;
}

static void test_options(void)
{
        _cleanup_(module_freep) struct module *module = NULL;
        _cleanup_free_ char *why = NULL, *inspected = NULL, *described = NULL, *expected = NULL;

        assert(module_open(&module, zoo, "longer-struct", &why) == 0);
        assert(strcmp(module->options[0].name, "first") == 0);
        assert(module->options[0].type == OPTION_INT);
        assert(strcmp(module->options[0].fallback, "1") == 0);
        assert(strcmp(module->options[1].name, "second") == 0);
        assert(module->options[1].type == OPTION_STRING);
        assert(!module->options[2].name);

        inspected = printed(module_inspect, module);
        expected = format("file:     %s/longer-struct.so\n"
                          "name:     longer-struct\n"
                          "version:  2.0\n"
                          "summary:  is from the future\n"
                          "type:     Guard\n"
                          "methods:  Unary\n"
                          "runs:     on the polling thread (must not block)\n"
                          "ABI:      built for 1.5, needs 1.0, this brickd speaks 1.4\n"
                          "options:  first, second\n",
                          zoo);
        assert(strcmp(inspected, expected) == 0);

        described = printed(module_describe, module);
        assert(strcmp(described, "longer-struct 2.0: is from the future\n"
                                 "type: Guard\n"
                                 "methods: Unary\n"
                                 "options:\n"
                                 "\n"
                                 "  first: whole number; default 1\n"
                                 "\n"
                                 "  second: string\n") == 0);
}

static void test_nested_options(void)
{
        _cleanup_(module_freep) struct module *module = NULL, *older = NULL;
        _cleanup_free_ char *why = NULL, *described = NULL;
        const struct option_spec *step;

        assert(module_open(&module, zoo, "nested-options", &why) == 0);
        step = module->options[0].table->table;
        assert(step == module->options[1].table && strcmp(step[0].name, "brick") == 0);
        assert(step[0].flags == OPTION_ONE_OR_MORE && step[0].table->type == OPTION_BRICK);
        assert(step[2].table->table == step);
        assert(module->options[2].table->table->type == OPTION_BRICK);
        assert(!module->options[3].table);

        described = printed(module_describe, module);
        assert(strcmp(described, "zoo 1.0: is broken\n"
                                 "type: Guard\n"
                                 "methods: Unary\n"
                                 "options:\n"
                                 "\n"
                                 "  steps: list of map; entries: at least 1; required\n"
                                 "      in this order\n"
                                 "      brick: one or a list of name of a brick\n"
                                 "          who answers\n"
                                 "      wait: duration; default 3s\n"
                                 "      parallel: list of map as in steps; default []\n"
                                 "\n"
                                 "  first: map\n"
                                 "      brick: one or a list of name of a brick\n"
                                 "          who answers\n"
                                 "      wait: duration; default 3s\n"
                                 "      parallel: list of map as in first; default []\n"
                                 "\n"
                                 "  rows: list of list of name of a brick\n"
                                 "\n"
                                 "  any: list; default []\n") == 0);

        assert(module_open(&older, zoo, "options-short", &why) == 0);
        assert(!older->options[0].table && !older->options[1].table && !older->options[2].name);
}

static void test_types(void)
{
        assert(strcmp(brick_type_to_string(BRICK_TYPE_LLM), "LLM") == 0);
        assert(!brick_type_to_string(0));
        assert(!brick_type_to_string(BRICK_TYPE_TRANSLATE + 1));
        assert(!brick_type_to_string(BRICK_TYPE_ANY));
        assert(brick_type_from_string("Retrieval") == BRICK_TYPE_RETRIEVAL);
        assert(brick_type_from_string("retrieval") == -EINVAL);
        assert(strcmp(brick_method_to_string(BRICK_METHOD_BIDI_STREAMING), "BidiStreaming") == 0);
        assert(!brick_method_to_string(BRICK_METHOD_BIDI_STREAMING + 1));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

int main(int argc, char **argv)
{
        assert(argc == 2 && realpath(argv[1], zoo));
        assert(mkdtemp(temp) && chmod(temp, 0755) == 0);

        test_types();
        test_zoo();
        test_files();
        test_trust();
        test_names();
        test_options();
        test_nested_options();

        assert(nftw(temp, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
        return 0;
}
