/* SPDX-License-Identifier: MIT */

/*
 * A brick of any type that plays a part, for the tests of pipelines.
 *
 * LLM, Translate   the prompt again, in pieces of `piece` bytes and with `delay` before each
 * Rectify          the text in capitals
 * Intention        the text's first word
 * Guard            blames a text that has the word `word`; built with FILTER it also judges in
 *                  pieces, and finds each `word` (category `words`, rule `rule`)
 * Retrieval        a document for each word of the query
 * Compose          { text: the titles of the documents }
 * Common           the data again
 *
 * A text with `fails` in it makes any of them fail, with in-band error 503; with `late` in it, a
 * stream fails after its second piece.
 */

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brick-sdk.h"

#define NS UINT64_C(1000000000)

struct brick_instance {
        uint32_t type;
        size_t piece;
        uint64_t delay;
        bool silent;
        char *word;
        char *fails;
};

struct brick_filter {
        const struct brick_instance *self;
        char *text;    /* from `base` on */
        uint64_t base; /* its offset in the whole text */
        size_t length;
        struct brick_finding *findings;
        size_t n;
};

static bool pause_call(struct brick_call *call, uint64_t ns)
{
        const struct timespec slice = { .tv_nsec = 2000000 };
        struct timespec ts;
        uint64_t end;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        end = (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec + ns;
        while (ns > 0 && !brick_host->call_cancelled(call)) {
                (void)clock_gettime(CLOCK_MONOTONIC, &ts);
                if ((uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec >= end)
                        break;
                (void)nanosleep(&slice, NULL);
        }
        return !brick_host->call_cancelled(call);
}

static size_t piece_end(const char *text, size_t length, size_t at, size_t piece)
{
        size_t end = at + piece < length ? at + piece : length;

        while (end < length && ((unsigned char)text[end] & 0xc0) == 0x80)
                end++;
        return end;
}

static int send_piece(struct brick_instance *self, struct brick_call *call, char *text, bool last)
{
        size_t mark = brick_mark(call);
        int r;

        if (self->type == BRICK_TYPE_LLM) {
                LLMResponse *reply = BRICK_NEW(call, LLMResponse);

                reply->text = text;
                reply->is_final = last;
                r = brick_send(call, &reply->base);
        } else {
                TranslateResponse *reply = BRICK_NEW(call, TranslateResponse);

                reply->text = text;
                reply->is_final = last;
                r = brick_send(call, &reply->base);
        }
        brick_rewind(call, mark);
        return r;
}

static int stream(struct brick_instance *self, struct brick_call *call, const char *text)
{
        bool late = strstr(text, "late");
        size_t length = strlen(text), n = 0;
        int r = 0;

        for (size_t at = 0, end; r == 0 && at < length; at = end, n++) {
                char *piece;

                end = piece_end(text, length, at, self->piece);
                piece = strndup(text + at, end - at);
                if (!pause_call(call, self->delay))
                        r = -ECANCELED;
                else if (late && n == 2)
                        r = brick_fail(call, 503, "late", NULL);
                else
                        r = send_piece(self, call, piece, end == length);
                free(piece);
        }
        return r;
}

static char *upper(struct brick_call *call, const char *text)
{
        char *copy = brick_strndup(call, text, strlen(text));

        for (char *p = copy; p && *p; p++)
                *p = (char)toupper((unsigned char)*p);
        return copy;
}

static int find(struct brick_call *call, const char *query, RetrievalResponse *response)
{
        char *copy = brick_strndup(call, query, strlen(query)), *save = NULL;

        for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
                RetrievalDocument *document = brick_add(call, response, documents);

                if (!document)
                        return -ENOMEM;
                document->doc_id = document->title = document->snippet = word;
        }
        return 0;
}

static int compose(struct brick_call *call, const ComposeRequest *request,
                   ComposeResponse *response)
{
        struct brick_text text = BRICK_TEXT(call);

        for (size_t i = 0; i < request->n_input_documents; i++)
                brick_text_printf(&text, "%s%s", i > 0 ? "," : "",
                                  request->input_documents[i]->title);
        return brick_struct_add_string(call, response->output, "text", brick_text_end(&text));
}

static void judge(struct brick_instance *self, struct brick_call *call, const char *text,
                  GuardResponse *response)
{
        GuardResult *result = brick_add(call, response, results);

        result->is_attack = strstr(text, self->word) != NULL;
        result->confidence = result->is_attack;
        result->detail = (char *)(result->is_attack ? "words: rule" : "");
}

/* The text of a request, whatever it is called. */
static const char *text_of(const ProtobufCMessage *request)
{
        static const char *const names[] = { "text", "prompt", "query" };

        for (size_t i = 0; i < 3; i++) {
                const ProtobufCFieldDescriptor *field =
                        protobuf_c_message_descriptor_get_field_by_name(request->descriptor,
                                                                        names[i]);

                if (field)
                        return *(char **)(void *)((char *)request + field->offset);
        }
        return "";
}

static int act(struct brick_instance *self, struct brick_call *call, void *request, void *response)
{
        const char *text = text_of(request);

        switch (self->type) {
        case BRICK_TYPE_LLM:
                ((LLMResponse *)response)->text = (char *)text;
                ((LLMResponse *)response)->is_final = 1;
                return 0;
        case BRICK_TYPE_TRANSLATE:
                ((TranslateResponse *)response)->text = (char *)text;
                return 0;
        case BRICK_TYPE_RECTIFY:
                ((RectifyResponse *)response)->corrected_text = upper(call, text);
                return 0;
        case BRICK_TYPE_INTENTION: {
                IntentionResult *result = brick_add(call, (IntentionResponse *)response, results);

                result->intent_category = brick_strndup(call, text, strcspn(text, " "));
                result->confidence = 0.9F;
                return 0;
        }
        case BRICK_TYPE_GUARD:
                judge(self, call, text, response);
                return 0;
        case BRICK_TYPE_RETRIEVAL:
                return find(call, text, response);
        case BRICK_TYPE_COMPOSE:
                return compose(call, request, response);
        default:
                ((CommonResponse *)response)->data = ((CommonRequest *)request)->data;
                return 0;
        }
}

static int actor_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        bool streams = method == BRICK_METHOD_OUTPUT_STREAMING;
        void *request, *response;
        const char *text;
        int r;

        if (method == BRICK_METHOD_SERVICE_INFO && !self->silent)
                return -ENOSYS;
        if (method == BRICK_METHOD_SERVICE_INFO) {
                (void)pause_call(call, INT64_MAX);
                brick_host->call_finish(call, 1, brick_str(NULL));
                return 0;
        }
        r = brick_begin(call, self->type, &request, streams ? NULL : &response);
        if (r < 0)
                return r;
        text = text_of(request);
        if (self->fails[0] && strstr(text, self->fails)) {
                (void)brick_fail(call, 503, "fails", "on purpose");
                return 0;
        }
        if (streams) {
                r = stream(self, call, text);
                brick_end(call, r == -ECANCELED ? 0 : r, NULL);
                return 0;
        }
        if (!pause_call(call, self->delay)) {
                brick_host->call_finish(call, 1, brick_str(NULL));
                return 0;
        }
        brick_end(call, act(self, call, request, response), response);
        return 0;
}

