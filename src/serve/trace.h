/* SPDX-License-Identifier: MIT */
#pragma once

struct served;
struct served_end;

/* A call's span: a child of the span that its metadata names, or the first of a new trace. Only if
 * there is a tracer, on the thread that serves the call. */
void trace_begin(struct served *call);
void trace_end(struct served *call, const struct served_end *end);
