/* SPDX-License-Identifier: MIT */

#include "chat.h"

#include <errno.h>
#include <string.h>

/* Whether there is something in a string or a list. */
static bool is_filled(struct scan value)
{
        return value.p && (*value.p == '"' || *value.p == '[') && value.end - value.p > 2;
}

/* What is wanted of a message or of a delta. */
enum content {
        CONTENT,
        REFUSAL,
        REASONING_CONTENT,
        REASONING,
        REASONING_DETAILS,
        TOOL_CALLS,
        FUNCTION_CALL,
        CONTENTS,
};

/* What is wanted of an answer, and where the scanner puts it. */
enum {
        CHOICES,
        ERROR,
        MODEL,
        USAGE,
        BASE_RESP,
        CHOICE, /* of the first choice: */
        DELTA = CHOICE,
        MESSAGE,
        TEXT,
        FINISH_REASON,
        CHOICE_ERROR,
        CHOICE_USAGE, /* Moonshot's */
        OF_DELTA,     /* by enum content, as those of the message */
        OF_MESSAGE = OF_DELTA + CONTENTS,
        VALUES = OF_MESSAGE + CONTENTS,
};

static const struct scan_name contents[CONTENTS] = {
        [CONTENT] = SCAN_NAME("content"),
        [REFUSAL] = SCAN_NAME("refusal"),
        [REASONING_CONTENT] = SCAN_NAME("reasoning_content"),
        [REASONING] = SCAN_NAME("reasoning"),
        [REASONING_DETAILS] = SCAN_NAME("reasoning_details"),
        [TOOL_CALLS] = SCAN_NAME("tool_calls"),
        [FUNCTION_CALL] = SCAN_NAME("function_call"),
};
static const struct scan_table of_delta = { contents, CONTENTS, OF_DELTA };
static const struct scan_table of_message = { contents, CONTENTS, OF_MESSAGE };

static const struct scan_name of_choice_names[] = {
        [DELTA - CHOICE] = SCAN_NAME_WITH("delta", &of_delta),
        [MESSAGE - CHOICE] = SCAN_NAME_WITH("message", &of_message),
        [TEXT - CHOICE] = SCAN_NAME("text"),
        [FINISH_REASON - CHOICE] = SCAN_NAME("finish_reason"),
        [CHOICE_ERROR - CHOICE] = SCAN_NAME("error"),
        [CHOICE_USAGE - CHOICE] = SCAN_NAME("usage"),
};
static const struct scan_table of_choice = { of_choice_names, OF_DELTA - CHOICE, CHOICE };

static const struct scan_name of_answer_names[] = {
        [CHOICES] = SCAN_NAME_WITH("choices", &of_choice),
        [ERROR] = SCAN_NAME("error"),
        [MODEL] = SCAN_NAME("model"),
        [USAGE] = SCAN_NAME("usage"),
        [BASE_RESP] = SCAN_NAME("base_resp"),
};
static const struct scan_table of_answer = { of_answer_names, CHOICE, 0 };

/* Adds the texts of a list of parts. */
static int add_parts(struct chat_answer *answer, struct scan list)
{
        static const struct scan_name names[] = { SCAN_NAME("text"), SCAN_NAME("refusal"),
                                                  SCAN_NAME("thinking") };
        struct scan part, fields[3];
        int r = 0;

        for (part = scan_first(list); part.p && r == 0; part = scan_next(list, part)) {
                scan_members(part, names, 3, fields);
                r = text_add(&answer->text, fields[0]);
                if (r == 0)
                        r = text_add(&answer->text, fields[1]);
                answer->is_working |= is_filled(fields[2]);
        }
        return r;
}

/* Adds the content of a message or of a delta: a text, or the texts in a list of parts. A refusal
 * replaces it. fields: by enum content. */
static int add_content(struct chat_answer *answer, const struct scan *fields)
{
        int r;

        answer->is_working |= is_filled(fields[REASONING_CONTENT]) ||
                              is_filled(fields[REASONING]) ||
                              is_filled(fields[REASONING_DETAILS]) ||
                              is_filled(fields[TOOL_CALLS]) ||
                              scan_is_object(fields[FUNCTION_CALL]);
        r = text_add(&answer->text, fields[CONTENT]);
        if (r == 0)
                r = add_parts(answer, fields[CONTENT]);
        return r == 0 ? text_add(&answer->text, fields[REFUSAL]) : r;
}

