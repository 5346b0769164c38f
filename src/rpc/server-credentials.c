/* SPDX-License-Identifier: MIT */
#include "rpc/server-credentials.h"
#include "serve/certificate.h"
#include "serve/tls.h"

/* The core calls it for every new connection, with a lock held. */
static grpc_ssl_certificate_config_reload_status fetch(void *user_data,
                                                       grpc_ssl_server_certificate_config **ret)
{
        struct tls *tls = user_data;
        _cleanup_(certificate_freep) struct certificate *fresh = NULL;
        grpc_ssl_pem_key_cert_pair pair;
        const char *roots;

        fresh = tls_take(tls);
        if (!fresh)
                return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
        pair = (grpc_ssl_pem_key_cert_pair){ fresh->key, fresh->chain };
        /* A debug build of the core, such as Debian's, requires roots even if no client is asked
         * for a certificate. */
        roots = fresh->roots ? fresh->roots : fresh->chain;
        *ret = grpc_ssl_server_certificate_config_create(roots, &pair, 1);
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

static grpc_ssl_client_certificate_request_type request_type(const struct conf_tls *port)
{
        if (!port->client_ca)
                return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
        if (port->client_optional)
                return GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
        return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
}

grpc_server_credentials *server_credentials_new(struct tls *tls)
{
        return grpc_ssl_server_credentials_create_with_options(
                grpc_ssl_server_credentials_create_options_using_config_fetcher(
                        request_type(tls_conf(tls)), fetch, tls));
}
