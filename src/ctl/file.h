/* SPDX-License-Identifier: MIT */
#pragma once

/* The configuration file as brickctl needs it: bricks, ports and the control socket. */

#include "conf/conf.h"
#include "ctl/ctl.h"
#include "util/cleanup.h"

struct file {
        struct conf *conf; /* NULL: the file is missing, not readable, or has mistakes */
        char *control;     /* NULL: the configuration turns the control socket off */
        char *bytes;
};

enum file_mode {
        FILE_MUST_BE_RIGHT, /* print mistakes and fail */
        FILE_MAY_BE_WRONG,  /* ignore mistakes: a running brickd does not serve this file */
        FILE_MAY_BE_BROKEN, /* also if it is not YAML: assume the default control socket, whose
                               brickd may serve another file */
};

/*
 * Reads the file. A file that the user has not named may be missing or unreadable. CTL_OK, or the
 * exit status after an error message. The caller releases *ret with file_done().
 */
int file_open(const struct ctl *ctl, enum file_mode mode, struct file *ret);
void file_done(struct file *file);
