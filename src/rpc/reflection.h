/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Server reflection: which services a port has, and the descriptors of all that brickd knows. Its
 * two versions differ in name only.
 */

#define REFLECTION_SERVICE "grpc.reflection.v1.ServerReflection"
#define REFLECTION_ALPHA_SERVICE "grpc.reflection.v1alpha.ServerReflection"

/* At a time, per port and version: people and their tools are few. */
#define REFLECTION_STREAMS_MAX 100

struct builtin_method;

extern const struct builtin_method reflection_v1;
extern const struct builtin_method reflection_v1alpha;
