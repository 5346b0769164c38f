/* SPDX-License-Identifier: MIT */

/* translate-opencc: between the written varieties of Chinese. See README.md. */

#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"
#include "convert.h"

#define VERSION "1.0"
#define PIECE_MIN 4096 /* of a unary call, between two looks at whether it is cancelled */
#define TAG_MAX 35     /* bytes of a language tag that an error repeats */
#define TRAILER "x-source-language"

struct brick_instance {
        struct brick_ctx *ctx;
        struct converter *converter;
        enum variety source, target; /* where a request does not say; VARIETY_UNKNOWN: none */
        enum variety traditional;
        bool words;
        bool own;     /* the option `model` is a file */
        size_t model; /* the option `model`; MODELS: none */
};

/* A call's text, what is made of it, and the names for the reply. */
struct job {
        struct conversion conversion;
        const char *rest;
        size_t length;
        const char *language;
};

/* ---- what a request asks for ---------------------------------------------------------------- */

/* A tag as an error may repeat it: "'en'", or what stands for it. */
static const char *quoted(struct brick_call *call, const char *tag)
{
        size_t n = strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
        char *text = tag[n] || n > TAG_MAX ? NULL : brick_printf(call, "'%s'", tag);

        return text ? text : "this language";
}

static const char served[] =
        "This brick translates between zh-Hans (zh-CN), zh-Hant, zh-TW and zh-HK.";

static int refuse_language(struct brick_call *call, const char *which, const char *tag)
{
        return brick_failf(call, BRICK_E_PARAMETER_INVALID, served, "Cannot translate %s %s", which,
                           quoted(call, tag));
}

/* The varieties that the request names, VARIETY_UNKNOWN where it does not, and whether it names a
 * target at all. */
static int read_languages(struct brick_instance *self, struct brick_call *call,
                          const TranslateRequest *request, enum variety *source,
                          enum variety *target)
{
        *source = self->source;
        *target = self->target;
        if (*request->source_language && !variety_read(request->source_language, source))
                return refuse_language(call, "from", request->source_language);
        if (*request->target_language && !variety_read(request->target_language, target))
                return refuse_language(call, "into", request->target_language);
        return 0;
}

static int detect(struct brick_instance *self, struct brick_call *call, const char *text,
                  enum variety *source)
{
        if (*source != VARIETY_UNKNOWN)
                return 0;
        if (!converter_detect(self->converter, text, strlen(text), source))
                return brick_fail(call, BRICK_E_PARAMETER_INVALID, "The text is not in Chinese",
                                  served);
        if (*source == VARIETY_HANT)
                *source = self->traditional;
        return 0;
}

/* By a model that the request or the option names. */
static int use_model(struct brick_instance *self, struct brick_call *call, size_t index,
                     enum variety target, struct job *job)
{
        const struct model *model = &models[index];

        if (target != VARIETY_UNKNOWN && target != model->to)
                return brick_failf(call, BRICK_E_PARAMETER_INVALID, NULL,
                                   "The model %s translates into %s, not into %s", model->name,
                                   variety_tag(model->to), variety_tag(target));
        job->conversion = (struct conversion){ self->converter, false, { index }, 1 };
        job->language = variety_tag(model->to);
        return 0;
}

static int use_languages(struct brick_instance *self, struct brick_call *call, enum variety source,
                         enum variety target, struct job *job)
{
        struct conversion *conversion = &job->conversion;
        int r;

        if (target == VARIETY_UNKNOWN)
                return brick_fail(call, BRICK_E_PARAMETER_MISSING,
                                  "Into which Chinese? Set target_language", served);
        r = detect(self, call, job->rest, &source);
        if (r != 0)
                return r;
        conversion->n = model_route(source, target, self->words, conversion->route);
        job->language = variety_tag(target);
        (void)brick_host->call_trailer(call, brick_str(TRAILER), brick_str(variety_tag(source)));
        return 0;
}

