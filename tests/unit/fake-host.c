/* SPDX-License-Identifier: MIT */
#include "fake-host.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/value.h"

#define WAIT_SECONDS 30

_Noreturn void fake_die(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fputc('\n', stderr);
        abort();
}

static void *must(void *p)
{
        if (!p)
                fake_die("out of memory");
        return p;
}

/* ---- configuration nodes ---------------------------------------------------------------- */

struct brick_node {
        uint32_t type; /* BRICK_MAP, BRICK_LIST, else a scalar */
        bool quoted;
        char *key;
        char *text;
        struct brick_node *first, *next; /* child, sibling */
};

static struct brick_node *node_free(struct brick_node *node)
{
        for (struct brick_node *next; node; node = next) {
                next = node->next;
                (void)node_free(node->first);
                free(node->key);
                free(node->text);
                free(node);
        }
        return NULL;
}

static const char *skip_space(const char *s)
{
        return s + strspn(s, " \n");
}

static struct brick_node *parse_node(const char **s);

static void parse_children(struct brick_node *parent, const char **s, char end)
{
        struct brick_node **place = &parent->first;

        for (*s = skip_space(*s + 1); **s != end; *s = skip_space(*s)) {
                char *key = NULL;
                size_t n;

                if (parent->type == BRICK_MAP) {
                        n = strcspn(*s, ":");
                        key = must(strndup(*s, n));
                        *s += n + 1;
                }
                *place = parse_node(s);
                (*place)->key = key;
                place = &(*place)->next;
                *s = skip_space(*s);
                if (**s == ',')
                        ++*s;
                else if (**s != end)
                        fake_die("bad options near '%s'", *s);
        }
        ++*s;
}

static struct brick_node *parse_node(const char **s)
{
        struct brick_node *node = must(calloc(1, sizeof *node));
        size_t n;

        *s = skip_space(*s);
        if (**s == '{' || **s == '[') {
                node->type = **s == '{' ? BRICK_MAP : BRICK_LIST;
                parse_children(node, s, **s == '{' ? '}' : ']');
        } else if (**s == '"') {
                n = strcspn(*s + 1, "\"");
                node->quoted = true;
                node->text = must(strndup(*s + 1, n));
                *s += n + 2;
        } else {
                n = strcspn(*s, ",]}");
                while (n > 0 && (*s)[n - 1] == ' ')
                        n--;
                node->text = must(strndup(*s, n));
                *s += n;
        }
        return node;
}

static const struct brick_node *host_node_get(const struct brick_node *map, const char *key)
{
        if (!map || map->type != BRICK_MAP)
                return NULL;
        for (const struct brick_node *node = map->first; node; node = node->next)
                if (strcmp(node->key, key) == 0)
                        return node;
        return NULL;
}

static size_t host_node_size(const struct brick_node *node)
{
        size_t n = 0;

        for (node = node ? node->first : NULL; node; node = node->next)
                n++;
        return n;
}

static const struct brick_node *host_node_at(const struct brick_node *node, size_t index)
{
        for (node = node ? node->first : NULL; node && index > 0; node = node->next)
                index--;
        return node;
}

static struct brick_str host_node_key(const struct brick_node *map, size_t index)
{
        const struct brick_node *node = host_node_at(map, index);

        return brick_str(node ? node->key : NULL);
}

static struct brick_str host_node_str(const struct brick_node *node)
{
        return brick_str(node ? node->text : NULL);
}

static int64_t host_node_int(const struct brick_node *node)
{
        int64_t value = 0;
        bool truth = false;

        if (!node || !node->text || value_parse_int(node->text, &value) == 0)
                return value;
        if (value_parse_bool(node->text, &truth) == 0)
                return truth;
        if (value_parse_duration(node->text, &value) < 0)
                (void)value_parse_size(node->text, &value);
        return value;
}

static double host_node_float(const struct brick_node *node)
{
        double value = 0;

        if (node && node->text)
                (void)value_parse_float(node->text, &value);
        return value;
}

