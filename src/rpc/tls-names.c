/* SPDX-License-Identifier: MIT */
#include <grpc/grpc_security_constants.h>
#include <stdbool.h>
#include <string.h>

#include "conf/identities.h"
#include "rpc/tls-names.h"

/* False: the certificate has no such names, not even bad ones. */
static bool add_names(struct tls_names *names, unsigned kind, const char *property)
{
        grpc_auth_property_iterator i = grpc_auth_context_find_properties_by_name(names->context,
                                                                                  property);
        const grpc_auth_property *found;
        bool any = false;

        while (names->n < TLS_NAMES_MAX && (found = grpc_auth_property_iterator_next(&i))) {
                any = true;
                if (found->value_length > 0 && strlen(found->value) == found->value_length)
                        names->list[names->n++] = (struct tls_name){ kind, found->value };
        }
        return any;
}

void tls_names_init(struct tls_names *names, grpc_call *call)
{
        bool alternative;

        *names = (struct tls_names){ .context = grpc_call_auth_context(call) };
        if (!names->context || !grpc_auth_context_peer_is_authenticated(names->context))
                return;
        alternative = add_names(names, IDENTITY_URI, GRPC_PEER_URI_PROPERTY_NAME);
        alternative |= add_names(names, IDENTITY_DNS, GRPC_PEER_DNS_PROPERTY_NAME);
        if (!alternative)
                (void)add_names(names, IDENTITY_COMMON_NAME, GRPC_X509_CN_PROPERTY_NAME);
}

void tls_names_done(struct tls_names *names)
{
        if (names->context)
                grpc_auth_context_release(names->context);
        *names = (struct tls_names){};
}
