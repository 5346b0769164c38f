/* SPDX-License-Identifier: MIT */

/* Any bytes as brickd.yaml: no crash, a mistake is told of, and what is printed means the same. */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct option_spec table[] = {
        { .name = "text", .type = OPTION_STRING, .fallback = "none" },
        { .name = "count", .type = OPTION_INT, .fallback = "3", .min = 1, .max = 9 },
        { .name = "sure", .type = OPTION_BOOL },
        { .name = "ratio", .type = OPTION_FLOAT },
        { .name = "items", .type = OPTION_LIST, .fallback = "[a, { b: c }]" },
        { .name = "extra", .type = OPTION_MAP },
        { .name = "wait", .type = OPTION_DURATION },
        { .name = "room", .type = OPTION_SIZE },
        { .name = "kind", .type = OPTION_ENUM, .choices = "one|two" },
        { .name = "key", .type = OPTION_SECRET },
        { .name = "next", .type = OPTION_BRICK },
        { .name = "also", .type = OPTION_BRICK, .flags = OPTION_REPEATED },
        { .name = "index", .type = OPTION_PATH },
        {},
};

static void tell(const struct diag *diag)
{
        _cleanup_free_ char *text = NULL;
        size_t length;
        FILE *f;

        f = open_memstream(&text, &length);
        assert(f);
        diag_print(diag, f);
        assert(fclose(f) == 0 && length > 0);
        for (size_t i = 0; diag_text(diag, i); i++)
                assert(strlen(diag_text(diag, i)) < 2000);
}

static struct conf *parse(const char *bytes, size_t length)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct conf *conf = NULL;
        int r;

        assert(diag_new(&diag, "fuzz", bytes, length) == 0);
        r = conf_parse(&conf, "fuzz", bytes, length, diag);
        assert((r == 0) == (diag_count(diag) == 0));
        if (r != 0)
                tell(diag);
        return conf;
}

static char *print(const struct conf *conf, size_t *ret_length)
{
        char *text = NULL;
        FILE *f;

        f = open_memstream(&text, ret_length);
        assert(f);
        conf_print(conf, f);
        assert(fclose(f) == 0);
        return text;
}

static void check_bricks(struct conf *conf)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_free_ size_t *order = NULL;

        assert(diag_new(&diag, "fuzz", "", 0) == 0);
        order = calloc(conf->n_bricks + 1, sizeof *order);
        assert(order);
        for (size_t i = 0; i < conf->n_bricks; i++)
                (void)conf_brick_options(conf, &conf->bricks[i], table, diag);
        (void)conf_brick_order(conf, order, diag);
        if (diag_count(diag) > 0)
                tell(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(conf_freep) struct conf *conf = NULL, *again = NULL;
        _cleanup_free_ char *printed = NULL, *reprinted = NULL;
        size_t length, relength;

        assert(setenv("VAR", "va$lue", 1) == 0);
        assert(setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1) == 0);

        conf = parse((const char *)data, size);
        if (!conf)
                return 0;
        printed = print(conf, &length);
        again = parse(printed, length);
        assert(again);
        reprinted = print(again, &relength);
        assert(length == relength && memcmp(printed, reprinted, length) == 0);
        check_bricks(again);
        return 0;
}
