/* SPDX-License-Identifier: MIT */
#pragma once

/* Values, and how they are read from messages of protobuf-c. */

#include "expr/expr.h"

bool expr_is_struct(const ProtobufCMessageDescriptor *type);
bool expr_is_null(const struct expr_value *value); /* also a message that is not there */

/* Whether both have the same fields, so that one can stand for the other on the wire. */
bool expr_same_message(const ProtobufCMessageDescriptor *a, const ProtobufCMessageDescriptor *b);

/* Whether a value of this type may stand where `want` is needed, as far as is known by now. */
bool expr_type_fits(const struct expr_type *type, const struct expr_type *want);

bool expr_value_fits(const struct expr_value *value, const struct expr_type *type);

/* What stands for a value that is not there. */
struct expr_value expr_default_of(const struct expr_type *type);

/* The type of the elements of a list, or EXPR_ANY. */
struct expr_type expr_type_of_elements(const struct expr_type *list);

/* message may be NULL: then it is the field's default. */
struct expr_value expr_value_of_field(const ProtobufCMessage *message,
                                      const ProtobufCFieldDescriptor *field);
/* Bytes of one element of a repeated field. */
size_t expr_stored_size(ProtobufCType stored);
/* index is less than list->n. */
struct expr_value expr_element(const struct expr_value *list, size_t index);
/* Of a google.protobuf.Struct, which may be NULL. find: the index, or the size if there is no such
 * key; at: null behind the end. */
size_t expr_struct_size(const ProtobufCMessage *object);
size_t expr_struct_find(const ProtobufCMessage *object, const char *key, size_t length);
const char *expr_struct_key(const ProtobufCMessage *object, size_t index);
struct expr_value expr_struct_at(const ProtobufCMessage *object, size_t index);

/* "a text", "null", "a list": for mistakes. */
const char *expr_kind_name(enum expr_kind kind);

/* The shortest decimal that reads back as the number. */
struct expr_number_text {
        char text[32];
};
struct expr_number_text expr_number_text(double number);