static uint32_t host_node_type(const struct brick_node *node)
{
        int64_t i;
        double f;
        bool b;

        if (!node || node->type)
                return node ? node->type : 0;
        if (node->quoted)
                return BRICK_STRING;
        if (value_parse_int(node->text, &i) == 0)
                return BRICK_INT;
        if (value_parse_bool(node->text, &b) == 0)
                return BRICK_BOOL;
        return value_parse_float(node->text, &f) == 0 ? BRICK_FLOAT : BRICK_STRING;
}

/* ---- the instance ----------------------------------------------------------------------- */

struct fake_host {
        const struct brick_module *module;
        struct brick_instance *self;
        struct brick_node *options;
        uint32_t type;
        pthread_mutex_t lock;
        bool healthy;
        char *said;
        size_t said_length;
};

static struct fake_host *host_of(struct brick_ctx *ctx)
{
        return (struct fake_host *)ctx;
}

static void append(char **text, size_t *length, struct brick_str s)
{
        *text = must(realloc(*text, *length + s.len + 2));
        memcpy(*text + *length, s.ptr, s.len);
        *length += s.len;
        (*text)[(*length)++] = '\n';
        (*text)[*length] = '\0';
}

static void host_log(struct brick_ctx *ctx, uint32_t level, struct brick_str line)
{
        struct fake_host *host = host_of(ctx);

        (void)pthread_mutex_lock(&host->lock);
        append(&host->said, &host->said_length, line);
        (void)pthread_mutex_unlock(&host->lock);
}

static void host_set_health(struct brick_ctx *ctx, int serving, struct brick_str reason)
{
        struct fake_host *host = host_of(ctx);

        (void)pthread_mutex_lock(&host->lock);
        host->healthy = serving;
        append(&host->said, &host->said_length, reason);
        (void)pthread_mutex_unlock(&host->lock);
}

static void host_node_error(struct brick_ctx *ctx, const struct brick_node *node,
                            struct brick_str line)
{
        host_log(ctx, BRICK_LOG_ERROR, line);
}

static struct brick_str host_name(struct brick_ctx *ctx)
{
        return brick_str(host_of(ctx)->module->name);
}

static uint32_t host_type(struct brick_ctx *ctx)
{
        return host_of(ctx)->type;
}

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
                if (!option->fallback || host_node_get(map, option->name))
                        continue;
                text = option->fallback;
                node = parse_node(&text);
                node->key = must(strdup(option->name));
                node->next = map->first;
                map->first = node;
        }
}

/* ---- calls ------------------------------------------------------------------------------ */

struct block {
        struct block *next;
        size_t size;
        max_align_t memory[];
};

struct message {
        void *bytes; /* exactly as large as said, so that a sanitizer sees what goes past the end */
        size_t length;
};

struct list {
        struct message *items;
        size_t n;
};

/* The brick sees it under the name struct brick_call. */
struct fake_call {
        struct fake_host *host;
        unsigned method;
        struct message request;
        size_t memory_left;
        size_t window;
        uint64_t deadline;
        char *metadata[32]; /* key, value, key, ... */
        size_t n_metadata;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool started, refused, threaded, joined, cancelled, finished, wants, starved, closed;
        pthread_t thread;
        struct list inbox, replies;
        size_t read, taken;
        struct message reserved;
        struct block *blocks;
        size_t n_blocks;
        void *data;
        void (*destroy)(void *data);
        ProtobufCMessage **unpacked;
        size_t n_unpacked;

        unsigned status;
        int code;
        char *text, *detail, *trailers;
        size_t trailers_length;
};

static struct fake_call *call_of(struct brick_call *call)
{
        return (struct fake_call *)call;
}

static struct brick_call *brick_call(struct fake_call *call)
{
        return (struct brick_call *)call;
}

static struct message message_new(struct brick_bytes bytes)
{
        struct message message = { must(malloc(bytes.len > 0 ? bytes.len : 1)), bytes.len };

        if (bytes.len > 0)
                memcpy(message.bytes, bytes.ptr, bytes.len);
        return message;
}

static struct message message_pack(const ProtobufCMessage *message)
{
        size_t length = message ? protobuf_c_message_get_packed_size(message) : 0;
        struct message packed = { must(malloc(length > 0 ? length : 1)), length };

