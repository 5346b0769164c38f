/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `brickd --inspect FILE` and `brickd --describe NAME`, which brickd leaves to brickd-worker
 * because they load a module. Both print to stdout, or say on stderr why they cannot, and give the
 * exit status.
 */
int inspect_module(const char *file);
int describe_module(const char *name);
