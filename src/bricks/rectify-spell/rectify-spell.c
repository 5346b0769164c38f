/* SPDX-License-Identifier: MIT */

/* rectify-spell: corrects the spelling of texts. See README.md. */

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "file.h"
#include "rectify.h"
#include "taiwan.h"

#define VERSION "1.0"
#define CODESPELL "/usr/lib/python3/dist-packages/codespell_lib/data/dictionary.txt"
#define HUNSPELL "/usr/share/hunspell/"
#define TOLD_MAX 20 /* changes that a reply's trailers name */

struct brick_instance {
        struct brick_ctx *ctx;
        struct rectifier rectifier;
        size_t max_text;
};

/* ---- options -------------------------------------------------------------------------------- */

static const struct brick_node *option(const struct brick_node *config, const char *name)
{
        return brick_host->node_get(config, name);
}

static int load_list(struct brick_instance *self, const struct brick_node *blamed, const char *path,
                     struct list **ret)
{
        struct list_mistake mistake;
        size_t n;
        char *bytes = file_read(path, LIST_FILE_MAX, &n);
        int r = bytes ? 0 : -errno;

        if (r < 0) {
                brick_node_errorf(brick_host, self->ctx, blamed, "cannot read %s: %s", path,
                                  r == -EFBIG || r == -EINVAL ? "not a file of at most 16 MiB"
                                                              : strerror(-r));
                return r;
        }
        r = list_new(bytes, n, ret, &mistake);
        if (r == -EINVAL)
                brick_node_errorf(brick_host, self->ctx, blamed, "%s:%zu: %s", path, mistake.line,
                                  mistake.text);
        return r;
}

/* codespell's, if it is installed and nothing else is wanted. */
static int take_lists(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_node *list = option(config, "list"),
                                *extra = option(config, "extra_list");
        int r = 0;

        if (list)
                r = load_list(self, list, brick_host->node_str(list).ptr, &self->rectifier.list);
        else if (access(CODESPELL, R_OK) == 0)
                r = load_list(self, config, CODESPELL, &self->rectifier.list);
        else
                brick_logf(brick_host, self->ctx, BRICK_LOG_NOTICE,
                           "there is no list of words: install codespell, or set `list`");
        if (r == 0 && extra)
                r = load_list(self, extra, brick_host->node_str(extra).ptr, &self->rectifier.extra);
        return r;
}

/* The path of a file that comes with the brick, for free(). NULL: out of memory. */
static char *data_path(const char *name)
{
        const char *data = getenv("BRICKD_DATA");
        char *path;

        if (asprintf(&path, "%s/rectify-spell/%s", data ? data : BRICKD_DATA_DIR, name) < 0)
                return NULL;
        return path;
}

static int take_chinese(struct brick_instance *self, const struct brick_node *config)
{
        char *confusions = data_path("confusions.txt"), *words = data_path("taiwan-words.json");
        const struct brick_node *taiwan = option(config, "taiwan_words");
        struct taiwan_error error;
        int r = confusions && words ? 0 : -ENOMEM;

        if (r == 0 && brick_host->node_int(option(config, "chinese")))
                r = load_list(self, config, confusions, &self->rectifier.confusions);
        if (r == 0 && brick_host->node_int(taiwan)) {
                r = taiwan_new(words, &self->rectifier.taiwan, &error);
                if (r < 0)
                        brick_node_errorf(brick_host, self->ctx, taiwan, "%s", error.text);
        }
        free(confusions);
        free(words);
        return r;
}

/* The language of a dictionary: "en" of /usr/share/hunspell/en_US. */
static int set_tag(struct language *language, const char *path)
{
        const char *name = strrchr(path, '/');
        size_t n;

        name = name ? name + 1 : path;
        n = strcspn(name, "_-");
        if (n == 0 || n >= sizeof language->tag)
                return -EINVAL;
        memcpy(language->tag, name, n);
        return 0;
}

/* Hunspell takes a tenth of a second to read a dictionary. */
static int read_dictionary(struct speller *speller)
{
        struct reader *reader = speller_borrow(speller);

        speller_return(speller, reader);
        return reader ? 0 : -EINVAL;
}

