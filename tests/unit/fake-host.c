/* SPDX-License-Identifier: MIT */
#include "fake-impl.h"

#include <stdarg.h>

_Noreturn void fake_die(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fputc('\n', stderr);
        abort();
}

/* --- the instance --- */

static uint32_t type_from_option(const struct brick_node *node)
{
        static const char *const names[] = { "",    "Common",  "Rectify",   "Intention", "Guard",
                                             "LLM", "Compose", "Retrieval", "Translate" };

        for (uint32_t i = 1; node && i < ELEMENTSOF(names); i++)
                if (strcmp(node->text, names[i]) == 0)
                        return i;
        fake_die("options of a brick of any type need `type`");
}

static const struct brick_option *option_at(const struct brick_module *module, size_t index)
{
        const char *base = (const char *)module->options;
        const struct brick_option *option;

        option = base ? (const void *)(base + index * module->option_size) : NULL;
        return option && option->name ? option : NULL;
}

static void add_fallbacks(struct brick_node *map, const struct brick_module *module)
{
        const struct brick_option *option;
        struct brick_node *node;
        const char *text;

        for (size_t i = 0; (option = option_at(module, i)); i++) {
                if (!option->fallback || fake_node_get(map, option->name))
                        continue;
                text = option->fallback;
                node = fake_node_parse(&text);
                node->key = fake_must(strdup(option->name));
                node->next = map->first;
                map->first = node;
        }
}

int fake_host_new(struct fake_host **ret, const struct brick_module *module, const char *options)
{
        struct fake_host *host = fake_must(calloc(1, sizeof *host));
        int r;

        (void)pthread_mutex_init(&host->lock, NULL);
        host->module = module;
        host->healthy = true;
        if (!options)
                options = "{}";
        host->options = fake_node_parse(&options);
        add_fallbacks(host->options, module);
        host->type = module->type == BRICK_TYPE_ANY
                             ? type_from_option(fake_node_get(host->options, "type"))
                             : module->type;
        r = module->create(&fake_table, (struct brick_ctx *)host, host->options, &host->self);
        if (r < 0)
                host->self = NULL;
        host->options = fake_node_free(host->options); /* create() must not have kept any */
        *ret = host;
        return r;
}

void fake_host_free(struct fake_host *host)
{
        if (!host)
                return;
        if (host->self)
                host->module->destroy(host->self);
        (void)pthread_mutex_destroy(&host->lock);
        free(host->said);
        free(host->copy);
        free(host);
}

const char *fake_host_said(struct fake_host *host)
{
        (void)pthread_mutex_lock(&host->lock);
        free(host->copy);
        host->copy = fake_must(strdup(host->said ? host->said : ""));
        (void)pthread_mutex_unlock(&host->lock);
        return host->copy;
}

bool fake_host_healthy(struct fake_host *host)
{
        bool healthy;

        (void)pthread_mutex_lock(&host->lock);
        healthy = host->healthy;
        (void)pthread_mutex_unlock(&host->lock);
        return healthy;
}

struct brick_instance *fake_host_instance(struct fake_host *host)
{
        return host->self;
}

/* --- calls --- */

static struct message message_pack(const ProtobufCMessage *message)
{
        size_t length = message ? protobuf_c_message_get_packed_size(message) : 0;
        struct message packed = { fake_must(malloc(length > 0 ? length : 1)), length };

        if (message)
                (void)protobuf_c_message_pack(message, packed.bytes);
        return packed;
}

static void list_done(struct list *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i].bytes);
        free(list->items);
}

static struct fake_call *call_new(struct fake_host *host, unsigned method, struct message request)
{
        struct fake_call *call = fake_must(calloc(1, sizeof *call));

        (void)pthread_mutex_init(&call->lock, NULL);
        (void)pthread_cond_init(&call->changed, NULL);
        call->host = host;
        call->method = method;
        call->request = request;
        call->memory_left = (size_t)64 << 20;
        call->window = SIZE_MAX;
        call->deadline = UINT64_MAX;
        return call;
}

