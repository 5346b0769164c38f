/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "manager/holder.h"
#include "util/cleanup.h"
#include "util/utf8.h"

#define TCP_STATE_LISTEN 0x0A

int holder_by_pid(pid_t pid, char **ret)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[64], comm[64] = "";

        if (pid == getpid())
                return asprintf(ret, "this brickd itself; to change its address takes a restart") <
                                       0
                               ? -ENOMEM
                               : 0;
        (void)snprintf(path, sizeof path, "/proc/%d/comm", pid);
        f = fopen(path, "re");
        if (!f || !fgets(comm, sizeof comm, f))
                return -ENOENT;
        comm[strcspn(comm, "\n")] = '\0';
        utf8_clean(comm, strlen(comm)); /* any bytes; the kernel may cut it inside a character */
        return asprintf(ret, "%s (pid %d)", comm, pid) < 0 ? -ENOMEM : 0;
}

static bool process_has(const char *pid, const char *link)
{
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        char path[300], target[64];

        (void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
        dir = opendir(path);
        if (!dir)
                return false;
        while ((entry = readdir(dir))) {
                ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);

                if (n <= 0)
                        continue;
                target[n] = '\0';
                if (strcmp(target, link) == 0)
                        return true;
        }
        return false;
}

static int holder_of_inode(unsigned long inode, char **ret)
{
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *entry;
        char link[64];

        (void)snprintf(link, sizeof link, "socket:[%lu]", inode);
        /* First, because the workers share our sockets: name brickd, not one of them. */
        if (process_has("self", link))
                return holder_by_pid(getpid(), ret);
        dir = opendir("/proc");
        if (!dir)
                return -ENOENT;
        while ((entry = readdir(dir)))
                if (isdigit((unsigned char)entry->d_name[0]) && process_has(entry->d_name, link))
                        return holder_by_pid((pid_t)atoi(entry->d_name), ret);
        return -ENOENT;
}

/* The address as in /proc/net/tcp and tcp6: hexadecimal words in the host's byte order. */
static void address_text(const union inet_address *address, char ret[33])
{
        const uint32_t *words = address->v6.sin6_addr.s6_addr32;

        if (address->any.sa_family == AF_INET)
                (void)snprintf(ret, 33, "%08X", address->v4.sin_addr.s_addr);
        else
                (void)snprintf(ret, 33, "%08X%08X%08X%08X", words[0], words[1], words[2], words[3]);
}

static bool is_wildcard(const char *text)
{
        return text[strspn(text, "0")] == '\0';
}

static unsigned long listener_inode(const char *table, const union inet_address *address)
{
        _cleanup_fclose_ FILE *f = fopen(table, "re");
        char wanted[33], line[512];

        address_text(address, wanted);
        while (f && fgets(line, sizeof line, f)) {
                char local[33];
                unsigned port, state;
                unsigned long inode;

                if (sscanf(line, "%*u: %32[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", local, &port,
                           &state, &inode) != 4)
                        continue;
                if (state == TCP_STATE_LISTEN && port == ntohs(address->v4.sin_port) &&
                    (strcmp(local, wanted) == 0 || is_wildcard(local) || is_wildcard(wanted)))
                        return inode;
        }
        return 0;
}

/* Reads /proc/self/net: with ProcSubset=pid, as in the unit, there is no /proc/net. */
int holder_of_port(const union inet_address *address, char **ret)
{
        unsigned long inode = listener_inode("/proc/self/net/tcp", address);

        if (inode == 0)
                inode = listener_inode("/proc/self/net/tcp6", address);
        return inode == 0 ? -ENOENT : holder_of_inode(inode, ret);
}
