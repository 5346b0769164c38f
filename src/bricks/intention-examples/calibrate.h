/* SPDX-License-Identifier: MIT */
#pragma once

/* How sure a verdict is: logistic regression from how like the text is to the best category, and by
 * how much more than to the next one. */

#include <stdbool.h>
#include <stddef.h>

struct calibration {
        double weights[3]; /* of 1, the likeness and the lead */
};

struct calibration_point {
        double similarity, lead;
        double weight;
        bool right;
};

/* Few points change little of what holds for other sets of examples. */
struct calibration calibrate_from(const struct calibration_point *points, size_t n);

/* 0 to 1. It never falls as the likeness or the lead grows. */
double calibration_confidence(const struct calibration *calibration, double similarity,
                              double lead);
