/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "ctl/tls.h"

static int read_text(const char *path, char **ret)
{
        _cleanup_free_ char *bytes = NULL;
        size_t length = 0;
        int r;

        r = conf_read(path, &bytes, &length);
        if (r < 0)
                return r;
        *ret = strndup(bytes, length);
        return *ret ? 0 : -ENOMEM;
}

/* path may be NULL: there is nothing to read. CTL_OK, or the exit status after an error message. */
static int read_option(const char *option, const char *path, char **ret)
{
        int r = path ? read_text(path, ret) : 0;

        return r < 0 ? ctl_error(EX_USAGE, "%s: %s: %s", option, path, conf_strerror(r)) : CTL_OK;
}

/* Trusts only the port's own certificate. The certificates after it have issued others as well. */
static int pin(const struct ctl *ctl, const char *listen, const char *path, struct rpc_tls *tls)
{
        static const char last_line[] = "-----END CERTIFICATE-----";
        char *end;
        int r;

        r = read_text(path, &tls->roots);
        if (r < 0)
                return ctl_error(EX_CONFIG,
                                 "%s: the certificate of %s cannot be read: %s: %s; say --tls-ca",
                                 ctl->config, listen, path, conf_strerror(r));
        end = strstr(tls->roots, last_line);
        if (end)
                end[strlen(last_line)] = '\0';
        tls->pinned = true;
        return CTL_OK;
}

static int find(const struct ctl *ctl, const char *listen, const struct conf_tls *port,
                struct rpc_tls *tls)
{
        int r;

        tls->wanted = ctl->tls.wanted || port->certificate;
        if (!tls->wanted)
                return CTL_OK;
        if (!ctl->tls.certificate != !ctl->tls.key)
                return ctl_error(EX_USAGE, "--tls-cert and --tls-key must be used together");
        if (!ctl->tls.certificate && port->client_ca && !port->client_optional)
                return ctl_error(EX_USAGE,
                                 "%s requires a client certificate; use --tls-cert and "
                                 "--tls-key",
                                 listen);
        r = read_option("--tls-cert", ctl->tls.certificate, &tls->certificate);
        if (r == CTL_OK)
                r = read_option("--tls-key", ctl->tls.key, &tls->key);
        if (r == CTL_OK)
                r = read_option("--tls-ca", ctl->tls.ca, &tls->roots);
        if (r != CTL_OK)
                return r;
        tls->name = ctl->tls.name;
        if (!tls->roots && port->certificate)
                return pin(ctl, listen, port->certificate, tls);
        return CTL_OK;
}

int tls_find(const struct ctl *ctl, const char *listen, const struct conf_tls *port,
             struct rpc_tls *ret)
{
        struct rpc_tls tls = {};
        int r;

        r = find(ctl, listen, port, &tls);
        if (r != CTL_OK) {
                tls_done(&tls);
                return r;
        }
        *ret = tls;

        return CTL_OK;
}

void tls_done(struct rpc_tls *tls)
{
        free(tls->roots);
        free(tls->certificate);
        if (tls->key)
                explicit_bzero(tls->key, strlen(tls->key));
        free(tls->key);
        *tls = (struct rpc_tls){};
}
