/* SPDX-License-Identifier: MIT */

/*
 * The layout of the ABI, frozen. If a line here fails, a module that is already out there breaks:
 * append a member instead, and bump the minor. With a new member, a line is added here and none is
 * changed.
 */

#include "brick.h"

#define AT(type, member, offset) \
        _Static_assert(offsetof(struct type, member) == (offset), #type "." #member " has moved")
#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type " has another size")

_Static_assert(sizeof(void *) == 8, "the numbers below are for 64-bit machines");
_Static_assert(sizeof(int) == 4, "enums and int are 32 bits");

SIZE(brick_str, 16);
AT(brick_str, ptr, 0);
AT(brick_str, len, 8);

SIZE(brick_bytes, 16);
AT(brick_bytes, ptr, 0);
AT(brick_bytes, len, 8);

SIZE(brick_outcome, 48);
AT(brick_outcome, struct_size, 0);
AT(brick_outcome, status, 4);
AT(brick_outcome, code, 8);
AT(brick_outcome, reserved, 12);
AT(brick_outcome, message, 16);
AT(brick_outcome, detail, 32);

SIZE(brick_child_ops, 32);
AT(brick_child_ops, struct_size, 0);
AT(brick_child_ops, reserved, 4);
AT(brick_child_ops, message, 8);
AT(brick_child_ops, done, 16);
AT(brick_child_ops, writable, 24);

SIZE(brick_option, 64);
AT(brick_option, name, 0);
AT(brick_option, fallback, 8);
AT(brick_option, summary, 16);
AT(brick_option, choices, 24);
AT(brick_option, min, 32);
AT(brick_option, max, 40);
AT(brick_option, type, 48);
AT(brick_option, flags, 52);
AT(brick_option, items, 56);

SIZE(brick_module, 144);
AT(brick_module, magic, 0);
AT(brick_module, struct_size, 4);
AT(brick_module, abi_major, 8);
AT(brick_module, abi_minor, 10);
AT(brick_module, host_minor, 12);
AT(brick_module, type, 14);
AT(brick_module, methods, 16);
AT(brick_module, flags, 20);
AT(brick_module, option_size, 24);
AT(brick_module, reserved, 28);
AT(brick_module, name, 32);
AT(brick_module, version, 40);
AT(brick_module, summary, 48);
AT(brick_module, options, 56);
AT(brick_module, create, 64);
AT(brick_module, drain, 72);
AT(brick_module, destroy, 80);
AT(brick_module, start, 88);
AT(brick_module, message, 96);
AT(brick_module, writable, 104);
AT(brick_module, cancel, 112);
AT(brick_module, filter_open, 120);
AT(brick_module, filter_push, 128);
AT(brick_module, filter_close, 136);

SIZE(brick_host, 480);
AT(brick_host, struct_size, 0);
AT(brick_host, abi_major, 4);
AT(brick_host, abi_minor, 6);
AT(brick_host, log, 8);
AT(brick_host, name, 16);
AT(brick_host, type, 24);
AT(brick_host, node_type, 32);
AT(brick_host, node_get, 40);
AT(brick_host, node_size, 48);
AT(brick_host, node_at, 56);
AT(brick_host, node_key, 64);
AT(brick_host, node_str, 72);
AT(brick_host, node_int, 80);
AT(brick_host, node_float, 88);
AT(brick_host, node_error, 96);
AT(brick_host, target, 104);
AT(brick_host, target_type, 112);
AT(brick_host, call_request, 120);
AT(brick_host, call_metadata, 128);
AT(brick_host, call_metadata_at, 136);
AT(brick_host, call_peer, 144);
AT(brick_host, call_deadline, 152);
AT(brick_host, call_cancelled, 160);
AT(brick_host, call_alloc, 168);
AT(brick_host, call_set_data, 176);
AT(brick_host, call_data, 184);
AT(brick_host, call_recv, 192);
AT(brick_host, call_read, 200);
AT(brick_host, call_send, 208);
AT(brick_host, call_reserve, 216);
AT(brick_host, call_commit, 224);
AT(brick_host, call_trailer, 232);
AT(brick_host, call_finish, 240);
AT(brick_host, call_fail, 248);
AT(brick_host, child_start, 256);
AT(brick_host, child_recv, 264);
AT(brick_host, child_send, 272);
AT(brick_host, child_close, 280);
AT(brick_host, child_cancel, 288);
AT(brick_host, child_free, 296);
AT(brick_host, set_health, 304);
AT(brick_host, log_wanted, 312);
AT(brick_host, call_identity, 320);
AT(brick_host, call_traceparent, 328);
AT(brick_host, call_tracestate, 336);
AT(brick_host, call_mark, 344);
AT(brick_host, call_rewind, 352);
AT(brick_host, call_fail_errno, 360);
AT(brick_host, child_start_with, 368);
AT(brick_host, call_relay, 376);
AT(brick_host, timer_new, 384);
AT(brick_host, timer_set, 392);
AT(brick_host, timer_free, 400);
AT(brick_host, target_name, 408);
AT(brick_host, target_methods, 416);
AT(brick_host, target_serving, 424);
AT(brick_host, target_watch, 432);
AT(brick_host, node_place, 440);
AT(brick_host, target_filter_open, 448);
AT(brick_host, target_filter_push, 456);
AT(brick_host, target_filter_close, 464);
AT(brick_host, call_group, 472);

#define VALUE(name, value) _Static_assert((name) == (value), #name " has another value")

VALUE(BRICK_ABI_MAJOR, 1);
VALUE(BRICK_MAGIC, 0x4b435242);
VALUE(BRICK_TYPE_COMMON, 1);
VALUE(BRICK_TYPE_RECTIFY, 2);
VALUE(BRICK_TYPE_INTENTION, 3);
VALUE(BRICK_TYPE_GUARD, 4);
VALUE(BRICK_TYPE_LLM, 5);
VALUE(BRICK_TYPE_COMPOSE, 6);
VALUE(BRICK_TYPE_RETRIEVAL, 7);
VALUE(BRICK_TYPE_TRANSLATE, 8);
VALUE(BRICK_TYPE_ANY, 255);
VALUE(BRICK_METHOD_SERVICE_INFO, 0);
VALUE(BRICK_METHOD_UNARY, 1);
VALUE(BRICK_METHOD_OUTPUT_STREAMING, 2);
VALUE(BRICK_METHOD_INPUT_STREAMING, 3);
VALUE(BRICK_METHOD_BIDI_STREAMING, 4);
VALUE(BRICK_FLAG_BLOCKING, 1);
VALUE(BRICK_LOG_ERROR, 3);
VALUE(BRICK_LOG_DEBUG, 7);
VALUE(BRICK_STRING, 1);
VALUE(BRICK_INT, 2);
VALUE(BRICK_BOOL, 3);
VALUE(BRICK_FLOAT, 4);
VALUE(BRICK_LIST, 5);
VALUE(BRICK_MAP, 6);
VALUE(BRICK_DURATION, 7);
VALUE(BRICK_SIZE, 8);
VALUE(BRICK_ENUM, 9);
VALUE(BRICK_SECRET, 10);
VALUE(BRICK_TARGET, 11);
VALUE(BRICK_PATH, 12);
VALUE(BRICK_OPTION_REQUIRED, 1);
