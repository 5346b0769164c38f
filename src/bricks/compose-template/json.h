/* SPDX-License-Identifier: MIT */
#pragma once

/* Values of templates as google.protobuf.Value. */

#include "brick-sdk.h"
#include "expr/expr.h"

#define JSON_DEPTH_MAX 32 /* of lists and objects in a value */

/* Sets *ret, in the memory of the call. 0; -E2BIG: nested too deep; -ENOMEM. */
int json_set(struct brick_call *call, const struct expr_value *value, Value *ret);
