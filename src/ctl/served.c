/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/stat.h>

#include "ctl/served.h"

static const char *text_of(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

static bool is_same_file(const char *a, const char *b)
{
        struct stat x, y;

        return strcmp(a, b) == 0 || (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
                                     x.st_ino == y.st_ino);
}

bool served_file(const json_t *status, const char *path)
{
        const char *config = text_of(status, "config");

        return config && is_same_file(config, path);
}

const json_t *served_brick(const json_t *status, const char *name)
{
        size_t index;
        json_t *brick;

        json_array_foreach(json_object_get(status, "bricks"), index, brick)
        {
                const char *other = text_of(brick, "name");

                if (other && strcmp(other, name) == 0)
                        return brick;
        }
        return NULL;
}

const char *served_type(const json_t *status, const char *name)
{
        return text_of(served_brick(status, name), "type");
}

static bool is_of(const json_t *status, const char *name, const struct service *service)
{
        const char *type = served_type(status, name);

        return type && service_find(type) == service;
}

static bool has(const json_t *status, const json_t *port, const char *brick,
                const struct service *service)
{
        size_t index;
        json_t *entry;

        if (!brick && !service)
                return true;
        json_array_foreach(json_object_get(port, "bricks"), index, entry)
        {
                const char *name = json_string_value(entry);

                if (name && (brick ? strcmp(name, brick) == 0 : is_of(status, name, service)))
                        return true;
        }
        return false;
}

/* False: it serves no health checks, or wants a certificate that the caller does not have. */
static bool may_be_checked(const json_t *port, bool certificate)
{
        struct conf_tls tls = served_tls(port);

        return !json_is_false(json_object_get(port, "health")) &&
               (certificate || !tls.client_ca || tls.client_optional);
}

static bool is_for_grpc(const json_t *port)
{
        const char *protocol = text_of(port, "protocol");

        return protocol && strcmp(protocol, "grpc") == 0 && served_address(port);
}

const json_t *served_port(const json_t *status, const char *brick, const struct service *service,
                          bool certificate)
{
        const json_t *any = NULL, *with_it = NULL;
        size_t index;
        json_t *port;

        json_array_foreach(json_object_get(status, "ports"), index, port)
        {
                if (!is_for_grpc(port))
                        continue;
                any = any ?: port;
                if (!has(status, port, brick, service))
                        continue;
                if (may_be_checked(port, certificate))
                        return port;
                with_it = with_it ?: port;
        }
        return with_it ?: any;
}

const char *served_address(const json_t *port)
{
        const char *address = text_of(port, "address");

        return address && strncmp(address, "systemd:", 8) != 0 ? address : NULL;
}

struct conf_tls served_tls(const json_t *port)
{
        const json_t *tls = json_object_get(port, "tls");

        return (struct conf_tls){
                .certificate = text_of(tls, "certificate"),
                .client_ca = text_of(tls, "client_ca"),
                .client_optional = json_is_true(json_object_get(tls, "client_optional")),
        };
}
