/* SPDX-License-Identifier: MIT */
#include "serve/peer.h"

#include <string.h>

#include "util/network.h"

/* Takes the start off, if the text has it. */
static bool take(struct brick_str *text, const char *start)
{
        size_t n = strlen(start);

        if (text->len < n || memcmp(text->ptr, start, n) != 0)
                return false;
        text->ptr += n;
        text->len -= n;
        return true;
}

/* What is before the end that this text marks; all of it, if it has none. */
static size_t before(struct brick_str text, const char *mark)
{
        const char *found = memmem(text.ptr, text.len, mark, strlen(mark));

        return found ? (size_t)(found - text.ptr) : text.len;
}

bool peer_ip(struct brick_str peer, unsigned char *ret)
{
        if (take(&peer, "ipv4:"))
                return ip_parse(peer.ptr, before(peer, ":"), ret);
        if (take(&peer, "ipv6:["))
                return ip_parse(peer.ptr, before(peer, "]"), ret);
        /* "%5D", or the "%25" before the interface of a link-local address. */
        return take(&peer, "ipv6:%5B") && ip_parse(peer.ptr, before(peer, "%"), ret);
}