static int choose(struct brick_instance *self, struct brick_call *call,
                  const TranslateRequest *request, struct job *job)
{
        size_t model = *request->model_id ? model_find(request->model_id) : self->model;
        enum variety source, target;
        int r = read_languages(self, call, request, &source, &target);

        if (r != 0)
                return r;
        if (*request->model_id && !*request->target_language)
                target = VARIETY_UNKNOWN; /* where the model leads */
        if (*request->model_id && model == MODELS)
                return brick_fail(call, BRICK_E_NOT_FOUND, "There is no such model",
                                  "GetServiceInfo lists the models.");
        if (model < MODELS)
                return use_model(self, call, model, target, job);
        if (!self->own)
                return use_languages(self, call, source, target, job);
        job->conversion.own = true;
        job->language = variety_tag(target);
        return 0;
}

/* 0, or as a handler returns it. */
static int prepare(struct brick_instance *self, struct brick_call *call,
                   const TranslateRequest *request, struct job *job)
{
        struct convert_error error;
        int r;

        *job = (struct job){
                .conversion = { .converter = self->converter },
                .rest = request->text,
                .length = strlen(request->text),
        };
        r = choose(self, call, request, job);
        if (r != 0)
                return r;
        if (*request->target_language)
                job->language = request->target_language;
        r = conversion_prepare(&job->conversion, &error);
        if (r < 0)
                return brick_fail(call, BRICK_E_SERVICE_UNAVAILABLE,
                                  "OpenCC's data cannot be loaded", error.text);
        return 0;
}

/* ---- replies -------------------------------------------------------------------------------- */

/* Takes the next piece and adds what it becomes. 0, or as a handler returns it. */
static int take_piece(struct brick_call *call, struct job *job, size_t min, struct brick_text *text)
{
        size_t n = convert_piece(job->rest, job->length, min);
        char *made;
        int r;

        if (brick_host->call_cancelled(call))
                return -ECANCELED;
        r = conversion_run(&job->conversion, job->rest, n, &made);
        if (r == -EINVAL)
                return brick_fail(call, BRICK_E_PARAMETER_INVALID, "The text is not in UTF-8",
                                  NULL);
        if (r < 0)
                return r;
        brick_text_adds(text, made);
        free(made);
        job->rest += n;
        job->length -= n;
        return 0;
}

static int fill(const struct job *job, struct brick_text *text, TranslateResponse *response)
{
        response->text = brick_text_end(text);
        response->language_code = brick_const(job->language);
        response->is_final = job->length == 0;
        return response->text ? 0 : -ENOMEM;
}

static int translate_unary(struct brick_instance *self, struct brick_call *call,
                           const TranslateRequest *request, TranslateResponse *response)
{
        struct brick_text text = BRICK_TEXT(call);
        struct job job;
        int r = prepare(self, call, request, &job);

        while (r == 0 && job.length > 0)
                r = take_piece(call, &job, PIECE_MIN, &text);
        return r == 0 ? fill(&job, &text, response) : r;
}

static int send_piece(struct brick_call *call, struct job *job)
{
        TranslateResponse *response = BRICK_NEW(call, TranslateResponse);
        struct brick_text text = BRICK_TEXT(call);
        int r = response ? take_piece(call, job, 0, &text) : -ENOMEM;

        if (r == 0)
                r = fill(job, &text, response);
        return r == 0 ? brick_send(call, &response->base) : r;
}

/* A message for each sentence. */
static int translate_stream(struct brick_instance *self, struct brick_call *call,
                            const TranslateRequest *request)
{
        struct job job;
        int r = prepare(self, call, request, &job);

        while (r == 0) {
                size_t mark = brick_mark(call);

                r = send_piece(call, &job);
                if (r == 0)
                        brick_rewind(call, mark);
                if (job.length == 0)
                        break;
        }
        return r;
}

static int translate_info(struct brick_instance *self, struct brick_call *call,
                          ServiceInfoResponse *response)
{
        ModelInfo **infos;

        response->n_models = 0;
        infos = brick_add_n(call, response, models, MODELS);
        for (size_t i = 0; infos && i < MODELS; i++) {
                const struct model *model = &models[i];
                ModelInfo *info = infos[i];

                info->model_id = brick_const(model->name);
                info->version = brick_const(VERSION);
                info->support_streaming = true;
                info->description = brick_printf(call, "%s to %s%s", variety_tag(model->from),
                                                 variety_tag(model->to),
                                                 model->words ? ", with words of the regions" : "");
                if (!info->description ||
                    brick_add_string(call, info, supported_languages, variety_tag(model->from)) ||
                    brick_add_string(call, info, supported_languages, variety_tag(model->to)))
                        return -ENOMEM;
        }
        return infos ? 0 : -ENOMEM;
}

