/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A step whose text is looked at while it is made: by a guard, for placeholders, or because the
 * replies of the pipeline have another type. Of the last step of a stream the text goes to the
 * client, of any other it becomes the text of the pipeline.
 */

#include "run.h"

/* Whether a step is to run in this way. */
bool stream_is_needed(const struct run *run, const struct step *step);

/* 0 or a negative errno. */
int stream_begin(struct run *run, const struct step *step, const ProtobufCMessage *request);

/* The client has room for replies again. */
void stream_writable(struct stream *stream);

/* Frees what must not outlive the call; the rest when its data is destroyed. */
void stream_close(struct stream *stream);
void stream_free(struct stream *stream);
