/* SPDX-License-Identifier: MIT */
#include <grpc/grpc_security_constants.h>
#include <stdbool.h>
#include <string.h>

#include "conf/identities.h"
#include "rpc/credentials.h"

/* The slices belong to the call, so dropping them from the array leaks nothing. */
static void take_authorization(struct credentials *c, grpc_metadata_array *metadata)
{
        grpc_metadata *pairs = metadata->metadata;
        size_t kept = 0, n = metadata->count;

        for (size_t i = 0; i < n; i++)
                if (grpc_slice_str_cmp(pairs[i].key, "authorization") == 0)
                        c->authorization = pairs[i].value;
                else
                        pairs[kept++] = pairs[i];
        metadata->count = kept;
        c->proof.n_authorizations = n - kept;
        if (n > kept)
                c->proof.authorization = (struct brick_str){
                        (const char *)GRPC_SLICE_START_PTR(c->authorization),
                        GRPC_SLICE_LENGTH(c->authorization),
                };
}

/* False: the certificate has no such names, not even bad ones. */
static bool add_names(struct credentials *c, unsigned kind, const char *property)
{
        grpc_auth_property_iterator i = grpc_auth_context_find_properties_by_name(c->context,
                                                                                  property);
        size_t *n = &c->proof.n_names;
        const grpc_auth_property *found;
        bool any = false;

        while (*n < CREDENTIALS_NAMES_MAX && (found = grpc_auth_property_iterator_next(&i))) {
                any = true;
                if (found->value_length > 0 && strlen(found->value) == found->value_length)
                        c->names[(*n)++] = (struct auth_name){ kind, found->value };
        }
        return any;
}

static void find_names(struct credentials *c, grpc_call *call)
{
        bool alternative;

        c->context = grpc_call_auth_context(call);
        if (!c->context || !grpc_auth_context_peer_is_authenticated(c->context))
                return;
        c->proof.names = c->names;
        alternative = add_names(c, IDENTITY_URI, GRPC_PEER_URI_PROPERTY_NAME);
        alternative |= add_names(c, IDENTITY_DNS, GRPC_PEER_DNS_PROPERTY_NAME);
        if (!alternative)
                (void)add_names(c, IDENTITY_COMMON_NAME, GRPC_X509_CN_PROPERTY_NAME);
}

void credentials_take(struct credentials *c, grpc_call *call, grpc_metadata_array *metadata)
{
        *c = (struct credentials){};
        take_authorization(c, metadata);
        if (c->proof.n_authorizations == 0 && call)
                find_names(c, call);
}

void credentials_done(struct credentials *c)
{
        if (c->context)
                grpc_auth_context_release(c->context);
        c->context = NULL;
}
