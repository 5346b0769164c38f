/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <time.h>

#include "fake-impl.h"

/* The functions of struct brick_host. What brick.h forbids aborts the test. */

#define WAIT_SECONDS 30

void fake_append(char **text, size_t *length, struct brick_str s)
{
        *text = fake_must(realloc(*text, *length + s.len + 2));
        memcpy(*text + *length, s.ptr, s.len);
        *length += s.len;
        (*text)[(*length)++] = '\n';
        (*text)[*length] = '\0';
}

struct message fake_message_new(struct brick_bytes bytes)
{
        struct message message = { fake_must(malloc(bytes.len > 0 ? bytes.len : 1)), bytes.len };

        if (bytes.len > 0)
                memcpy(message.bytes, bytes.ptr, bytes.len);
        return message;
}

void fake_list_add(struct list *list, struct message message)
{
        list->items = fake_must(reallocarray(list->items, list->n + 1, sizeof *list->items));
        list->items[list->n++] = message;
}

void fake_wait_change(struct fake_call *call, const char *what)
{
        struct timespec until;

        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT_SECONDS;
        if (pthread_cond_timedwait(&call->changed, &call->lock, &until) != 0)
                fake_die("no %s within %d s", what, WAIT_SECONDS);
}

/* --- of the instance --- */

static struct fake_host *host_of(struct brick_ctx *ctx)
{
        return (struct fake_host *)ctx;
}

static void host_log(struct brick_ctx *ctx, uint32_t level, struct brick_str line)
{
        struct fake_host *host = host_of(ctx);

        (void)pthread_mutex_lock(&host->lock);
        fake_append(&host->said, &host->said_length, line);
        (void)pthread_mutex_unlock(&host->lock);
}

static void host_set_health(struct brick_ctx *ctx, int serving, struct brick_str reason)
{
        struct fake_host *host = host_of(ctx);

        (void)pthread_mutex_lock(&host->lock);
        host->healthy = serving;
        fake_append(&host->said, &host->said_length, reason);
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

/* --- of a call --- */

/* Lock held. */
static void must_be_open(struct fake_call *call, const char *function)
{
        if (call->finished)
                fake_die("the brick calls %s() for a call that it has finished", function);
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

static struct brick_str host_call_group(struct brick_call *c, size_t index)
{
        const struct fake_call *call = call_of(c);

        return index < call->n_groups ? brick_str(call->groups[index]) : (struct brick_str){};
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
                block = fake_must(malloc(sizeof *block + size));
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
                fake_wait_change(call, "request message");
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
                fake_wait_change(call, "room in the window");
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
                fake_list_add(&call->replies, fake_message_new(bytes));
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
                memory = fake_must(malloc(size > 0 ? size : 1));
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
                fake_list_add(&call->replies, message);
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
        fake_append(&call->trailers, &call->trailers_length, (struct brick_str){ line, (size_t)n });
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
        call->text = fake_must(strndup(text.ptr, text.len));
        call->detail = fake_must(strndup(detail.ptr, detail.len));
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

const struct brick_host fake_table = {
        .struct_size = sizeof fake_table,
        .abi_major = BRICK_ABI_MAJOR,
        .abi_minor = BRICK_ABI_MINOR,
        .log = host_log,
        .name = host_name,
        .type = host_type,
        .node_type = fake_node_type,
        .node_get = fake_node_get,
        .node_size = fake_node_size,
        .node_at = fake_node_at,
        .node_key = fake_node_key,
        .node_str = fake_node_str,
        .node_int = fake_node_int,
        .node_float = fake_node_float,
        .node_error = host_node_error,
        .call_request = host_call_request,
        .call_metadata = host_call_metadata,
        .call_group = host_call_group,
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
        .timer_new = fake_timer_new,
        .timer_set = fake_timer_set,
        .timer_free = fake_timer_free,
};