struct fake_call *fake_call_new(struct fake_host *host, unsigned method,
                                const ProtobufCMessage *request)
{
        return call_new(host, method, message_pack(request));
}

struct fake_call *fake_call_new_bytes(struct fake_host *host, unsigned method,
                                      struct brick_bytes request)
{
        return call_new(host, method, fake_message_new(request));
}

void fake_call_limit_memory(struct fake_call *call, size_t bytes)
{
        call->memory_left = bytes;
}

void fake_call_limit_window(struct fake_call *call, size_t replies)
{
        call->window = replies;
}

void fake_call_set_deadline(struct fake_call *call, uint64_t monotonic_ns)
{
        call->deadline = monotonic_ns;
}

void fake_call_add_group(struct fake_call *call, const char *name)
{
        if (call->n_groups == ELEMENTSOF(call->groups))
                fake_die("too many groups");
        call->groups[call->n_groups++] = name;
}

void fake_call_add_metadata(struct fake_call *call, const char *key, const char *value)
{
        if (call->n_metadata + 2 > ELEMENTSOF(call->metadata))
                fake_die("too much metadata");
        call->metadata[call->n_metadata++] = fake_must(strdup(key));
        call->metadata[call->n_metadata++] = fake_must(strdup(value));
}

static int run_start(struct fake_call *call)
{
        const struct brick_module *module = call->host->module;
        int r;

        r = module->start(call->host->self, brick_call(call), call->method);
        if (r > 0)
                fake_die("start() returned %d", r);
        if (r < 0) {
                lock(call);
                if (call->finished)
                        fake_die("start() has finished the call and refuses it");
                call->refused = true;
                unlock(call);
        }
        return r;
}

static void *start_thread(void *data)
{
        (void)run_start(data);
        return NULL;
}

int fake_call_start(struct fake_call *call)
{
        call->started = true;
        if (!(call->host->module->flags & BRICK_FLAG_BLOCKING))
                return run_start(call);
        call->threaded = true;
        if (pthread_create(&call->thread, NULL, start_thread, call) != 0)
                fake_die("no thread");
        return 0;
}

/* Lock held: makes one entry into the brick, if one is due. */
static bool enter(struct fake_call *call)
{
        const struct brick_module *module = call->host->module;
        struct brick_bytes bytes;
        bool last;

        if (call->finished || call->threaded)
                return false;
        if (call->wants && (call->read < call->inbox.n || call->closed)) {
                last = call->read == call->inbox.n;
                bytes = last ? (struct brick_bytes){}
                             : (struct brick_bytes){ call->inbox.items[call->read].bytes,
                                                     call->inbox.items[call->read].length };
                call->read += !last;
                call->wants = false;
                (void)pthread_mutex_unlock(&call->lock);
                module->message(call->host->self, brick_call(call), last ? NULL : &bytes);
                (void)pthread_mutex_lock(&call->lock);
                return true;
        }
        if (call->starved && (call->cancelled || call->replies.n - call->taken < call->window)) {
                call->starved = false;
                (void)pthread_mutex_unlock(&call->lock);
                module->writable(call->host->self, brick_call(call));
                (void)pthread_mutex_lock(&call->lock);
                return true;
        }
        return fake_timers_fire(call);
}

static void join(struct fake_call *call)
{
        if (call->threaded && !call->joined)
                (void)pthread_join(call->thread, NULL);
        call->joined = true;
}

void fake_call_wait(struct fake_call *call)
{
        lock(call);
        while (!call->finished && !call->refused)
                if (!enter(call))
                        fake_wait_change(call, "end of the call");
        unlock(call);
        join(call);
}

int fake_call_run(struct fake_call *call)
{
        int r;

        r = fake_call_start(call);
        if (r == 0)
                fake_call_wait(call);
        return r;
}

