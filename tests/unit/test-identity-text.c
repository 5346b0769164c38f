/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "shared/identities.h"

#define LENGTH 1000

static struct identity_text *ours, *theirs;

static void reads(const char *expected)
{
        _cleanup_free_ char *text = NULL;
        size_t length;

        assert(identity_text_read(theirs, &text, &length) == 0);
        assert(length == strlen(expected) && strcmp(text, expected) == 0);
        assert(!identity_text_changed(theirs));
}

static void test_changes(void)
{
        char longest[LENGTH + 1] = "";

        reads("");
        assert(identity_text_set(ours, "identities: []", strlen("identities: []")) == 0);
        assert(identity_text_changed(theirs));
        reads("identities: []");
        assert(identity_text_set(ours, NULL, 0) == 0);
        assert(identity_text_changed(theirs));
        reads("");
        memset(longest, 'x', LENGTH);
        assert(identity_text_set(ours, longest, LENGTH) == 0);
        reads(longest);
        assert(identity_text_set(ours, longest, LENGTH + 1) == -EFBIG);
        assert(!identity_text_changed(theirs));
        reads(longest);
}

static atomic_bool stop;

static void *write_all_the_time(void *unused)
{
        char text[LENGTH];

        for (unsigned i = 0; !atomic_load(&stop); i++) {
                memset(text, 'a' + i % 26, sizeof text);
                assert(identity_text_set(ours, text, 1 + i % LENGTH) == 0);
        }
        return NULL;
}

/* Half of one text and half of another is none. */
static void test_while_it_changes(void)
{
        pthread_t thread;
        int n = 0;

        assert(pthread_create(&thread, NULL, write_all_the_time, NULL) == 0);
        for (int i = 0; n < 100 && i < 100000; i++) {
                _cleanup_free_ char *text = NULL;
                size_t length;
                int r = identity_text_read(theirs, &text, &length);

                assert(r == 0 || r == -EAGAIN);
                for (size_t k = 1; r == 0 && k < length; k++)
                        assert(text[k] == text[0]);
                n += r == 0;
        }
        atomic_store(&stop, true);
        assert(pthread_join(thread, NULL) == 0);
        assert(n > 0);
}

int main(void)
{
        assert(identity_text_new(&ours, LENGTH) == 0);
        assert(identity_text_open(&theirs, identity_text_fd(ours)) == 0);
        test_changes();
        test_while_it_changes();
        ours = identity_text_free(ours);
        theirs = identity_text_free(theirs);
        return 0;
}
