/* SPDX-License-Identifier: MIT */
#include "workspace.h"

#include <pthread.h>
#include <stdlib.h>

#define STEPS_MAX 10000       /* of backtracking from one starting point */
#define HEAP_MAX 4096         /* KiB, of PCRE2's interpreter */
#define STACK_MIN (32 * 1024) /* of JIT code */
#define STACK_MAX (512 * 1024)

static pthread_once_t workspace_once = PTHREAD_ONCE_INIT;
static pthread_key_t workspace_key;
static int workspace_key_error;

static void workspace_free(void *p)
{
        struct workspace *w = p;

        if (!w)
                return;
        pcre2_match_data_free(w->data);
        pcre2_match_context_free(w->context);
        pcre2_jit_stack_free(w->stack);
        free(w);
}

static void workspace_key_new(void)
{
        workspace_key_error = pthread_key_create(&workspace_key, workspace_free);
}

static struct workspace *workspace_new(void)
{
        struct workspace *w = calloc(1, sizeof *w);

        if (!w)
                return NULL;
        w->data = pcre2_match_data_create(1, NULL);
        w->context = pcre2_match_context_create(NULL);
        w->stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, NULL);
        if (!w->data || !w->context || !w->stack || pthread_setspecific(workspace_key, w) != 0) {
                workspace_free(w);
                return NULL;
        }
        pcre2_set_match_limit(w->context, STEPS_MAX);
        pcre2_set_depth_limit(w->context, STEPS_MAX);
        pcre2_set_heap_limit(w->context, HEAP_MAX);
        pcre2_jit_stack_assign(w->context, NULL, w->stack);
        return w;
}

struct workspace *workspace_get(void)
{
        struct workspace *w;

        pthread_once(&workspace_once, workspace_key_new);
        if (workspace_key_error != 0)
                return NULL;
        w = pthread_getspecific(workspace_key);
        return w ? w : workspace_new();
}
