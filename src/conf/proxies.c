/* SPDX-License-Identifier: MIT */
#include "conf/proxies.h"

#include <errno.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/document.h"
#include "conf/get.h"
#include "conf/node.h"
#include "util/network.h"

#define LOCAL "unix"

int proxies_read(struct document *doc, const struct node *port, const char *key,
                 struct conf_proxies *ret, struct diag *diag)
{
        const struct node *list = get_node(port, key);
        struct network *networks;

        if (!list)
                return 0;
        networks = document_alloc(doc, (list->n_children + 1) * sizeof *networks);
        if (!networks)
                return -ENOMEM;
        ret->networks = networks;
        for (size_t i = 0; i < list->n_children; i++) {
                const struct node *node = list->children[i];
                const char *mistake;

                if (node->bad)
                        continue;
                if (strcmp(node->text, LOCAL) == 0) {
                        ret->local = true;
                        continue;
                }
                mistake = network_parse(&networks[ret->n_networks], node->text);
                if (mistake)
                        diag_add(diag, node, "\"%s\": %s", node->text, mistake);
                else
                        ret->n_networks++;
        }
        return 0;
}

bool proxies_have(const struct conf_proxies *proxies, const unsigned char *ip)
{
        if (!ip)
                return proxies->local;
        for (size_t i = 0; i < proxies->n_networks; i++)
                if (network_has(&proxies->networks[i], ip))
                        return true;
        return false;
}

bool proxies_any(const struct conf_proxies *proxies)
{
        return proxies->local || proxies->n_networks > 0;
}
