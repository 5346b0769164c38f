/* SPDX-License-Identifier: MIT */

/* How good the corrections are: test-rectify-figures DATA TEXTS... Needs codespell, and hunspell's
 * dictionaries en_US and de_DE; skips without. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rectify-host.h"

#define PRECISION_PERCENT 95
#define RECALL_PERCENT 60
#define SKIP 77

struct figures {
        size_t right, wrong, missed; /* corrections */
        size_t texts, exact;
};

/* Words that have been changed rightly or wrongly, or not; a Chinese text is one word. */
static void count(struct figures *f, char *before, char *want, char *after)
{
        char *a, *b, *c;

        while ((a = strsep(&before, " ")) && (b = strsep(&want, " ")) &&
               (c = strsep(&after, " "))) {
                f->right += strcmp(a, b) != 0 && strcmp(b, c) == 0;
                f->missed += strcmp(a, b) != 0 && strcmp(a, c) == 0;
                f->wrong += strcmp(a, c) != 0 && strcmp(b, c) != 0;
        }
}

static void judge(struct fake_host *host, const char *language, char *text, char *want,
                  struct figures *f)
{
        struct fake_call *call = call_of(host, text, strcmp(language, "-") == 0 ? "" : language);
        char *after;

        check(fake_call_run(call) == 0);
        after = strdup(corrected(call));
        check(after);
        f->texts++;
        if (strcmp(after, want) == 0)
                f->exact++;
        else
                printf("%s\n  became %s\n  not    %s\n", text, after, want);
        count(f, text, want, after);
        free(after);
        fake_call_free(call);
}

static bool installed(const char *path)
{
        if (access(path, R_OK) == 0)
                return true;
        printf("%s is missing\n", path);
        return false;
}

static void judge_file(struct fake_host *host, const char *path)
{
        struct figures f = { 0 };
        FILE *file = fopen(path, "r");
        char line[1024];

        check(file);
        while (fgets(line, sizeof line, file)) {
                char *rest = line, *language = strsep(&rest, "\t"), *text = strsep(&rest, "\t");

                if (language[0] == '#' || !rest)
                        continue;
                rest[strcspn(rest, "\n")] = '\0';
                judge(host, language, text, rest, &f);
        }
        (void)fclose(file);
        printf("%s: %zu texts, %zu as expected; corrections: %zu right, %zu wrong, %zu missed\n",
               path, f.texts, f.exact, f.right, f.wrong, f.missed);
        check(f.right * 100 >= (f.right + f.wrong) * PRECISION_PERCENT);
        check(f.right * 100 >= (f.right + f.missed) * RECALL_PERCENT);
}

int main(int argc, char **argv)
{
        struct fake_host *host;

        setvbuf(stdout, NULL, _IOLBF, 0);
        check(argc > 2 && setenv("BRICKD_DATA", argv[1], true) == 0);
        if (!installed("/usr/lib/python3/dist-packages/codespell_lib/data/dictionary.txt") ||
            !installed("/usr/share/hunspell/en_US.dic") ||
            !installed("/usr/share/hunspell/de_DE.dic"))
                return SKIP;
        host = host_of("{ dictionaries: [en_US, de_DE] }");
        for (int i = 2; i < argc; i++)
                judge_file(host, argv[i]);
        fake_host_free(host);
        return 0;
}
