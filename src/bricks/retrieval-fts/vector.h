/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Vectors of one byte a component. A vector of length 1 is stored as its components divided by a
 * scale, rounded to -127 to 127: four bytes for the scale, a float with the least significant byte
 * first, and a byte for each component. The product of two is off by less than a hundredth.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_DIMENSION_MAX 4096
#define VECTOR_SCALE_SIZE 4
#define VECTOR_SIZE(dimension) (VECTOR_SCALE_SIZE + (dimension))

/* Writes VECTOR_SIZE(n) bytes. The vector need not have length 1. False: it has no direction, or a
 * component is not finite. */
bool vector_pack(const float *components, size_t n, void *ret);

/* Reads what vector_pack() wrote: the scale, and components[n]. False: the scale is not possible.
 */
bool vector_unpack(const void *bytes, size_t n, float *ret_scale, int8_t *components);

/* The sum of the products of n components; n is at most VECTOR_DIMENSION_MAX. */
int32_t vector_dot(const int8_t *a, const int8_t *b, size_t n);