/* A positive integer. 0: the value is none. */
static int64_t to_int(struct scan value)
{
        double number = scan_number(value);

        return number > 0 && number < 0x1p53 ? (int64_t)number : 0;
}

static void take_usage(struct chat_answer *answer, struct scan usage)
{
        if (!scan_is_object(usage))
                return;
        answer->has_usage = true;
        answer->prompt_tokens = to_int(scan_member(usage, "prompt_tokens"));
        answer->completion_tokens = to_int(scan_member(usage, "completion_tokens"));
        answer->total_tokens = to_int(scan_member(usage, "total_tokens"));
}

static bool is_null(struct scan value)
{
        return !value.p || *value.p == 'n';
}

static bool take_finish_reason(struct chat_answer *answer, struct scan value)
{
        char reason[sizeof answer->finish_reason];

        if (!is_filled(value) || !text_copy(reason, sizeof reason, value) ||
            strcmp(reason, "null") == 0)
                return false;
        memcpy(answer->finish_reason, reason, sizeof reason);
        return true;
}

/* values: of the answer. */
static int take_choice(struct chat_answer *answer, const struct scan *values,
                       struct failure *failure)
{
        int r = 0;

        if (!is_null(values[CHOICE_ERROR])) {
                failure_from_document(failure, scan_first(values[CHOICES]));
                return -EBADMSG;
        }
        if (take_finish_reason(answer, values[FINISH_REASON]) &&
            failure_from_finish(failure, answer->finish_reason))
                return -EBADMSG;
        answer->has_choice |= answer->finish_reason[0] || scan_is_object(values[DELTA]) ||
                              scan_is_object(values[MESSAGE]) || scan_is_string(values[TEXT]);
        if (scan_is_object(values[DELTA])) {
                r = add_content(answer, &values[OF_DELTA]);
                answer->in_pieces |= answer->text.n > 0;
        } else if (!answer->in_pieces) {
                r = scan_is_object(values[MESSAGE]) ? add_content(answer, &values[OF_MESSAGE])
                                                    : text_add(&answer->text, values[TEXT]);
                answer->is_whole |= scan_is_object(values[MESSAGE]) && !values[FINISH_REASON].p;
        }
        answer->is_working |= answer->text.n > 0;
        return r;
}

static int take_object(struct chat_answer *answer, struct scan object, struct failure *failure)
{
        struct scan values[VALUES];
        bool has_choices;

        if (scan_table(object, &of_answer, values, VALUES) != object.end)
                return -EINVAL;
        has_choices = scan_has_items(values[CHOICES]);
        if ((!has_choices || values[ERROR].p || values[BASE_RESP].p) &&
            failure_is_in(object, has_choices)) {
                failure_from_document(failure, object);
                return -EBADMSG;
        }
        if (!answer->model[0])
                (void)text_copy(answer->model, sizeof answer->model, values[MODEL]);
        take_usage(answer, values[USAGE].p ? values[USAGE] : values[CHOICE_USAGE]);
        return take_choice(answer, values, failure);
}

static int take_list(struct chat_answer *answer, const char *json, size_t size,
                     struct failure *failure)
{
        struct scan list;
        int r = 0;

        if (!scan_document(json, size, &list))
                return -EINVAL;
        for (struct scan item = scan_first(list); item.p && r == 0; item = scan_next(list, item))
                if (scan_is_object(item))
                        r = take_object(answer, item, failure);
        return r;
}

int chat_take(struct chat_answer *answer, const char *json, size_t size, struct failure *failure)
{
        if (size > 0 && *json == '[')
                return take_list(answer, json, size, failure);
        return take_object(answer, (struct scan){ json, json + size }, failure);
}

void chat_answer_done(struct chat_answer *answer)
{
        text_done(&answer->text);
        *answer = (struct chat_answer){};
}