/* name: of a file in hunspell's directory, or a path. */
static int load_dictionary(struct brick_instance *self, const char *name)
{
        struct language *language = &self->rectifier.languages[self->rectifier.n_languages];
        char *path;
        int r;

        if (asprintf(&path, "%s%s", strchr(name, '/') ? "" : HUNSPELL, name) < 0)
                return -ENOMEM;
        r = set_tag(language, path);
        if (r == 0)
                r = speller_new(path, self->rectifier.terms, &language->speller);
        self->rectifier.n_languages += r == 0;
        free(path);
        return r;
}

static int take_terms(struct brick_instance *self, const struct brick_node *config)
{
        char *path = data_path("terms.txt");
        size_t n;
        int r = -ENOMEM;

        if (path) {
                self->rectifier.terms = file_read(path, LIST_FILE_MAX, &n);
                r = self->rectifier.terms ? 0 : -errno;
        }
        if (r < 0 && path)
                brick_node_errorf(brick_host, self->ctx, config, "cannot read %s: %s", path,
                                  strerror(-r));
        free(path);
        return r;
}

/* en_US, if it is installed and nothing else is wanted; it is read when it is first used. */
static int take_dictionaries(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_node *list = option(config, "dictionaries");
        int r = take_terms(self, config);

        if (r == 0 && !list && load_dictionary(self, "en_US") < 0)
                brick_logf(brick_host, self->ctx, BRICK_LOG_NOTICE,
                           "there is no dictionary: install hunspell-en-us, or set `dictionaries`");
        for (size_t i = 0; r == 0 && i < brick_host->node_size(list); i++) {
                const struct brick_node *node = brick_host->node_at(list, i);
                const char *name = brick_host->node_str(node).ptr;

                r = i < LANGUAGES_MAX ? load_dictionary(self, name) : -E2BIG;
                if (r == 0)
                        r = read_dictionary(self->rectifier.languages[i].speller);
                if (r == -E2BIG)
                        brick_node_errorf(brick_host, self->ctx, node, "at most %d dictionaries",
                                          LANGUAGES_MAX);
                else if (r < 0)
                        brick_node_errorf(brick_host, self->ctx, node,
                                          "cannot use the hunspell dictionary '%s': %s", name,
                                          strerror(-r));
        }
        return r;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* {"at":3,"from":"teh","to":"the","by":"list"}, in ASCII. */
static void tell(struct brick_call *call, const struct change *change)
{
        json_t *object = json_pack("{s:I, s:s, s:s, s:s}", "at", (json_int_t)change->at, "from",
                                   change->from, "to", change->to, "by", change->by);
        char *line = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

        if (line)
                (void)brick_host->call_trailer(call, brick_str("x-change"), brick_str(line));
        free(line);
        json_decref(object);
}

static void explain(struct brick_call *call, const struct change *change)
{
        const struct brick_step step = {
                .name = change->by,
                .verdict = brick_printf(call, "at byte %zu", change->at),
                .input = change->from,
                .output = change->to,
        };

        brick_explain(call, &step);
}

static void tell_changes(struct brick_call *call, const struct rectified *rectified)
{
        int explained = brick_is_explained(call);
        char count[24];

        if (explained && rectified->n_changes == 0)
                brick_explain(call, &(struct brick_step){ .name = "nothing to correct" });
        (void)snprintf(count, sizeof count, "%zu", rectified->n_changes);
        (void)brick_host->call_trailer(call, brick_str("x-changes"), brick_str(count));
        for (size_t i = 0; i < rectified->n_changes && i < TOLD_MAX; i++)
                if (explained)
                        explain(call, &rectified->changes[i]);
                else
                        tell(call, &rectified->changes[i]);
}

static int rectify_unary(struct brick_instance *self, struct brick_call *call,
                         const RectifyRequest *request, RectifyResponse *response)
{
        struct rectified rectified;
        int r;

        if (strlen(request->text) > self->max_text)
                return brick_failf(call, BRICK_E_PARAMETER_INVALID, NULL,
                                   "The text is longer than %zu bytes", self->max_text);
        r = rectify(&self->rectifier, call, request->text, request->source_language, &rectified);
        if (r < 0)
                return r;
        tell_changes(call, &rectified);
        response->corrected_text = rectified.text;
        return 0;
}

static int rectify_info(struct brick_instance *self, struct brick_call *call,
                        ServiceInfoResponse *response)
{
        const struct rectifier *rectifier = &self->rectifier;
        ModelInfo *model = response->models[0];

        model->description = brick_printf(call,
                                          "%zu pairs of words, %zu of Chinese, %zu dictionar%s",
                                          list_size(rectifier->list) + list_size(rectifier->extra),
                                          list_size(rectifier->confusions), rectifier->n_languages,
                                          rectifier->n_languages == 1 ? "y" : "ies");
        for (size_t i = 0; i < rectifier->n_languages; i++)
                if (brick_add_string(call, model, supported_languages, rectifier->languages[i].tag))
                        return -ENOMEM;
        if (rectifier->confusions && brick_add_string(call, model, supported_languages, "zh"))
                return -ENOMEM;
        return model->description ? 0 : -ENOMEM;
}

/* ---- the instance --------------------------------------------------------------------------- */

static void rectify_destroy(struct brick_instance *self)
{
        struct rectifier *rectifier = &self->rectifier;

        for (size_t i = 0; i < rectifier->n_languages; i++)
                speller_free(rectifier->languages[i].speller);
        list_free(rectifier->list);
        list_free(rectifier->extra);
        list_free(rectifier->confusions);
        taiwan_free(rectifier->taiwan);
        free(rectifier->terms);
        free(self);
}

static int rectify_create(const struct brick_host *host, struct brick_ctx *ctx,
                          const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        if (!self)
                return -ENOMEM;
        self->ctx = ctx;
        self->max_text = (size_t)host->node_int(option(config, "max_text"));
        self->rectifier.max_lookups = (unsigned)host->node_int(option(config, "max_lookups"));
        r = take_lists(self, config);
        if (r == 0)
                r = take_chinese(self, config);
        if (r == 0)
                r = take_dictionaries(self, config);
        if (r < 0)
                rectify_destroy(self);
        else
                *ret = self;
        return r;
}

static const struct brick_rectify handlers = {
        .service_info = rectify_info,
        .unary = rectify_unary,
};

static const struct brick_option dictionary = {
        .type = BRICK_STRING,
        .summary = "a name such as de_DE, or a path without .aff and .dic",
};

static const struct brick_option options[] = {
        { .name = "list",
          .type = BRICK_PATH,
          .summary = "list of English words, wrong->right; default: codespell's" },
        { .name = "extra_list",
          .type = BRICK_PATH,
          .summary = "list of your own beside it, for all languages" },
        { .name = "dictionaries",
          .type = BRICK_LIST,
          .items = &dictionary,
          .summary = "hunspell's, one for each language; default: en_US" },
        { .name = "chinese",
          .type = BRICK_BOOL,
          .fallback = "true",
          .summary = "correct characters that are taken for others" },
        { .name = "taiwan_words",
          .type = BRICK_BOOL,
          .fallback = "false",
          .summary = "in traditional characters, words of the mainland as those of Taiwan" },
        { .name = "max_lookups",
          .type = BRICK_INT,
          .fallback = "20",
          .max = 1000,
          .summary = "words of a text that hunspell looks for at most, 30 ms each" },
        { .name = "max_text",
          .type = BRICK_SIZE,
          .fallback = "64KiB",
          .min = 1024,
          .max = 1 << 20,
          .summary = "largest text" },
        {},
};

BRICK_RECTIFY(handlers, .name = "rectify-spell", .version = VERSION,
              .summary = "corrects spelling by lists of words and hunspell", .options = options,
              .flags = BRICK_FLAG_BLOCKING, .create = rectify_create, .destroy = rectify_destroy);
