/* SPDX-License-Identifier: MIT */
#pragma once

/* The system calls behind the libc functions that interpose.c replaces. */

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bytes that the pieces of a message have together. */
static inline size_t message_size(const struct msghdr *message)
{
        size_t size = 0;

        for (size_t i = 0; i < message->msg_iovlen; i++)
                size += message->msg_iov[i].iov_len;
        return size;
}

static inline int sys_bind(int fd, const struct sockaddr *address, socklen_t length)
{
        return (int)syscall(SYS_bind, fd, address, length);
}

static inline int sys_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
        return (int)syscall(SYS_accept4, fd, address, length, flags);
}

static inline int sys_connect(int fd, const struct sockaddr *address, socklen_t length)
{
        return (int)syscall(SYS_connect, fd, address, length);
}

static inline int sys_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
        return (int)syscall(SYS_getpeername, fd, address, length);
}

static inline ssize_t sys_recvmsg(int fd, struct msghdr *message, int flags)
{
        return syscall(SYS_recvmsg, fd, message, flags);
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags)
{
        return syscall(SYS_sendmsg, fd, message, flags);
}

static inline int sys_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
        return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

static inline int sys_shutdown(int fd, int how)
{
        return (int)syscall(SYS_shutdown, fd, how);
}

static inline int sys_close(int fd)
{
        return (int)syscall(SYS_close, fd);
}
