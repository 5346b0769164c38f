/* SPDX-License-Identifier: MIT */
#pragma once

struct rpc_call;

/* The line about a call that has ended, if `log: access:` wants it. Polling thread. */
void access_log(struct rpc_call *call);
