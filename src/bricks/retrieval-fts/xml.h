/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads the tags and the text of XML one after the other, without checking that they match. */

#include <stdbool.h>
#include <stddef.h>

enum xml_kind { XML_END, XML_TEXT, XML_CDATA, XML_OPEN, XML_EMPTY, XML_CLOSE };

struct xml {
        const char *p; /* the rest */
        const char *end;
        const char *s; /* the text, or the name of the tag with its prefix */
        size_t n;
        const char *attributes;
        size_t attributes_n;
};

enum xml_kind xml_next(struct xml *xml);

/* Whether the tag has this name, its prefix included. */
bool xml_is(const struct xml *xml, const char *name);

/* Copies an attribute of the tag. False: it has none, or one that does not fit. */
bool xml_attribute(const struct xml *xml, const char *name, char *ret, size_t size);

struct extract_out;

/* Puts text, with its entities decoded unless it is CDATA. */
void xml_put(const struct xml *xml, enum xml_kind kind, struct extract_out *out);
