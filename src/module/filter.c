/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "module/entry.h"
#include "module/filter.h"
#include "module/instance.h"
#include "util/utf8.h"

/* What the caller has for a struct brick_filter. */
struct filter {
        struct instance *guard;
        struct brick_filter *own; /* the guard's */
        uint64_t length;          /* bytes pushed */
        uint64_t settled;
        bool over; /* it has had its last piece, or failed */
};

static struct filter *filter_of(struct brick_filter *filter)
{
        return (struct filter *)filter;
}

/* A function of the guard has returned r: 0, or a negative errno. */
static int checked(const struct filter *filter, int r)
{
        if (r > 0)
                instance_blame(filter->guard,
                               "returned a positive number from filter_open() or filter_push()");
        return r > 0 ? -EBADMSG : r;
}

int filter_abi_open(struct brick_target *target, struct brick_filter **ret)
{
        struct instance *guard = target->instance;
        struct filter *filter;
        struct entry entry;
        int r;

        if (!guard->brick->filter_open || guard->type != BRICK_TYPE_GUARD)
                return -ENOSYS;
        filter = calloc(1, sizeof *filter);
        if (!filter)
                return -ENOMEM;
        filter->guard = guard;
        entry_begin(&entry, guard);
        r = guard->brick->filter_open(guard->self, &filter->own);
        (void)entry_end(&entry, guard);
        r = checked(filter, r);
        if (r < 0) {
                free(filter);
                return r;
        }
        *ret = (struct brick_filter *)filter;
        return 0;
}

static bool is_name(struct brick_str text)
{
        return text.len == 0 || (text.ptr && utf8_valid(text.ptr, text.len));
}

/* What is wrong with the findings of one push; NULL: nothing. */
static const char *findings_fault(const struct filter *filter, const struct brick_judgement *said)
{
        uint64_t last = filter->settled;

        if (said->n_findings > 0 && !said->findings)
                return "found something in a text, but did not say what";
        for (size_t i = 0; i < said->n_findings; i++) {
                const struct brick_finding *finding = &said->findings[i];

                if (finding->start >= finding->end || finding->end > filter->length)
                        return "found something outside the text that it had";
                if (finding->start < last)
                        return "found something before what it had settled or found before";
                if (!(finding->score >= 0 && finding->score <= 1) || finding->is_attack > 1)
                        return "found something with a score that is not from 0 to 1";
                if (!is_name(finding->rule) || !is_name(finding->category))
                        return "found something by a rule whose name is not UTF-8";
                last = finding->start;
        }
        return NULL;
}

static const char *judgement_fault(const struct filter *filter, const struct brick_judgement *said)
{
        if (said->settled < filter->settled || said->settled > filter->length)
                return "settled more of a text than it had, or less than before";
        if (said->is_attack > 1)
                return "judged a text, but said neither 0 nor 1";
        return findings_fault(filter, said);
}

/* The guard judges one piece; 0: *said can be relied on. */
static int judge(struct filter *filter, struct brick_str text, bool is_last,
                 struct brick_judgement *said)
{
        struct instance *guard = filter->guard;
        const char *fault;
        struct entry entry;
        int r;

        entry_begin(&entry, guard);
        r = guard->brick->filter_push(filter->own, text, is_last, said);
        (void)entry_end(&entry, guard);
        r = checked(filter, r);
        if (r < 0)
                return r;
        fault = judgement_fault(filter, said);
        if (is_last)
                said->settled = filter->length;
        if (fault)
                instance_blame(guard, fault);
        return fault ? -EBADMSG : 0;
}

int filter_abi_push(struct brick_target *target, struct brick_filter *handle, struct brick_str text,
                    uint32_t is_last, struct brick_judgement *ret)
{
        struct filter *filter = filter_of(handle);
        struct brick_judgement said = { .struct_size = sizeof said, .settled = filter->settled };
        uint32_t size = ret->struct_size;
        int r;

        if (filter->over)
                return -EINVAL;
        filter->length += text.len;
        r = judge(filter, text, is_last, &said);
        filter->over = r < 0 || is_last;
        if (r < 0)
                return r;
        filter->settled = said.settled;
        said.struct_size = size;
        memcpy(ret, &said, size < sizeof said ? size : sizeof said);
        return 0;
}

void filter_abi_close(struct brick_target *target, struct brick_filter *handle)
{
        struct filter *filter = filter_of(handle);
        struct entry entry;

        if (!filter)
                return;
        entry_begin(&entry, filter->guard);
        filter->guard->brick->filter_close(filter->own);
        (void)entry_end(&entry, filter->guard);
        free(filter);
}
