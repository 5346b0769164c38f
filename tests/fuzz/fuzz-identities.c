/* SPDX-License-Identifier: MIT */

/*
 * Any bytes as a file of identities: no crash, a mistake is told of, and what is taken keeps what
 * conf/identities.h says of it.
 */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/identities.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_certificate(const struct identity_certificate *certificate)
{
        assert(certificate->kinds == IDENTITY_URI || certificate->kinds == IDENTITY_DNS ||
               certificate->kinds == IDENTITY_COMMON_NAME ||
               certificate->kinds == (IDENTITY_DNS | IDENTITY_COMMON_NAME));
        assert(certificate->name[0] != '\0');
        if (certificate->kinds == IDENTITY_URI)
                assert(strchr(certificate->name, ':'));
        else
                assert(!strchr(certificate->name, '*'));
}

/* No two have a name in common that a certificate may have. */
static void check_pair(const struct identity *a, const struct identity *b)
{
        assert(strcmp(a->name, b->name) != 0);
        for (size_t i = 0; i < a->n_certificates; i++)
                for (size_t k = 0; k < b->n_certificates; k++)
                        assert(!(a->certificates[i].kinds & b->certificates[k].kinds) ||
                               strcmp(a->certificates[i].name, b->certificates[k].name) != 0);
}

static void check_identity(const struct identity *identity)
{
        assert(identity->name && strlen(identity->name) <= IDENTITY_NAME_MAX);
        assert(identity->n_digests + identity->n_certificates > 0);
        assert(identity->rate >= 0 && identity->burst >= 1);
        assert(identity->tokens.minute <= IDENTITY_TOKENS_MAX);
        assert(identity->tokens.day <= IDENTITY_TOKENS_MAX);
        assert(identity->tokens.month <= IDENTITY_TOKENS_MAX);
        assert(!identity_has_budget(identity) ||
               (identity->tokens.reserve >= 1 && identity->tokens.reserve <= IDENTITY_TOKENS_MAX));
        for (size_t i = 0; i < identity->n_certificates; i++)
                check_certificate(&identity->certificates[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(identities_freep) struct identities *identities = NULL;
        _cleanup_(diag_freep) struct diag *diag = NULL;
        int r;

        assert(diag_new(&diag, "fuzz", (const char *)data, size) == 0);
        r = identities_parse(&identities, (const char *)data, size, diag);
        assert((r == 0) == (diag_count(diag) == 0) && (r == 0) == !!identities);
        for (size_t i = 0; identities && i < identities->n; i++) {
                check_identity(&identities->list[i]);
                for (size_t k = 0; k < i; k++)
                        check_pair(&identities->list[k], &identities->list[i]);
        }
        return 0;
}
