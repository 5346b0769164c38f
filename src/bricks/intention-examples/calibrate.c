/* SPDX-License-Identifier: MIT */
#include "calibrate.h"

#include <math.h>

#define STEPS 20
#define STEP_MAX 1.0 /* of a weight: Newton's method would leave where the slope is flat */
#define PRIOR 1.0    /* how much what is known before counts, in points */

/* Without any example: a likeness of one half, with no lead, may as well be wrong as right. */
static const struct calibration known = { { -4, 8, 8 } };

static double raw(const double weights[3], double similarity, double lead)
{
        return 1 / (1 + exp(-(weights[0] + weights[1] * similarity + weights[2] * lead)));
}

/* Solves the symmetric positive definite a x = b by elimination; x replaces b. */
static void solve(double a[3][3], double b[3])
{
        for (int i = 0; i < 3; i++)
                for (int k = i + 1; k < 3; k++) {
                        double factor = a[k][i] / a[i][i];

                        for (int j = i; j < 3; j++)
                                a[k][j] -= factor * a[i][j];
                        b[k] -= factor * b[i];
                }
        for (int i = 2; i >= 0; i--) {
                for (int j = i + 1; j < 3; j++)
                        b[i] -= a[i][j] * b[j];
                b[i] /= a[i][i];
        }
}

static void add_point(const double weights[3], const struct calibration_point *point,
                      double hessian[3][3], double gradient[3])
{
        double x[3] = { 1, point->similarity, point->lead };
        double p = raw(weights, point->similarity, point->lead);

        for (int i = 0; i < 3; i++) {
                gradient[i] += point->weight * x[i] * ((point->right ? 1 : 0) - p);
                for (int j = 0; j < 3; j++)
                        hessian[i][j] += point->weight * x[i] * x[j] * p * (1 - p);
        }
}

/* Newton's method. The prior makes the matrix definite. */
struct calibration calibrate_from(const struct calibration_point *points, size_t n)
{
        struct calibration ret = known;

        for (int step = 0; step < STEPS; step++) {
                double hessian[3][3] = { { PRIOR, 0, 0 }, { 0, PRIOR, 0 }, { 0, 0, PRIOR } };
                double gradient[3];

                for (int i = 0; i < 3; i++)
                        gradient[i] = PRIOR * (known.weights[i] - ret.weights[i]);
                for (size_t i = 0; i < n; i++)
                        add_point(ret.weights, &points[i], hessian, gradient);
                solve(hessian, gradient);
                for (int i = 0; i < 3; i++)
                        ret.weights[i] += fmax(fmin(gradient[i], STEP_MAX), -STEP_MAX);
        }
        for (int i = 1; i < 3; i++)
                ret.weights[i] = fmax(ret.weights[i], 0);
        return ret;
}

double calibration_confidence(const struct calibration *calibration, double similarity, double lead)
{
        return raw(calibration->weights, similarity, lead);
}
