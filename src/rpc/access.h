/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

struct conf;
struct rpc_call;
struct rpc_end;

/* The line about a call that has ended, if `log: access:` wants it. Polling thread. */
void access_log(struct rpc_call *call, const struct rpc_end *end);

/* The same for a call that brickd has answered itself: label stands for brick and method. */
void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        unsigned status, uint64_t started);
