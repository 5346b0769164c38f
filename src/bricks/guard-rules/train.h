/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Trains a linear model: multinomial logistic regression by stochastic gradient descent (AdaGrad),
 * on the window of each text that looks worst, because that is what is judged later. The same texts
 * in the same order give the same bytes.
 */

#include <stddef.h>
#include <stdint.h>

#include "texts.h"

struct train_options {
        const char *harmless; /* the label of harmless texts */
        uint32_t bits;        /* as in struct linear_header */
        unsigned rounds;      /* over all texts */
};

/* Writes a model, for free(). 0; -EINVAL: *ret_error says what is wrong with the texts; -ENOMEM. */
int train(const struct texts *texts, const struct train_options *options, void **ret,
          size_t *ret_size, const char **ret_error);