/* ---- the instance --------------------------------------------------------------------------- */

static void translate_destroy(struct brick_instance *self)
{
        converter_free(self->converter);
        free(self);
}

/* An option that is a tag, or "auto". */
static enum variety variety_option(const struct brick_node *config, const char *name)
{
        const char *tag = brick_host->node_str(brick_host->node_get(config, name)).ptr;
        enum variety variety = VARIETY_UNKNOWN;

        (void)(tag && variety_read(tag, &variety));
        return variety;
}

/* A name without a dot or slash is one of OpenCC's models, anything else a file. */
static int take_model(struct brick_instance *self, const struct brick_node *node, const char **file)
{
        const char *given = node ? brick_host->node_str(node).ptr : NULL;
        const char *name = given ? strrchr(given, '/') : NULL;

        *file = NULL;
        self->model = MODELS;
        if (!given)
                return 0;
        name = name ? name + 1 : given;
        if (strchr(name, '.')) {
                *file = given;
                self->own = true;
                return 0;
        }
        self->model = model_find(name);
        if (self->model < MODELS)
                return 0;
        brick_node_errorf(brick_host, self->ctx, node,
                          "OpenCC has no model '%s': name one such as s2twp, or a file NAME.json",
                          name);
        return -EINVAL;
}

static int load(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_node *node = brick_host->node_get(config, "model");
        struct convert_error error;
        const char *file;
        int r = take_model(self, node, &file);

        if (r < 0)
                return r;
        r = converter_new(file, &self->converter, &error);
        if (r == 0 && self->model < MODELS) {
                struct conversion conversion = { self->converter, false, { self->model }, 1 };

                r = conversion_prepare(&conversion, &error);
        }
        if (r == -ENOENT)
                brick_node_errorf(brick_host, self->ctx, node ? node : config,
                                  "OpenCC cannot load it: %s", error.text);
        return r;
}

static int translate_create(const struct brick_host *host, struct brick_ctx *ctx,
                            const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        if (!self)
                return -ENOMEM;
        self->ctx = ctx;
        self->source = variety_option(config, "source_language");
        self->target = variety_option(config, "target_language");
        self->traditional = variety_option(config, "traditional");
        self->words = host->node_int(host->node_get(config, "words")) != 0;
        r = load(self, config);
        if (r < 0)
                translate_destroy(self);
        else
                *ret = self;
        return r;
}

static const struct brick_translate handlers = {
        .service_info = translate_info,
        .unary = translate_unary,
        .output_streaming = translate_stream,
};

static const struct brick_option options[] = {
        { .name = "target_language",
          .type = BRICK_ENUM,
          .choices = "zh-Hans|zh-CN|zh-Hant|zh-TW|zh-HK",
          .summary = "what to translate into where a request does not say" },
        { .name = "source_language",
          .type = BRICK_ENUM,
          .choices = "auto|zh-Hans|zh-CN|zh-Hant|zh-TW|zh-HK",
          .fallback = "auto",
          .summary = "what texts are in where a request does not say; auto: found out" },
        { .name = "traditional",
          .type = BRICK_ENUM,
          .choices = "zh-TW|zh-HK|zh-Hant",
          .fallback = "zh-TW",
          .summary = "what a text that is found to be traditional counts as" },
        { .name = "words",
          .type = BRICK_BOOL,
          .fallback = "true",
          .summary = "translate words of Taiwan and the mainland, and not just characters" },
        { .name = "model",
          .type = BRICK_PATH,
          .summary = "the only model to use: one of OpenCC's, such as s2twp, or a file NAME.json" },
        {},
};

BRICK_TRANSLATE(handlers, .name = "translate-opencc", .version = VERSION,
                .summary = "translates between simplified and traditional Chinese by OpenCC",
                .flags = BRICK_FLAG_BLOCKING, .options = options, .create = translate_create,
                .destroy = translate_destroy);
