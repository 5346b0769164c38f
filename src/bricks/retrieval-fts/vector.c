/* SPDX-License-Identifier: MIT */
#include "vector.h"

#include <math.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define COMPONENT_MAX 127

static void scale_put(uint8_t *to, float scale)
{
        uint32_t bits;

        memcpy(&bits, &scale, sizeof bits);
        for (int i = 0; i < VECTOR_SCALE_SIZE; i++)
                to[i] = (uint8_t)(bits >> 8 * i);
}

static float scale_get(const uint8_t *from)
{
        uint32_t bits = 0;
        float scale;

        for (int i = 0; i < VECTOR_SCALE_SIZE; i++)
                bits |= (uint32_t)from[i] << 8 * i;
        memcpy(&scale, &bits, sizeof scale);
        return scale;
}

bool vector_pack(const float *components, size_t n, void *ret)
{
        uint8_t *to = ret;
        double sum = 0, largest = 0;

        for (size_t i = 0; i < n; i++) {
                double c = components[i];

                if (!isfinite(c))
                        return false;
                sum += c * c;
                largest = fabs(c) > largest ? fabs(c) : largest;
        }
        if (largest <= 0)
                return false;
        scale_put(to, (float)(largest / COMPONENT_MAX / sqrt(sum)));
        for (size_t i = 0; i < n; i++)
                to[VECTOR_SCALE_SIZE + i] = (uint8_t)lround(components[i] / largest *
                                                            COMPONENT_MAX);
        return true;
}

bool vector_unpack(const void *bytes, size_t n, float *ret_scale, int8_t *components)
{
        const uint8_t *from = bytes;

        *ret_scale = scale_get(from);
        memcpy(components, from + VECTOR_SCALE_SIZE, n);
        return isfinite(*ret_scale) && *ret_scale > 0 && *ret_scale <= 1;
}

/* The compiler makes of these what the processor has. */
typedef int8_t bytes __attribute__((vector_size(8)));
typedef int16_t products __attribute__((vector_size(16)));
typedef int32_t totals __attribute__((vector_size(32)));

static int32_t dot(const int8_t *a, const int8_t *b, size_t n)
{
        const size_t lanes = sizeof(bytes);
        totals all = {};
        bytes x, y;
        int32_t sum = 0;
        size_t i = 0;

        for (; i + lanes <= n; i += lanes) {
                memcpy(&x, a + i, sizeof x);
                memcpy(&y, b + i, sizeof y);
                all += __builtin_convertvector(__builtin_convertvector(x, products) *
                                                       __builtin_convertvector(y, products),
                                               totals);
        }
        for (size_t k = 0; k < lanes; k++)
                sum += all[k];
        for (; i < n; i++)
                sum += a[i] * b[i];
        return sum;
}

#ifdef __x86_64__

#define LANES 16 /* components that one step multiplies */

__attribute__((target("avx2"))) static int32_t dot_avx2(const int8_t *a, const int8_t *b, size_t n)
{
        __m256i sums = _mm256_setzero_si256();
        size_t i = 0;
        int32_t parts[8], sum;

        for (; i + LANES <= n; i += LANES) {
                __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(a + i)));
                __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(b + i)));

                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, y));
        }
        _mm256_storeu_si256((void *)parts, sums);
        sum = dot(a + i, b + i, n - i);
        for (int k = 0; k < 8; k++)
                sum += parts[k];
        return sum;
}

int32_t vector_dot(const int8_t *a, const int8_t *b, size_t n)
{
        return __builtin_cpu_supports("avx2") ? dot_avx2(a, b, n) : dot(a, b, n);
}

#else

int32_t vector_dot(const int8_t *a, const int8_t *b, size_t n)
{
        return dot(a, b, n);
}

#endif
