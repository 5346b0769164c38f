/* SPDX-License-Identifier: MIT */
#include "manager/version.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <yaml.h>

#include "config.h"
#include "util/version.h"

void version_print(void)
{
        (void)printf("brickd %s\n", BRICKD_VERSION);
        version_put_library("jansson", jansson_version_str(), BUILT_WITH_JANSSON);
        version_put_library("libmicrohttpd", MHD_get_version(), BUILT_WITH_MICROHTTPD);
        version_put_library("libsystemd", NULL, BUILT_WITH_SYSTEMD);
        version_put_library("libyaml", yaml_get_version_string(), BUILT_WITH_YAML);
        version_put("configuration", BRICKD_CONFIG_FILE);
}
