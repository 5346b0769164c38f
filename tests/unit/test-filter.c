/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "fake-pair.h"
#include "module/entry.h"
#include "module/filter.h"
#include "module/load.h"

/* Texts judged in pieces: what a guard says is passed on if it can be true. */

static int result;
static struct brick_judgement next; /* what the guard says */
static unsigned opened, closed, pushed;
static char own; /* the guard's filter points to it */

static int guard_open(struct brick_instance *self, struct brick_filter **ret)
{
        assert(strcmp(entry_current()->name, "callee") == 0);
        opened++;
        *ret = (struct brick_filter *)(void *)&own;
        return result;
}

static int guard_push(struct brick_filter *filter, struct brick_str text, uint32_t is_last,
                      struct brick_judgement *ret)
{
        assert((void *)filter == &own && ret->struct_size == sizeof *ret);
        pushed++;
        next.struct_size = ret->struct_size;
        *ret = next;
        return result;
}

static void guard_close(struct brick_filter *filter)
{
        assert((void *)filter == &own);
        closed++;
}

static const struct brick_module guard_brick = {
        .filter_open = guard_open,
        .filter_push = guard_push,
        .filter_close = guard_close,
};

static struct brick_target *const target = &callee.as_target;

/* One push of 4 bytes on top of what there was. */
static int push(struct brick_filter *filter, struct brick_judgement said, bool is_last,
                struct brick_judgement *ret)
{
        next = said;
        *ret = (struct brick_judgement){ .struct_size = sizeof *ret };
        return filter_abi_push(target, filter, brick_str("abcd"), is_last, ret);
}

static void test_judge(void)
{
        const struct brick_finding found[] = {
                { .start = 1, .end = 4, .rule = brick_str("rule"), .score = 1, .is_attack = 1 },
                { .start = 1, .end = 2, .score = 0.5 },
        };
        struct brick_judgement said, old = { .struct_size = 8 };
        struct brick_filter *filter;

        assert(filter_abi_open(target, &filter) == 0 && opened == 1);
        assert(push(filter, (struct brick_judgement){ .settled = 1 }, false, &said) == 0);
        assert(said.settled == 1 && said.n_findings == 0 && said.struct_size == sizeof said);
        assert(push(filter,
                    (struct brick_judgement){
                            .settled = 4, .findings = found, .n_findings = 2, .is_attack = 1 },
                    false, &said) == 0);
        assert(said.settled == 4 && said.findings == found && said.n_findings == 2);
        assert(said.is_attack == 1);
        next = (struct brick_judgement){ .settled = 4, .is_attack = 1 };
        assert(filter_abi_push(target, filter, brick_str(""), 0, &old) == 0); /* an older struct */
        assert(old.is_attack == 1 && old.settled == 0);
        assert(push(filter, (struct brick_judgement){ .settled = 4 }, true, &said) == 0);
        assert(said.settled == 12); /* all of it */
        assert(push(filter, said, true, &said) == -EINVAL && pushed == 4);
        filter_abi_close(target, filter);
        filter_abi_close(target, NULL);
        assert(closed == 1);
}

/* After 4 bytes, of which 2 are settled, 4 more. */
static void expect_nonsense(struct brick_judgement said)
{
        struct brick_judgement ret;
        struct brick_filter *filter;

        assert(filter_abi_open(target, &filter) == 0);
        assert(push(filter, (struct brick_judgement){ .settled = 2 }, false, &ret) == 0);
        assert(push(filter, said, false, &ret) == -EBADMSG);
        assert(ret.settled == 0 && !ret.findings);
        assert(push(filter, (struct brick_judgement){ .settled = 2 }, false, &ret) == -EINVAL);
        filter_abi_close(target, filter);
}

static void expect_nonsense_found(struct brick_finding first, struct brick_finding second)
{
        const struct brick_finding found[] = { first, second };

        expect_nonsense((struct brick_judgement){
                .settled = 2, .findings = found, .n_findings = ELEMENTSOF(found) });
}

static void test_nonsense(void)
{
        const struct brick_finding good = { .start = 3, .end = 8, .score = 0.5 };
        struct brick_finding bad = good;

        expect_nonsense((struct brick_judgement){ .settled = 1 });
        expect_nonsense((struct brick_judgement){ .settled = 9 });
        expect_nonsense((struct brick_judgement){ .settled = UINT64_MAX });
        expect_nonsense((struct brick_judgement){ .settled = 2, .is_attack = 2 });
        expect_nonsense((struct brick_judgement){ .settled = 2, .n_findings = 1 });
        bad.end = 9;
        expect_nonsense_found(good, bad);
        bad.end = 3;
        expect_nonsense_found(good, bad);
        bad.start = 2; /* before the one it follows */
        expect_nonsense_found(good, bad);
        bad.start = 1; /* and this one before what was settled */
        expect_nonsense_found(bad, good);
        bad = good;
        bad.score = (double)NAN;
        expect_nonsense_found(good, bad);
        bad.score = 1.5;
        expect_nonsense_found(good, bad);
        bad = good;
        bad.is_attack = 7;
        expect_nonsense_found(good, bad);
        bad = good;
        bad.rule = brick_str("\xff");
        expect_nonsense_found(good, bad);
        bad.rule = (struct brick_str){ NULL, 3 };
        expect_nonsense_found(good, bad);
}

static void test_errors(void)
{
        struct brick_judgement said;
        struct brick_filter *filter;

        callee.type = BRICK_TYPE_COMMON; /* of a module of any type */
        assert(filter_abi_open(target, &filter) == -ENOSYS);
        callee.type = BRICK_TYPE_GUARD;
        callee.brick = &callee_brick;
        assert(filter_abi_open(target, &filter) == -ENOSYS);
        callee.brick = &guard_brick;
        result = -ENOMEM;
        assert(filter_abi_open(target, &filter) == -ENOMEM);
        result = 1;
        assert(filter_abi_open(target, &filter) == -EBADMSG);
        for (int r = -1; r <= 1; r += 2) {
                result = 0;
                assert(filter_abi_open(target, &filter) == 0);
                result = r * EIO;
                assert(push(filter, (struct brick_judgement){}, false, &said) ==
                       (r < 0 ? -EIO : -EBADMSG));
                result = 0;
                assert(push(filter, (struct brick_judgement){}, false, &said) == -EINVAL);
                filter_abi_close(target, filter);
        }
}

int main(void)
{
        callee.type = BRICK_TYPE_GUARD;
        callee.brick = &guard_brick;
        test_judge();
        test_nonsense();
        test_errors();
        return 0;
}
