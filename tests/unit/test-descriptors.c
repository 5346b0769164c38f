/* SPDX-License-Identifier: MIT */

/* What reflection tells: the built-in descriptors, and what is no set of descriptors. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "descriptor.pb-c.h"
#include "rpc/descriptors.h"

static const char *file_of(const struct descriptors *d, const char *symbol)
{
        ssize_t file = descriptors_find_symbol(d, symbol);

        return file < 0 ? NULL : d->files[file].name;
}

static void test_symbols(const struct descriptors *d)
{
        static const char *const rows[][2] = {
                { "protocols.grpc.llm.LLMService", "protocols/grpc/llm/llm.proto" },
                { "protocols.grpc.llm.LLMService.Unary", "protocols/grpc/llm/llm.proto" },
                { "protocols.grpc.llm.LLMRequest", "protocols/grpc/llm/llm.proto" },
                { "protocols.grpc.common.ErrorDetail", "protocols/grpc/common/common.proto" },
                { "google.protobuf.Struct", "google/protobuf/struct.proto" },
                { "google.protobuf.Struct.FieldsEntry", "google/protobuf/struct.proto" },
                { "google.protobuf.NullValue", "google/protobuf/struct.proto" },
                { "grpc.health.v1.Health.Watch", "grpc/health/v1/health.proto" },
                { "grpc.health.v1.HealthCheckResponse.ServingStatus",
                  "grpc/health/v1/health.proto" },
                { "grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto" },
                { "grpc.reflection.v1alpha.ErrorResponse",
                  "grpc/reflection/v1alpha/reflection.proto" },
        };
        static const char *const none[] = {
                "",
                ".",
                "protocols",
                "protocols.grpc.llm",
                "LLMService",
                ".protocols.grpc.llm.LLMService",
                "protocols.grpc.llm.LLMService.",
                "zzz",
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *file = file_of(d, rows[i][0]);

                if (!file || strcmp(file, rows[i][1]) != 0)
                        fprintf(stderr, "%s: %s\n", rows[i][0], file ? file : "not found");
                assert(file && strcmp(file, rows[i][1]) == 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(none); i++)
                assert(!file_of(d, none[i]));
        for (size_t i = 1; i < d->n_symbols; i++)
                assert(strcmp(d->symbols[i - 1].name, d->symbols[i].name) < 0);
}

/* Every file is whole, and its closure holds every import of every file in it, once. */
static void test_files(const struct descriptors *d)
{
        size_t files[64];

        assert(d->n_files >= 12 && d->n_files <= ELEMENTSOF(files));
        for (size_t i = 0; i < d->n_files; i++) {
                Google__Protobuf__FileDescriptorProto *file;
                size_t n = descriptors_closure(d, i, files);

                assert(descriptors_find_file(d, d->files[i].name) == (ssize_t)i);
                file = google__protobuf__file_descriptor_proto__unpack(NULL, d->files[i].length,
                                                                       d->files[i].bytes);
                assert(file && strcmp(file->name, d->files[i].name) == 0);
                assert(file->n_dependency == d->files[i].n_imports);
                google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);

                assert(n >= 1 && files[0] == i);
                for (size_t k = 0; k < n; k++)
                        for (size_t j = 0; j < k; j++)
                                assert(files[j] != files[k]);
                for (size_t k = 0; k < n; k++)
                        for (size_t m = 0; m < d->files[files[k]].n_imports; m++) {
                                size_t j = 0;

                                while (j < n && files[j] != d->files[files[k]].imports[m])
                                        j++;
                                assert(j < n);
                        }
        }
        assert(descriptors_find_file(d, "no.proto") == -1);
        assert(descriptors_find_file(d, "") == -1);
}

static void test_bad_sets(void)
{
        static const struct {
                const char *bytes;
                size_t length;
        } bad[] = {
                { "\x0a\x05", 2 },                         /* cut */
                { "\x0a\x00", 2 },                         /* a file without a name */
                { "\x0a\x06\x0a\x01\x61\x1a\x01\x62", 8 }, /* imports what is not there */
                { "\x0a\x06\x0a\x01\x61\x1a\x01\x61", 8 }, /* imports itself */
        };
        _cleanup_(descriptors_freep) struct descriptors *empty = NULL;
        struct descriptors *d = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert(descriptors_parse(&d, bad[i].bytes, bad[i].length) == -EBADMSG);
                assert(!d);
        }
        assert(descriptors_parse(&empty, "", 0) == 0);
        assert(empty->n_files == 0 && descriptors_find_symbol(empty, "a") == -1);
}

int main(void)
{
        _cleanup_(descriptors_freep) struct descriptors *d = NULL;

        assert(descriptors_new(&d) == 0);
        test_symbols(d);
        test_files(d);
        test_bad_sets();
        return 0;
}
