/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "conf/node.h"
#include "conf/yaml.h"
#include "config.h"
#include "ctl/file.h"

/* As the table of options has it. NULL: out of memory. */
static char *default_control(void)
{
        const char *directory = getenv("RUNTIME_DIRECTORY");
        char *path;

        if (!directory || !*directory)
                directory = BRICKD_RUNTIME_DIR;
        return asprintf(&path, "%s/control", directory) < 0 ? NULL : path;
}

/* The file is not YAML. -EINVAL: this has been reported. */
static int guess_default(const struct ctl *ctl, enum file_mode mode, const struct diag *diag,
                         char **ret)
{
        if (mode == FILE_MAY_BE_BROKEN) {
                *ret = default_control();
                return *ret ? 0 : -ENOMEM;
        }
        diag_print(diag, stderr);
        ctl_error(0, "Cannot find the control socket in the configuration; use --control PATH");
        return -EINVAL;
}

/* Finds the control socket in a file with mistakes, which do not concern the socket. */
static int guess_control(const struct ctl *ctl, enum file_mode mode, const char *bytes,
                         size_t length, char **ret)
{
        _cleanup_(document_freep) struct document *doc = NULL;
        _cleanup_(diag_freep) struct diag *diag = NULL;
        const struct node *control;
        struct node *root;
        int r;

        r = document_new(&doc);
        if (r < 0)
                return r;
        r = diag_new(&diag, ctl->config, bytes, length);
        if (r < 0)
                return r;
        r = yaml_parse(doc, bytes, length, diag, &root);
        if (r < 0)
                return r == -EINVAL ? guess_default(ctl, mode, diag, ret) : r;
        control = node_get(root, "control");
        if (!control || control->kind != NODE_SCALAR)
                *ret = default_control();
        else if (node_is_null(control) || control->length == 0)
                return 0;
        else
                *ret = strdup(control->text);

        return *ret ? 0 : -ENOMEM;
}

/* -EINVAL: the file has mistakes, which have been printed if mode asks for it. */
static int parse(const struct ctl *ctl, enum file_mode mode, size_t length, struct file *file)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        int r;

        r = diag_new(&diag, ctl->config, file->bytes, length);
        if (r < 0)
                return r;
        r = conf_parse(&file->conf, ctl->config, file->bytes, length, diag);
        if (r == -EINVAL && mode == FILE_MUST_BE_RIGHT)
                diag_print(diag, stderr);

        return r;
}

static int find_control(const struct ctl *ctl, enum file_mode mode, size_t length,
                        struct file *file)
{
        if (ctl->control)
                file->control = strdup(ctl->control);
        else if (file->conf && !file->conf->control)
                return 0;
        else if (file->conf)
                file->control = strdup(file->conf->control);
        else if (file->bytes)
                return guess_control(ctl, mode, file->bytes, length, &file->control);
        else
                file->control = default_control();

        return file->control ? 0 : -ENOMEM;
}

int file_open(const struct ctl *ctl, enum file_mode mode, struct file *ret)
{
        struct file file = {};
        size_t length = 0;
        int r;

        r = conf_read(ctl->config, &file.bytes, &length);
        if (r < 0 && ctl->config_given)
                return ctl_error(EX_CONFIG, "Failed to read %s: %s", ctl->config, conf_strerror(r));
        if (r >= 0)
                r = parse(ctl, mode, length, &file);
        if (r == -EINVAL && mode == FILE_MUST_BE_RIGHT) {
                file_done(&file);
                return EX_CONFIG;
        }
        r = find_control(ctl, mode, length, &file);
        if (r < 0) {
                file_done(&file);
                return r == -EINVAL ? EX_CONFIG : ctl_error(EX_OSERR, "Out of memory");
        }
        *ret = file;

        return CTL_OK;
}

void file_done(struct file *file)
{
        conf_free(file->conf);
        free(file->control);
        free(file->bytes);
        *file = (struct file){};
}