static int actor_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        brick_sdk_init(host);
        if (!self)
                return -ENOMEM;
        self->type = host->type(ctx);
        self->piece = (size_t)host->node_int(host->node_get(config, "piece"));
        self->delay = (uint64_t)host->node_int(host->node_get(config, "delay"));
        if (host->node_int(host->node_get(config, "ill")))
                host->set_health(ctx, 0, brick_str("ill"));
        self->silent = host->node_int(host->node_get(config, "silent")) != 0;
        r = brick_option_string(config, "word", &self->word);
        if (r == 0)
                r = brick_option_string(config, "fails", &self->fails);
        *ret = self;
        return r;
}

static void actor_destroy(struct brick_instance *self)
{
        free(self->word);
        free(self->fails);
        free(self);
}

#ifdef FILTER
static int filter_open(struct brick_instance *self, struct brick_filter **ret)
{
        *ret = calloc(1, sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        (*ret)->self = self;
        return 0;
}

/* Where the end of the text may still become the word. */
static size_t open_end(const struct brick_filter *filter)
{
        const char *word = filter->self->word;
        size_t n = strlen(word);

        for (size_t i = n - 1 < filter->length ? n - 1 : filter->length; i > 0; i--)
                if (memcmp(filter->text + filter->length - i, word, i) == 0)
                        return filter->length - i;
        return filter->length;
}

/* Only what may still become the word is kept. */
static void forget(struct brick_filter *filter, size_t upto)
{
        filter->base += upto;
        filter->length -= upto;
        memmove(filter->text, filter->text + upto, filter->length + 1);
}

static int filter_push(struct brick_filter *filter, struct brick_str text, uint32_t is_last,
                       struct brick_judgement *ret)
{
        size_t n = strlen(filter->self->word), size = filter->length + text.len;

        filter->text = realloc(filter->text, size + 1);
        filter->findings = realloc(filter->findings, (size / n + 1) * sizeof *filter->findings);
        if (text.len > 0)
                memcpy(filter->text + filter->length, text.ptr, text.len);
        filter->length = size;
        filter->text[size] = '\0';
        filter->n = 0;
        for (char *p; (p = strstr(filter->text, filter->self->word));) {
                uint64_t start = filter->base + (uint64_t)(p - filter->text);

                filter->findings[filter->n++] = (struct brick_finding){ .start = start,
                                                                        .end = start + n,
                                                                        .rule = brick_str("rule"),
                                                                        .category = brick_str(
                                                                                "words"),
                                                                        .score = 1,
                                                                        .is_attack = 1 };
                forget(filter, (size_t)(p - filter->text) + n);
        }
        forget(filter, open_end(filter));
        ret->is_attack = filter->n > 0;
        ret->findings = filter->findings;
        ret->n_findings = filter->n;
        ret->settled = filter->base + (is_last ? filter->length : 0);
        return 0;
}

static void filter_close(struct brick_filter *filter)
{
        free(filter->text);
        free(filter->findings);
        free(filter);
}
#endif

static const struct brick_option actor_options[] = {
        { .name = "type",
          .type = BRICK_ENUM,
          .flags = BRICK_OPTION_REQUIRED,
          .choices = "Common|LLM|Guard|Intention|Rectify|Retrieval|Translate|Compose",
          .summary = "type" },
        { .name = "piece",
          .type = BRICK_SIZE,
          .fallback = "4",
          .min = 1,
          .max = 65536,
          .summary = "bytes of a piece of a stream" },
        { .name = "delay", .type = BRICK_DURATION, .fallback = "0s", .summary = "before a reply" },
        { .name = "word", .type = BRICK_STRING, .fallback = "attack", .summary = "what is blamed" },
        { .name = "ill", .type = BRICK_BOOL, .fallback = "false", .summary = "not healthy" },
        { .name = "silent",
          .type = BRICK_BOOL,
          .fallback = "false",
          .summary = "GetServiceInfo has no answer" },
        { .name = "fails", .type = BRICK_STRING, .fallback = "", .summary = "what fails" },
        {},
};

BRICK_MODULE(.type = BRICK_TYPE_ANY, .flags = BRICK_FLAG_BLOCKING, .host_minor = 3,
             .methods = 1u << BRICK_METHOD_SERVICE_INFO | 1u << BRICK_METHOD_UNARY |
                        1u << BRICK_METHOD_OUTPUT_STREAMING,
             .name = "actor", .version = "1.0", .summary = "plays a part", .options = actor_options,
             .create = actor_create, .destroy = actor_destroy,
#ifdef FILTER
             .filter_open = filter_open, .filter_push = filter_push, .filter_close = filter_close,
#endif
             .start = actor_start);
