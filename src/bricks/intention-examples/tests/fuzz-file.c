/* SPDX-License-Identifier: MIT */

/* What a file of examples may be: it is learned, or there is a reason for its refusal. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct examples *examples = examples_new();
        struct classifier *classifier;
        struct brick_yaml *yaml;
        int r;

        if (!examples || brick_yaml_new(&yaml, "f") < 0)
                abort();
        r = examples_read(examples, yaml, (const char *)data, size);
        if ((r < 0) != (brick_yaml_mistakes(yaml) > 0) || (r < 0 && r != -EINVAL))
                abort();
        if (r == 0) {
                if (examples->n == 0 || classifier_new(examples, &classifier) < 0)
                        abort();
                classifier_free(classifier);
        }
        brick_yaml_free(yaml);
        examples_free(examples);
        return 0;
}