        if (message)
                (void)protobuf_c_message_pack(message, packed.bytes);
        return packed;
}

static void list_add(struct list *list, struct message message)
{
        list->items = must(reallocarray(list->items, list->n + 1, sizeof *list->items));
        list->items[list->n++] = message;
}

static void list_done(struct list *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i].bytes);
        free(list->items);
}

static void lock(struct fake_call *call)
{
        (void)pthread_mutex_lock(&call->lock);
}

static void unlock(struct fake_call *call)
{
        (void)pthread_cond_broadcast(&call->changed);
        (void)pthread_mutex_unlock(&call->lock);
}

/* Lock held. */
static void must_be_open(struct fake_call *call, const char *function)
{
        if (call->finished)
                fake_die("the brick calls %s() for a call that it has finished", function);
}

static void wait_change(struct fake_call *call, const char *what)
{
        struct timespec until;

        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT_SECONDS;
        if (pthread_cond_timedwait(&call->changed, &call->lock, &until) != 0)
                fake_die("no %s within %d s", what, WAIT_SECONDS);
}

static struct brick_bytes host_call_request(struct brick_call *c)
{
        struct fake_call *call = call_of(c);

        lock(call);
        must_be_open(call, "call_request");
        unlock(call);
        return (struct brick_bytes){ call->request.bytes, call->request.length };
}

static int host_call_metadata_at(struct brick_call *c, size_t index, struct brick_str *ret_key,
                                 struct brick_str *ret_value)
{
        struct fake_call *call = call_of(c);

        if (index >= call->n_metadata / 2)
                return 0;
        *ret_key = brick_str(call->metadata[2 * index]);
        *ret_value = brick_str(call->metadata[2 * index + 1]);
        return 1;
}

static struct brick_str host_call_metadata(struct brick_call *c, const char *key)
{
        struct fake_call *call = call_of(c);

        for (size_t i = 0; i < call->n_metadata; i += 2)
                if (strcmp(call->metadata[i], key) == 0)
                        return brick_str(call->metadata[i + 1]);
        return (struct brick_str){ NULL, 0 };
}

static struct brick_str host_call_traceparent(struct brick_call *c)
{
        return host_call_metadata(c, "traceparent");
}

static struct brick_str host_call_tracestate(struct brick_call *c)
{
        return host_call_metadata(c, "tracestate");
}

static struct brick_str host_call_peer(struct brick_call *c)
{
        return brick_str("ipv4:127.0.0.1:1");
}

static uint64_t host_call_deadline(struct brick_call *c)
{
        return call_of(c)->deadline;
}

static int host_call_cancelled(struct brick_call *c)
{
        struct fake_call *call = call_of(c);
        bool cancelled;

        lock(call);
        cancelled = call->cancelled;
        unlock(call);
        return cancelled;
}

static void *host_call_alloc(struct brick_call *c, size_t size, size_t align)
{
        struct fake_call *call = call_of(c);
        struct block *block = NULL;

        if (align > _Alignof(max_align_t))
                fake_die("call_alloc() with an alignment of %zu", align);
        lock(call);
        must_be_open(call, "call_alloc");
        if (size <= call->memory_left) {
                call->memory_left -= size;
                block = must(malloc(sizeof *block + size));
                *block = (struct block){ call->blocks, size };
                call->blocks = block;
                call->n_blocks++;
        }
        unlock(call);
        return block ? block->memory : NULL;
}

/* A mark is how many blocks there are. */
static size_t host_call_mark(struct brick_call *c)
{
        struct fake_call *call = call_of(c);
        size_t mark;

        lock(call);
        must_be_open(call, "call_mark");
        mark = call->n_blocks;
        unlock(call);
        return mark;
}

static void host_call_rewind(struct brick_call *c, size_t mark)
{
        struct fake_call *call = call_of(c);

        lock(call);
        must_be_open(call, "call_rewind");
        if (mark > call->n_blocks)
                fake_die("call_rewind() with a mark that call_mark() has not given");
        for (; call->n_blocks > mark; call->n_blocks--) {
                struct block *block = call->blocks;

                call->blocks = block->next;
                call->memory_left += block->size;
                free(block);
        }
        unlock(call);
}

