/* SPDX-License-Identifier: MIT */
#pragma once

#include <grpc/grpc.h>

/*
 * A caller that may see how its call is served sends the key of this brickd in the metadata
 * x-brick-explain. Bricks see a 1 there instead; with another value, they see no such metadata.
 */
void explain_check(grpc_metadata_array *metadata, const char *key);
