/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Server reflection: the services of a port, and the descriptors of everything that brickd knows.
 * The two versions differ only in name.
 */

#define REFLECTION_SERVICE "grpc.reflection.v1.ServerReflection"
#define REFLECTION_ALPHA_SERVICE "grpc.reflection.v1alpha.ServerReflection"

/* Open streams, for each port and version: only people and their tools use reflection. */
#define REFLECTION_STREAMS_MAX 100

struct builtin_method;

extern const struct builtin_method reflection_v1;
extern const struct builtin_method reflection_v1alpha;
