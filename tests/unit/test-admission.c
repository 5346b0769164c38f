/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <string.h>

#include "module/share.h"
#include "serve/admission.h"

/* Which calls count for the same client. */

static struct share_party party(const char *identity, const char *peer, uint64_t connection)
{
        struct share_party party = { .connection = connection };

        admission_client(brick_str(identity), brick_str(peer), &party);
        return party;
}

static void check(bool same, struct share_party a, struct share_party b)
{
        assert((memcmp(a.client, b.client, sizeof a.client) == 0) == same);
}

int main(void)
{
        const char *longest = "an-identity-of-sixty-three-characters-is-the-longest-that-there";

        /* The port does not matter, the address does. */
        check(true, party("", "ipv4:10.0.0.1:1", 1), party("", "ipv4:10.0.0.1:65535", 2));
        check(false, party("", "ipv4:10.0.0.1:1", 1), party("", "ipv4:10.0.0.11:1", 1));
        check(false, party("", "ipv4:10.0.0.1:1", 1), party("", "ipv4:10.0.0.2:1", 1));

        /* Of IPv6, the network; an IPv4 address is one in any notation. */
        check(true, party("", "ipv6:%5B2001:db8::1%5D:1", 1),
              party("", "ipv6:[2001:db8:0:0:ffff::2]:2", 2));
        check(false, party("", "ipv6:%5B2001:db8::1%5D:1", 1),
              party("", "ipv6:%5B2001:db8:0:1::1%5D:1", 1));
        check(true, party("", "ipv6:%5B::ffff:10.0.0.1%5D:1", 1), party("", "ipv4:10.0.0.1:1", 2));
        check(true, party("", "ipv6:%5Bfe80::1%25eth0%5D:1", 1),
              party("", "ipv6:%5Bfe80::2%5D:1", 2));

        /* Who has an identity has it everywhere. */
        check(true, party("web", "ipv4:10.0.0.1:1", 1), party("web", "unix:/run/x", 2));
        check(false, party("web", "ipv4:10.0.0.1:1", 1), party("batch", "ipv4:10.0.0.1:1", 1));
        check(false, party("web", "", 1), party("", "web", 1));
        assert(strlen(longest) == 63);
        check(true, party(longest, "", 1), party(longest, "", 2));

        /* Of a unix socket, the user. */
        check(true, party("", "unix:uid=1000", 1), party("", "unix:uid=1000", 2));
        check(false, party("", "unix:uid=1000", 1), party("", "unix:uid=100", 1));
        check(false, party("", "unix:uid=1000", 7), party("", "unix:uid=1000x", 7));
        check(false, party("", "unix:uid=4294967294", 7), party("", "unix:uid=-2", 7));

        /* Else the connection is all that there is. */
        check(true, party("", "unix:", 7), party("", "unix:", 7));
        check(false, party("", "unix:", 7), party("", "unix:", 8));
        check(false, party("", "ipv4:nonsense", 7), party("", "ipv4:nonsense", 8));
        check(false, party("", "", 7), party("", "", 8));
        return 0;
}
