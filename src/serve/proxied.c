/* SPDX-License-Identifier: MIT */
#include "serve/proxied.h"

#include <stdlib.h>
#include <sys/timerfd.h>

#include "conf/conf.h"
#include "serve/listener.h"
#include "serve/peers.h"
#include "serve/proxy-header.h"
#include "util/clock.h"
#include "util/syscall.h"

struct waiting {
        struct waiting *next, **link;
        int fd;
        uint64_t since; /* clock_now() */
        struct sockaddr_storage address;
};

struct proxied {
        struct listener *listener;
        int epoll; /* of what waits, and of the timer */
        int timer; /* expires when the oldest has waited for too long */
        struct waiting *oldest, **end;
};

static bool watch(struct proxied *p, int fd, void *what)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = what };

        return sys_epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

struct proxied *proxied_new(struct listener *listener)
{
        _cleanup_(proxied_freep) struct proxied *p = calloc(1, sizeof *p);

        if (!p)
                return NULL;
        p->listener = listener;
        p->end = &p->oldest;
        p->epoll = epoll_create1(EPOLL_CLOEXEC);
        p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (p->epoll < 0 || p->timer < 0 || !watch(p, p->timer, NULL))
                return NULL;
        return TAKE_PTR(p);
}

bool proxied_wait(struct proxied *p, int epoll, struct epoll_event *event)
{
        return sys_epoll_ctl(epoll, EPOLL_CTL_ADD, p->epoll, event) == 0;
}

void proxied_wait_again(struct proxied *p, int epoll, struct epoll_event *event)
{
        (void)sys_epoll_ctl(epoll, EPOLL_CTL_MOD, p->epoll, event);
}

/* --- what waits ---------------------------------------------------------------------------------
 */

static void set_timer(struct proxied *p)
{
        struct itimerspec when = {};
        uint64_t end;

        if (p->oldest) {
                end = p->oldest->since + (uint64_t)p->listener->conf->handshake;
                when.it_value.tv_sec = (time_t)(end / NSEC_PER_SEC);
                when.it_value.tv_nsec = (long)(end % NSEC_PER_SEC);
        }
        (void)timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

bool proxied_add(struct proxied *p, int fd, const struct sockaddr_storage *address)
{
        struct waiting *w = calloc(1, sizeof *w);

        if (!w)
                return false;
        w->fd = fd;
        w->since = clock_now();
        w->address = *address;
        if (!watch(p, fd, w)) {
                free(w);
                return false;
        }
        w->link = p->end;
        *w->link = w;
        p->end = &w->next;
        if (p->oldest == w)
                set_timer(p);
        return true;
}

/* It waits no more; its descriptor is still open. */
static void leave(struct proxied *p, struct waiting *w)
{
        bool was_oldest = p->oldest == w;

        (void)sys_epoll_ctl(p->epoll, EPOLL_CTL_DEL, w->fd, NULL);
        *w->link = w->next;
        if (w->next)
                w->next->link = w->link;
        else
                p->end = w->link;
        free(w);
        if (was_oldest)
                set_timer(p);
}

/* why: what is counted and logged; STATS_REASONS: nothing. */
static void drop(struct proxied *p, struct waiting *w, enum stats_reason why)
{
        const struct peer_key nobody = { .listener = p->listener };
        const struct peer_key key = peers_key(p->listener, (struct sockaddr *)&w->address);
        int fd = w->fd;

        if (why != STATS_REASONS)
                peers_reject(&key, why);
        peers_remove(&nobody);
        leave(p, w);
        (void)sys_close(fd);
}

struct proxied *proxied_free(struct proxied *p)
{
        if (!p)
                return NULL;
        while (p->oldest)
                drop(p, p->oldest, STATS_REASONS);
        if (p->timer >= 0)
                (void)sys_close(p->timer);
        if (p->epoll >= 0)
                (void)sys_close(p->epoll);
        free(p);
        return NULL;
}

static void drop_overdue(struct proxied *p)
{
        uint64_t now = clock_now();

        while (p->oldest && now - p->oldest->since >= (uint64_t)p->listener->conf->handshake)
                drop(p, p->oldest, STATS_REJECTED_HANDSHAKE);
        set_timer(p);
}

/* --- headers ------------------------------------------------------------------------------------
 */

/* The connection is counted under its address, if a limit allows that; else it is closed. */
static int hand_over(struct proxied *p, struct waiting *w, const struct sockaddr_storage *address)
{
        const struct peer_key key = peers_key(p->listener, (const struct sockaddr *)address);
        int fd = w->fd;

        leave(p, w);
        if (peers_name(&key))
                return fd;
        (void)sys_close(fd);
        return -1;
}

/* Its descriptor, if its header has come; else -1. */
static int read_header(struct proxied *p, struct waiting *w, uint32_t events,
                       struct sockaddr_storage *ret_address)
{
        unsigned char bytes[PROXY_HEADER_MAX];
        ssize_t n = recv(w->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
        struct sockaddr_storage client = {};
        size_t length = 0;

        switch (proxy_header_parse(bytes, n > 0 ? (size_t)n : 0, &length, &client)) {
        case PROXY_HEADER_MORE:
                if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) /* a port scan, a health check */
                        drop(p, w, STATS_REASONS);
                return -1;
        case PROXY_HEADER_BAD:
                drop(p, w, STATS_REJECTED_PROXY);
                return -1;
        case PROXY_HEADER_OWN:
                client = w->address;
                break;
        case PROXY_HEADER_NAMED:
                break;
        }
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ||
            recv(w->fd, bytes, length, MSG_DONTWAIT) != (ssize_t)length) {
                drop(p, w, STATS_REASONS);
                return -1;
        }
        *ret_address = client;
        return hand_over(p, w, &client);
}

int proxied_next(struct proxied *p, struct sockaddr_storage *ret_address)
{
        struct epoll_event event;
        int fd = -1;

        /* libc's epoll_wait(), which brickd-worker replaces */
        while (fd < 0 && epoll_pwait(p->epoll, &event, 1, 0, NULL) == 1) {
                if (event.data.ptr)
                        fd = read_header(p, event.data.ptr, event.events, ret_address);
                else
                        drop_overdue(p);
        }
        return fd;
}