static void host_call_set_data(struct brick_call *c, void *data, void (*destroy)(void *data))
{
        struct fake_call *call = call_of(c);

        lock(call);
        must_be_open(call, "call_set_data");
        call->data = data;
        call->destroy = destroy;
        unlock(call);
}

/* Legal in cancel() too, which may come after the finish. */
static void *host_call_data(struct brick_call *c)
{
        struct fake_call *call = call_of(c);
        void *data;

        lock(call);
        data = call->data;
        unlock(call);
        return data;
}

static void host_call_recv(struct brick_call *c)
{
        struct fake_call *call = call_of(c);

        lock(call);
        must_be_open(call, "call_recv");
        if (call->wants)
                fake_die("the brick calls call_recv() again before the answer");
        call->wants = true;
        unlock(call);
}

static int host_call_read(struct brick_call *c, struct brick_bytes *ret)
{
        struct fake_call *call = call_of(c);
        int r = 0;

        lock(call);
        must_be_open(call, "call_read");
        while (!call->cancelled && call->read == call->inbox.n && !call->closed)
                wait_change(call, "request message");
        if (call->cancelled) {
                r = -ECANCELED;
        } else if (call->read < call->inbox.n) {
                *ret = (struct brick_bytes){ call->inbox.items[call->read].bytes,
                                             call->inbox.items[call->read].length };
                call->read++;
                r = 1;
        }
        unlock(call);
        return r;
}

/* Lock held: may a reply go out? */
static int window_wait(struct fake_call *call)
{
        while (!call->cancelled && call->replies.n - call->taken >= call->window) {
                if (!call->threaded) {
                        call->starved = true;
                        return -EAGAIN;
                }
                wait_change(call, "room in the window");
        }
        return call->cancelled ? -ECANCELED : 0;
}

static int host_call_send(struct brick_call *c, struct brick_bytes bytes)
{
        struct fake_call *call = call_of(c);
        int r;

        lock(call);
        must_be_open(call, "call_send");
        r = window_wait(call);
        if (r == 0)
                list_add(&call->replies, message_new(bytes));
        unlock(call);
        return r;
}

static void *host_call_reserve(struct brick_call *c, size_t size)
{
        struct fake_call *call = call_of(c);
        void *memory = NULL;

        lock(call);
        must_be_open(call, "call_reserve");
        if (call->reserved.bytes)
                fake_die("the brick calls call_reserve() twice without call_commit()");
        if (window_wait(call) == 0) {
                memory = must(malloc(size > 0 ? size : 1));
                call->reserved = (struct message){ memory, size };
        }
        unlock(call);
        return memory;
}

static int host_call_commit(struct brick_call *c, size_t size)
{
        struct fake_call *call = call_of(c);
        struct message message;
        int r = 0;

        lock(call);
        must_be_open(call, "call_commit");
        message = call->reserved;
        call->reserved = (struct message){};
        if (!message.bytes || size > message.length)
                fake_die("call_commit() of more than was reserved");
        message.length = size;
        if (call->cancelled) {
                free(message.bytes);
                r = -ECANCELED;
        } else {
                list_add(&call->replies, message);
        }
        unlock(call);
        return r;
}

static int host_call_trailer(struct brick_call *c, struct brick_str key, struct brick_str value)
{
        struct fake_call *call = call_of(c);
        char *line;
        int n;

        n = asprintf(&line, "%.*s=%.*s", (int)key.len, key.ptr, (int)value.len, value.ptr);
        if (n < 0)
                fake_die("out of memory");
        lock(call);
        must_be_open(call, "call_trailer");
        append(&call->trailers, &call->trailers_length, (struct brick_str){ line, (size_t)n });
        unlock(call);
        free(line);
        return 0;
}

static void finish(struct brick_call *c, unsigned status, int code, struct brick_str text,
                   struct brick_str detail)
{
        struct fake_call *call = call_of(c);

