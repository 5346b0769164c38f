/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "descriptor.pb-c.h"
#include "rpc/descriptors.h"

typedef Google__Protobuf__FileDescriptorSet FileSet;
typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__DescriptorProto Message;
typedef Google__Protobuf__EnumDescriptorProto Enum;
typedef Google__Protobuf__ServiceDescriptorProto Service;

/* proto/descriptors.sh */
extern const uint8_t brickd_descriptors[], brickd_descriptors_end[];

static void file_set_freep(FileSet **set)
{
        google__protobuf__file_descriptor_set__free_unpacked(*set, NULL);
}

/* Adds the symbol "scope.name", or "name" if the scope is empty. */
static int add_symbol(struct descriptors *d, size_t file, const char *scope, const char *name,
                      const char **ret_name)
{
        struct descriptor_symbol *symbols;
        char *full;

        symbols = reallocarray(d->symbols, d->n_symbols + 1, sizeof *symbols);
        if (!symbols)
                return -ENOMEM;
        d->symbols = symbols;
        if (asprintf(&full, "%s%s%s", scope, *scope ? "." : "", name) < 0)
                return -ENOMEM;
        symbols[d->n_symbols++] = (struct descriptor_symbol){ full, file };
        *ret_name = full;
        return 0;
}

static int add_enums(struct descriptors *d, size_t file, const char *scope, Enum **enums, size_t n)
{
        const char *name;
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = add_symbol(d, file, scope, enums[i]->name, &name);
        return r;
}

/* Recurses as deep as messages nest in the .proto files of the build. */
static int add_messages(struct descriptors *d, size_t file, const char *scope, Message **messages,
                        size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                const Message *message = messages[i];
                const char *name;

                r = add_symbol(d, file, scope, message->name, &name);
                if (r == 0)
                        r = add_enums(d, file, name, message->enum_type, message->n_enum_type);
                if (r == 0)
                        r = add_messages(d, file, name, message->nested_type,
                                         message->n_nested_type);
        }
        return r;
}

static int add_services(struct descriptors *d, size_t file, const char *scope, Service **services,
                        size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                const Service *service = services[i];
                const char *name, *method;

                r = add_symbol(d, file, scope, service->name, &name);
                for (size_t k = 0; r == 0 && k < service->n_method; k++)
                        r = add_symbol(d, file, name, service->method[k]->name, &method);
        }
        return r;
}

static int add_file(struct descriptors *d, const File *file)
{
        size_t index = d->n_files++;
        struct descriptor_file *f = &d->files[index];
        const char *package = file->package ? file->package : "";
        int r;

        f->length = google__protobuf__file_descriptor_proto__get_packed_size(file);
        f->bytes = malloc(f->length);
        f->name = strdup(file->name);
        f->imports = calloc(file->n_dependency + 1, sizeof *f->imports);
        if (!f->bytes || !f->name || !f->imports)
                return -ENOMEM;
        (void)google__protobuf__file_descriptor_proto__pack(file, f->bytes);
        for (size_t i = 0; i < file->n_dependency; i++) {
                ssize_t import = descriptors_find_file(d, file->dependency[i]);

                if (import < 0 || (size_t)import == index)
                        return -EBADMSG;
                f->imports[f->n_imports++] = (size_t)import;
        }

        r = add_messages(d, index, package, file->message_type, file->n_message_type);
        if (r == 0)
                r = add_enums(d, index, package, file->enum_type, file->n_enum_type);
        if (r == 0)
                r = add_services(d, index, package, file->service, file->n_service);
        return r;
}

static int compare_symbols(const void *a, const void *b)
{
        const struct descriptor_symbol *x = a, *y = b;

        return strcmp(x->name, y->name);
}

int descriptors_parse(struct descriptors **ret, const void *bytes, size_t length)
{
        _cleanup_(descriptors_freep) struct descriptors *d = calloc(1, sizeof *d);
        _cleanup_(file_set_freep) FileSet *set = NULL;
        int r;

        if (!d)
                return -ENOMEM;
        set = google__protobuf__file_descriptor_set__unpack(NULL, length, bytes);
        if (!set)
                return -EBADMSG;
        d->files = calloc(set->n_file + 1, sizeof *d->files);
        if (!d->files)
                return -ENOMEM;
        for (size_t i = 0; i < set->n_file; i++) {
                r = set->file[i]->name ? add_file(d, set->file[i]) : -EBADMSG;
                if (r < 0)
                        return r;
        }
        if (d->n_symbols > 0)
                qsort(d->symbols, d->n_symbols, sizeof *d->symbols, compare_symbols);
        *ret = TAKE_PTR(d);
        return 0;
}

int descriptors_new(struct descriptors **ret)
{
        return descriptors_parse(ret, brickd_descriptors,
                                 (size_t)(brickd_descriptors_end - brickd_descriptors));
}

struct descriptors *descriptors_free(struct descriptors *d)
{
        if (!d)
                return NULL;
        for (size_t i = 0; i < d->n_files; i++) {
                free(d->files[i].name);
                free(d->files[i].bytes);
                free(d->files[i].imports);
        }
        for (size_t i = 0; i < d->n_symbols; i++)
                free(d->symbols[i].name);
        free(d->files);
        free(d->symbols);
        free(d);
        return NULL;
}

ssize_t descriptors_find_file(const struct descriptors *d, const char *name)
{
        for (size_t i = 0; i < d->n_files; i++)
                if (strcmp(d->files[i].name, name) == 0)
                        return (ssize_t)i;
        return -1;
}

ssize_t descriptors_find_symbol(const struct descriptors *d, const char *name)
{
        const struct descriptor_symbol key = { .name = (char *)name }, *found;

        if (d->n_symbols == 0)
                return -1;
        found = bsearch(&key, d->symbols, d->n_symbols, sizeof key, compare_symbols);
        return found ? (ssize_t)found->file : -1;
}

size_t descriptors_closure(const struct descriptors *d, size_t file, size_t *ret_files)
{
        size_t n = 0;

        ret_files[n++] = file;
        for (size_t i = 0; i < n; i++) {
                const struct descriptor_file *f = &d->files[ret_files[i]];

                for (size_t k = 0; k < f->n_imports; k++) {
                        size_t j = 0;

                        while (j < n && ret_files[j] != f->imports[k])
                                j++;
                        if (j == n)
                                ret_files[n++] = f->imports[k];
                }
        }
        return n;
}