void fake_call_push(struct fake_call *call, const ProtobufCMessage *message)
{
        lock(call);
        fake_list_add(&call->inbox, message_pack(message));
        unlock(call);
}

void fake_call_close(struct fake_call *call)
{
        lock(call);
        call->closed = true;
        unlock(call);
}

void fake_call_cancel(struct fake_call *call)
{
        const struct brick_module *module = call->host->module;
        bool tell;

        lock(call);
        /* Also a finished call: brickd's cancel() may have been on its way. */
        tell = !call->cancelled && call->started && !call->refused;
        call->cancelled = true;
        unlock(call);
        if (tell && module->cancel)
                module->cancel(call->host->self, brick_call(call));
}

size_t fake_call_wait_replies(struct fake_call *call, size_t n)
{
        lock(call);
        while (!call->finished && !call->refused && call->replies.n < n)
                if (!enter(call))
                        fake_wait_change(call, "reply");
        n = call->replies.n;
        unlock(call);
        return n;
}

void fake_call_take(struct fake_call *call)
{
        lock(call);
        call->taken = call->replies.n;
        unlock(call);
}

size_t fake_call_replies(struct fake_call *call)
{
        return fake_call_wait_replies(call, 0);
}

struct brick_bytes fake_call_reply_bytes(struct fake_call *call, size_t index)
{
        struct brick_bytes bytes;

        lock(call);
        if (index >= call->replies.n)
                fake_die("reply %zu is missing: there are %zu", index, call->replies.n);
        bytes = (struct brick_bytes){ call->replies.items[index].bytes,
                                      call->replies.items[index].length };
        unlock(call);
        return bytes;
}

void *fake_call_reply(struct fake_call *call, size_t index, const ProtobufCMessageDescriptor *type)
{
        struct brick_bytes bytes = fake_call_reply_bytes(call, index);
        ProtobufCMessage *message;

        message = protobuf_c_message_unpack(type, NULL, bytes.len, bytes.ptr);
        if (!message)
                fake_die("reply %zu is no %s", index, type->name);
        call->unpacked = fake_must(
                reallocarray(call->unpacked, call->n_unpacked + 1, sizeof *call->unpacked));
        call->unpacked[call->n_unpacked++] = message;
        return message;
}

bool fake_call_finished(struct fake_call *call)
{
        bool finished;

        lock(call);
        finished = call->finished;
        unlock(call);
        return finished;
}

unsigned fake_call_status(struct fake_call *call)
{
        return call->status;
}

int fake_call_code(struct fake_call *call)
{
        return call->code;
}

const char *fake_call_text(struct fake_call *call)
{
        return call->text ? call->text : "";
}

const char *fake_call_detail(struct fake_call *call)
{
        return call->detail ? call->detail : "";
}

const char *fake_call_trailers(struct fake_call *call)
{
        return call->trailers ? call->trailers : "";
}

void fake_call_free(struct fake_call *call)
{
        if (!call)
                return;
        if (call->started && !call->refused && !fake_call_finished(call))
                fake_die("the test frees a call that the brick still has");
        join(call);
        if (call->destroy)
                call->destroy(call->data);
        fake_timers_free(call);
        for (struct block *next; call->blocks; call->blocks = next) {
                next = call->blocks->next;
                free(call->blocks);
        }
        for (size_t i = 0; i < call->n_unpacked; i++)
                protobuf_c_message_free_unpacked(call->unpacked[i], NULL);
        for (size_t i = 0; i < call->n_metadata; i++)
                free(call->metadata[i]);
        free(call->unpacked);
        free(call->request.bytes);
        free(call->reserved.bytes);
        list_done(&call->inbox);
        list_done(&call->replies);
        free(call->text);
        free(call->detail);
        free(call->trailers);
        (void)pthread_cond_destroy(&call->changed);
        (void)pthread_mutex_destroy(&call->lock);
        free(call);
}
