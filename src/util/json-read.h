/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads JSON (RFC 8259) where it lies, without a tree: json_check() goes over the text once, and
 * then values are slices of it. A text costs no memory but what json_value_string() copies, and
 * time in proportion to its length for each level that the reader descends into.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

#define JSON_READ_DEPTH 64

enum json_kind {
        JSON_KIND_NULL,
        JSON_KIND_FALSE,
        JSON_KIND_TRUE,
        JSON_KIND_NUMBER,
        JSON_KIND_STRING,
        JSON_KIND_LIST,
        JSON_KIND_OBJECT,
};

/* A value in a text that json_check() has found right. ptr NULL: there is none. */
struct json_value {
        const char *ptr;
        size_t length;
};

struct json_mistake {
        const char *text; /* "expected ':' after a key"; a constant */
        size_t line;      /* from 1 */
        size_t column;    /* in bytes, from 1 */
};

/*
 * Checks a text, which is one value: its syntax, its UTF-8, the escapes of its strings, that it is
 * not deeper than JSON_READ_DEPTH, and that its numbers are finite.
 */
bool json_check(const char *text, size_t length, struct json_value *ret,
                struct json_mistake *ret_mistake);

enum json_kind json_value_kind(struct json_value value);

/* "a string", "a list" and so on, for messages. */
const char *json_value_kind_name(struct json_value value);

/* Walks through a list or an object: begin with json_begin(). Of other values there is nothing. */
struct json_walk {
        const char *at;
        const char *end;
};

struct json_walk json_begin(struct json_value value);

/* The next item. False: past the last. */
bool json_next_item(struct json_walk *walk, struct json_value *ret);

/* The next member of an object; the key is a string's value. Duplicate keys come as they stand. */
bool json_next_member(struct json_walk *walk, struct json_value *ret_key, struct json_value *ret);

/* Whether a string is this text. */
bool json_value_is(struct json_value string, const char *text);

/* The text of a string: valid UTF-8, ended by a NUL; it may have NULs inside. NULL: the arena is
 * full. */
const char *json_value_string(struct json_value string, struct arena *arena, size_t *ret_length);

double json_value_number(struct json_value number);

/* False: it has a fraction, or does not fit. */
bool json_value_integer(struct json_value number, int64_t *ret);
