/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "ctl/options.h"
#include "ctl/output.h"
#include "util/standard.h"

int main(int argc, char **argv)
{
        const struct command *command;
        struct ctl ctl;
        int status;

        standard_open();
        (void)setlocale(LC_CTYPE, "");
        status = options_parse(&ctl, argc, argv, &command);
        if (status < 0) {
                output_set_colour(!ctl.no_color && output_wants_colour(stdout));
                status = command->run(&ctl);
        }
        if (fflush(stdout) != 0 || ferror(stdout))
                return ctl_error(EX_IOERR, "Failed to write: %s", strerror(errno));

        return status;
}
