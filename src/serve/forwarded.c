/* SPDX-License-Identifier: MIT */
#include "serve/forwarded.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/proxies.h"
#include "serve/peer.h"
#include "util/network.h"

/* What has been read of a list of addresses, whose last is the one that counts. */
struct chain {
        const struct conf_proxies *trusted;
        bool present;
        bool known; /* `client` is: the last that is not trusted, else the first that is */
        unsigned char client[IP_BYTES];
};

/* What a proxy says of the one before it. ip NULL: it does not say, or it says nonsense; then
 * nothing before it is believed, either. */
static void add(struct chain *chain, const unsigned char *ip)
{
        bool is_trusted = ip && proxies_have(chain->trusted, ip);

        if (!ip) {
                chain->known = false;
        } else if (!is_trusted || !chain->known) {
                memcpy(chain->client, ip, IP_BYTES);
                chain->known = true;
        }
}

static struct brick_str trim(struct brick_str s)
{
        while (s.len > 0 && (*s.ptr == ' ' || *s.ptr == '\t')) {
                s.ptr++;
                s.len--;
        }
        while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
                s.len--;
        return s;
}

static struct brick_str until(const char *begin, const char *end)
{
        return (struct brick_str){ begin, (size_t)(end - begin) };
}

/* "192.0.2.7", "192.0.2.7:41234", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:41234" */
static bool parse_node(struct brick_str node, unsigned char ret[static IP_BYTES])
{
        const char *colon = memchr(node.ptr, ':', node.len), *close;

        if (node.len > 0 && *node.ptr == '[') {
                close = memchr(node.ptr, ']', node.len);
                return close && ip_parse(node.ptr + 1, (size_t)(close - node.ptr) - 1, ret);
        }
        if (colon && memchr(node.ptr, '.', (size_t)(colon - node.ptr)))
                node = until(node.ptr, colon);
        return ip_parse(node.ptr, node.len, ret);
}

static void add_node(struct chain *chain, struct brick_str node)
{
        unsigned char ip[IP_BYTES];

        add(chain, parse_node(node, ip) ? ip : NULL);
}

/* --- the two kinds of list ---------------------------------------------------------------------
 */

/* Takes what is before the next such sign outside quotation marks. *ret_rest: what follows it;
 * ptr NULL: nothing. False: a quotation does not end. */
static bool take_part(struct brick_str *rest, char sign, struct brick_str *ret)
{
        bool quoted = false;

        for (size_t i = 0; i < rest->len; i++) {
                if (rest->ptr[i] == '"')
                        quoted = !quoted;
                if (rest->ptr[i] != sign || quoted)
                        continue;
                *ret = trim(until(rest->ptr, rest->ptr + i));
                *rest = until(rest->ptr + i + 1, rest->ptr + rest->len);
                return true;
        }
        *ret = trim(*rest);
        *rest = (struct brick_str){};
        return !quoted;
}

static void read_x_forwarded_for(struct chain *chain, struct brick_str list)
{
        struct brick_str node;

        chain->present = true;
        while (list.ptr) {
                const char *comma = memchr(list.ptr, ',', list.len);
                const char *end = list.ptr + list.len;

                node = trim(until(list.ptr, comma ? comma : end));
                list = comma ? until(comma + 1, end) : (struct brick_str){};
                if (node.len > 0)
                        add_node(chain, node);
        }
}

/* The value of for= in `proto=https;for="[2001:db8::7]:41234"`; empty: there is none. */
static struct brick_str find_for(struct brick_str element)
{
        static const char key[] = "for=";
        const size_t n = sizeof key - 1;
        struct brick_str pair;

        while (element.ptr && take_part(&element, ';', &pair)) {
                if (pair.len <= n || strncasecmp(pair.ptr, key, n) != 0)
                        continue;
                pair = until(pair.ptr + n, pair.ptr + pair.len);
                if (pair.len >= 2 && *pair.ptr == '"' && pair.ptr[pair.len - 1] == '"')
                        pair = until(pair.ptr + 1, pair.ptr + pair.len - 1);
                return pair;
        }
        return (struct brick_str){ "", 0 };
}

static void read_forwarded(struct chain *chain, struct brick_str list)
{
        struct brick_str element;

        chain->present = true;
        while (list.ptr) {
                if (!take_part(&list, ',', &element))
                        add(chain, NULL);
                else if (element.len > 0)
                        add_node(chain, find_for(element));
        }
}

static bool is(struct brick_str name, const char *text)
{
        return name.len == strlen(text) && strncasecmp(name.ptr, text, name.len) == 0;
}

bool forwarded_client(const struct conf_proxies *trusted, struct brick_str peer,
                      forwarded_field *field, const void *request, char ret[static FORWARDED_MAX])
{
        struct chain usual = { .trusted = trusted }, standard = usual;
        const struct chain *chain;
        unsigned char ip[IP_BYTES];
        struct brick_str name, value;
        char text[IP_TEXT_MAX];

        if (!proxies_any(trusted) || !proxies_have(trusted, peer_ip(peer, ip) ? ip : NULL))
                return false;
        for (size_t i = 0; field(request, i, &name, &value); i++) {
                if (is(name, "x-forwarded-for"))
                        read_x_forwarded_for(&usual, value);
                else if (is(name, "forwarded"))
                        read_forwarded(&standard, value);
        }
        chain = usual.present ? &usual : &standard;
        if (!chain->known)
                return false;
        ip_print(chain->client, text);
        (void)snprintf(ret, FORWARDED_MAX, ip_is_v4(chain->client) ? "ipv4:%s" : "ipv6:[%s]", text);
        return true;
}
