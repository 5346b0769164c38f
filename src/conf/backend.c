/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/conf.h"
#include "conf/node.h"

/* Of `module: remote`: an address of `to`, as the user has written it. */
static const char *remote_backend(const struct conf_brick *brick, size_t index)
{
        const struct node *to = node_get(brick->options, "to");

        if (to && to->kind == NODE_LIST)
                return index < to->n_children ? to->children[index]->text : NULL;
        return to && index == 0 ? to->text : NULL;
}

const char *conf_backend(const struct conf_brick *brick, size_t index)
{
        return brick->module && strcmp(brick->module, "remote") == 0 ? remote_backend(brick, index)
                                                                     : NULL;
}
