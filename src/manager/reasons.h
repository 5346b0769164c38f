/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Why a generation failed: one text per reason, for the log, the terminal and the control bus. The
 * texts are UTF-8 without control characters other than '\n'. If memory runs out, a reason is
 * missing. Embedded; all zero is empty.
 */

#include <stddef.h>

struct diag;
struct process;

struct reasons {
        char **texts;
        size_t n;
};

/* The text may quote a path or the name of another process, which can be any bytes. */
void reasons_add(struct reasons *reasons, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Adds the mistakes that were found in the file. */
void reasons_add_diag(struct reasons *reasons, const struct diag *diag);

/* Adds the mistakes that a worker found. Each text begins with `file`, the configuration's name. */
void reasons_add_diagnostics(struct reasons *reasons, const char *file, const struct process *dead);

/* All reasons, a line each; free() it. 0 or -ENOMEM. */
int reasons_join(const struct reasons *reasons, char **ret);
void reasons_done(struct reasons *reasons);