        lock(call);
        if (!call->started)
                fake_die("the brick finishes a call that it does not have");
        if (call->finished)
                fake_die("the brick finishes a call twice");
        call->finished = true;
        call->status = status;
        call->code = code;
        call->text = must(strndup(text.ptr, text.len));
        call->detail = must(strndup(detail.ptr, detail.len));
        unlock(call);
}

static void host_call_finish(struct brick_call *c, uint32_t status, struct brick_str reason)
{
        finish(c, status, status == 0 ? 200 : 0, reason, brick_str(NULL));
}

static void host_call_fail(struct brick_call *c, int32_t code, struct brick_str message,
                           struct brick_str detail)
{
        finish(c, 0, code, message, detail);
}

static void host_call_fail_errno(struct brick_call *c, int r)
{
        if (r >= 0)
                fake_die("call_fail_errno() with %d", r);
        finish(c, 0, r == -ENOSYS ? 12 : 13, brick_str(strerror(-r)), brick_str(NULL));
}

static const struct brick_host table = {
        .struct_size = sizeof table,
        .abi_major = BRICK_ABI_MAJOR,
        .abi_minor = BRICK_ABI_MINOR,
        .log = host_log,
        .name = host_name,
        .type = host_type,
        .node_type = host_node_type,
        .node_get = host_node_get,
        .node_size = host_node_size,
        .node_at = host_node_at,
        .node_key = host_node_key,
        .node_str = host_node_str,
        .node_int = host_node_int,
        .node_float = host_node_float,
        .node_error = host_node_error,
        .call_request = host_call_request,
        .call_metadata = host_call_metadata,
        .call_metadata_at = host_call_metadata_at,
        .call_peer = host_call_peer,
        .call_deadline = host_call_deadline,
        .call_cancelled = host_call_cancelled,
        .call_alloc = host_call_alloc,
        .call_set_data = host_call_set_data,
        .call_data = host_call_data,
        .call_recv = host_call_recv,
        .call_read = host_call_read,
        .call_send = host_call_send,
        .call_reserve = host_call_reserve,
        .call_commit = host_call_commit,
        .call_trailer = host_call_trailer,
        .call_finish = host_call_finish,
        .call_fail = host_call_fail,
        .set_health = host_set_health,
        .call_traceparent = host_call_traceparent,
        .call_tracestate = host_call_tracestate,
        .call_mark = host_call_mark,
        .call_rewind = host_call_rewind,
        .call_fail_errno = host_call_fail_errno,
};

/* ---- what tests use --------------------------------------------------------------------- */

int fake_host_new(struct fake_host **ret, const struct brick_module *module, const char *options)
{
        struct fake_host *host = must(calloc(1, sizeof *host));
        int r;

        (void)pthread_mutex_init(&host->lock, NULL);
        host->module = module;
        host->healthy = true;
        if (!options)
                options = "{}";
        host->options = parse_node(&options);
        add_fallbacks(host->options, module);
        host->type = module->type == BRICK_TYPE_ANY
                             ? type_from_option(host_node_get(host->options, "type"))
                             : module->type;
        r = module->create(&table, (struct brick_ctx *)host, host->options, &host->self);
        if (r < 0)
                host->self = NULL;
        host->options = node_free(host->options); /* create() must not have kept any */
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
        free(host);
}

const char *fake_host_said(struct fake_host *host)
{
        return host->said ? host->said : "";
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

static struct fake_call *call_new(struct fake_host *host, unsigned method, struct message request)
{
        struct fake_call *call = must(calloc(1, sizeof *call));

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
        return call_new(host, method, message_new(request));
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

void fake_call_add_metadata(struct fake_call *call, const char *key, const char *value)
{
        if (call->n_metadata + 2 > ELEMENTSOF(call->metadata))
                fake_die("too much metadata");
        call->metadata[call->n_metadata++] = must(strdup(key));
        call->metadata[call->n_metadata++] = must(strdup(value));
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
        return false;
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
                        wait_change(call, "end of the call");
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
        list_add(&call->inbox, message_pack(message));
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
                        wait_change(call, "reply");
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
        call->unpacked = must(
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
