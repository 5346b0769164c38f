/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <string.h>

static const struct {
        const char *name;
        check_fn *function;
} checks[] = {
        { "luhn", check_luhn },         { "iban", check_iban },       { "tw-id", check_tw_id },
        { "cn-id", check_cn_id },       { "cpf", check_cpf },         { "es-id", check_es_id },
        { "fr-nir", check_fr_nir },     { "sg-nric", check_sg_nric }, { "random", check_random },
        { "password", check_password }, { "direct", check_direct },
};

const char check_names[] =
        "luhn, iban, tw-id, cn-id, cpf, es-id, fr-nir, sg-nric, random, password, direct";

check_fn *check_find(const char *name)
{
        for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
                if (strcmp(checks[i].name, name) == 0)
                        return checks[i].function;
        return NULL;
}
