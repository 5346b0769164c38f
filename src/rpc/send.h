/* SPDX-License-Identifier: MIT */
#pragma once

/* Write batches: headers, replies, the status. */

#include <stdbool.h>

struct call;
struct run_item;

/* transport->pump(): starts a write batch if there is something to write and none is under way; on
 * the polling thread, unless the brick is a blocking one. Lock held. [any] */
void rpc_pump(struct call *base);

/* Events. [polling thread] */
void rpc_on_write(void *owner, bool ok);
void rpc_run_write(struct run_item *item);
