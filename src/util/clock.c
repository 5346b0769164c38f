/* SPDX-License-Identifier: MIT */
#include "util/clock.h"

_Thread_local uint64_t clock_last;
