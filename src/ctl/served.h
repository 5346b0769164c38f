/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a running brickd serves, from its status: the configuration file may have been changed
 * since, and have mistakes. All results are borrowed from the status.
 */

#include <jansson.h>

#include "conf/conf.h"
#include "ctl/service.h"

/* Whether it serves this file, or an earlier version of it. */
bool served_file(const json_t *status, const char *path);

/* NULL: it has no brick of this name. */
const json_t *served_brick(const json_t *status, const char *name);

/* The type of a brick; NULL: it has none of this name, or the type is not known. */
const char *served_type(const json_t *status, const char *name);

/*
 * The port for gRPC whose health can be checked, and that has the brick, or one of the service if
 * brick is NULL, or anything if both are; otherwise the next best one, which tells what is wrong.
 * certificate: the caller has one. NULL: there is no such port.
 */
const json_t *served_port(const json_t *status, const char *brick, const struct service *service,
                          bool certificate);

/* NULL: not known, as of a socket of systemd's. */
const char *served_address(const json_t *port);
struct conf_tls served_tls(const json_t *port);
