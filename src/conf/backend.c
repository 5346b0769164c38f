/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/conf.h"
#include "conf/get.h"
#include "conf/node.h"
#include "conf/process.h"

/* Of `module: remote`: an address of `to`, as the user has written it. */
static const char *remote_backend(const struct conf_brick *brick, size_t index)
{
        const struct node *to = node_get(brick->options, "to");

        if (to && to->kind == NODE_LIST)
                return index < to->n_children ? to->children[index]->text : NULL;
        return to && index == 0 ? to->text : NULL;
}

/* Of a brick in processes of its own. Their number is known once its options have been checked. */
static const char *process_backend(const struct conf_brick *brick, size_t index)
{
        static const char *const names[PROCESSES_MAX] = {
                "process 0",  "process 1",  "process 2",  "process 3",  "process 4",  "process 5",
                "process 6",  "process 7",  "process 8",  "process 9",  "process 10", "process 11",
                "process 12", "process 13", "process 14", "process 15",
        };

        return index < (size_t)get_number(brick->checked, "processes") ? names[index] : NULL;
}

const char *conf_backend(const struct conf_brick *brick, size_t index)
{
        if (process_table(brick))
                return process_backend(brick, index);
        return brick->module && strcmp(brick->module, "remote") == 0 ? remote_backend(brick, index)
                                                                     : NULL;
}
