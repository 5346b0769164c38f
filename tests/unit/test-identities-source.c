/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "manager/identities.h"

#define LIMIT_USEC (20 * UINT64_C(1000000))
#define NOBODY "identities: []\n"

static char directory[] = "/tmp/brickd-source-XXXXXX";
static char path[PATH_MAX];

/* Workers that cannot be told at first. */
struct workers {
        sd_event *event;
        int failures; /* that are left */
        int calls;
        char text[64]; /* that they have got */
};

static int on_changed(struct identities_source *source, void *user)
{
        struct workers *workers = user;
        size_t length;
        const char *bytes = identities_bytes(source, &length);

        workers->calls++;
        if (workers->failures-- > 0)
                return -EMFILE;
        assert(length < sizeof workers->text);
        memcpy(workers->text, bytes, length);
        workers->text[length] = '\0';
        (void)sd_event_exit(workers->event, 0);
        return 0;
}

static int on_limit(sd_event_source *source, uint64_t usec, void *user)
{
        return sd_event_exit(sd_event_source_get_event(source), 1);
}

static void put(const char *text)
{
        char new[PATH_MAX + 8];
        FILE *f;

        (void)snprintf(new, sizeof new, "%s.new", path);
        f = fopen(new, "w");
        assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
        assert(chmod(new, 0600) == 0 && rename(new, path) == 0);
}

static void run(struct workers *workers)
{
        assert(sd_event_add_time_relative(workers->event, NULL, CLOCK_MONOTONIC, LIMIT_USEC, 0,
                                          on_limit, NULL) >= 0);
        assert(sd_event_loop(workers->event) == 0);
}

/* Neither a file that cannot be read for a while nor workers that cannot be told lose a change. */
int main(void)
{
        static const char changed[] = "# changed\n" NOBODY;
        struct conf conf = { .identities = path };
        struct workers workers = { .failures = 2 };
        struct identities_source *source;
        char *why = NULL;

        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/identities.yaml", directory);
        put(NOBODY);
        assert(sd_event_new(&workers.event) >= 0);
        assert(identities_source_new(&source, &conf, workers.event, on_changed, &workers, &why) ==
               0);

        put(changed);
        run(&workers);
        assert(strcmp(workers.text, changed) == 0);
        assert(workers.calls == 3);

        (void)identities_source_free(source);
        (void)sd_event_unref(workers.event);
        assert(unlink(path) == 0 && rmdir(directory) == 0);
        return 0;
}
