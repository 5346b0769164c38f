/* SPDX-License-Identifier: MIT */
#pragma once

/* Guard steps: they judge the text, or the documents, before the next step runs. */

#include "step.h"

enum begun judge_begin(struct run *run, const struct step *step);

/* Once nothing runs any more. */
void judge_free(struct judging *judging);
