/* SPDX-License-Identifier: MIT */
#pragma once

/* The configuration file as brickctl needs it: which bricks, which ports, which control socket. */

#include "conf/conf.h"
#include "ctl/ctl.h"
#include "util/cleanup.h"

struct file {
        struct conf *conf; /* NULL: brickctl may not read the file, or it is not there or wrong */
        char *control;     /* NULL: the configuration says that there is none */
        char *bytes;
};

enum file_mode {
        FILE_MUST_BE_RIGHT, /* mistakes in it are shown and are an error */
        FILE_MAY_BE_WRONG,  /* for what concerns a running brickd, which does not serve this file */
};

/*
 * CTL_OK, or EX_CONFIG and all is said. Only a file that the user has named must be there and be
 * readable.
 */
int file_open(const struct ctl *ctl, enum file_mode mode, struct file *ret);
void file_done(struct file *file);
