/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * Waits until journald has processed what this process has logged, but only until the deadline, of
 * clock_now(). Journald looks in /proc for the unit of a line's process: without this, `journalctl
 * -u` and `systemctl status` lack the last lines of a process that ends before journald comes to
 * them, such as why it could not start.
 */
void journald_wait(uint64_t deadline);
