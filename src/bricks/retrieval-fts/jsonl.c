/* SPDX-License-Identifier: MIT */
#include "jsonl.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "index.h"
#include "indexer.h"
#include "metadata.h"
#include "schema.h"
#include "stream.h"

/* The largest metadata in a line, in bytes. */
#define METADATA_SIZE_MAX (16 << 10)

#define KEY_SIZE_MAX 1024

/* Reads the lines of a stream, without their line ends. */
struct lines {
        gzFile stream;
        char *buffer;
        size_t size;
        size_t start; /* of the bytes that have been read but not returned */
        size_t end;
        bool eof;
};

enum { LINE_NONE, LINE_OK, LINE_TOO_LONG };

/* The values of one line, and its place for messages. */
struct record {
        struct indexer *indexer;
        const struct index_file *file;
        int64_t line;
        char number[24]; /* the id, if it is a number */
        const char *id;
        const char *title;
        const char *text;
        json_t *metadata;
};

static void lines_done(struct lines *lines)
{
        free(lines->buffer);
}

/* False: the stream is damaged. */
static bool lines_fill(struct lines *lines)
{
        int n;

        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
        n = stream_read(lines->stream, lines->buffer + lines->end, lines->size - lines->end);
        if (n < 0)
                return false;
        lines->eof = n == 0;
        lines->end += n;
        return true;
}

/* Reads the next line. Returns LINE_*, or -EIO. */
static int lines_next(struct lines *lines, const char **ret, size_t *ret_n)
{
        size_t searched = 0;
        bool too_long = false;
        char *stop;

        for (;;) {
                stop = memchr(lines->buffer + lines->start + searched, '\n',
                              lines->end - lines->start - searched);
                if (stop || (lines->eof && lines->end > lines->start))
                        break;
                if (lines->eof)
                        return too_long ? LINE_TOO_LONG : LINE_NONE;
                searched = lines->end - lines->start;
                if (searched == lines->size) {
                        too_long = true;
                        lines->start = lines->end;
                        searched = 0;
                }
                if (!lines_fill(lines))
                        return -EIO;
        }
        *ret = lines->buffer + lines->start;
        *ret_n = (stop ?: lines->buffer + lines->end) - *ret;
        lines->start = stop ? (size_t)(stop + 1 - lines->buffer) : lines->end;
        return too_long ? LINE_TOO_LONG : LINE_OK;
}

__attribute__((format(printf, 2, 3))) static bool record_error(const struct record *record,
                                                               const char *format, ...)
{
        char text[512];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        indexer_error(record->indexer, "%s:%lld: %s", record->file->path, (long long)record->line,
                      text);
        return false;
}

static int json_depth(const json_t *json)
{
        int depth = 0, d;
        const char *key;
        json_t *value;
        size_t i;

        if (json_is_object(json))
                json_object_foreach((json_t *)json, key, value)
                {
                        d = json_depth(value);
                        depth = d > depth ? d : depth;
                }
        else if (json_is_array(json))
                json_array_foreach(json, i, value)
                {
                        d = json_depth(value);
                        depth = d > depth ? d : depth;
                }
        else
                return 0;
        return depth + 1;
}

static bool record_get_id(struct record *record, const json_t *id)
{
        if (json_is_integer(id)) {
                (void)snprintf(record->number, sizeof record->number, "%" JSON_INTEGER_FORMAT,
                               json_integer_value(id));
                record->id = record->number;
        } else
                record->id = json_string_value(id);
        if (!record->id || !record->id[0])
                return record_error(record, "\"id\" must be a string that is not empty, or an "
                                            "integer");
        if (strlen(record->id) > KEY_SIZE_MAX)
                return record_error(record, "\"id\" is longer than %d bytes", KEY_SIZE_MAX);
        return true;
}

static bool record_get_metadata(struct record *record, json_t *metadata)
{
        if (metadata && !json_is_object(metadata))
                return record_error(record, "\"metadata\" must be an object");
        if (metadata && json_depth(metadata) > SCHEMA_METADATA_DEPTH_MAX)
                return record_error(record, "\"metadata\" is nested deeper than %d levels",
                                    SCHEMA_METADATA_DEPTH_MAX);
        if (metadata && json_dumpb(metadata, NULL, 0, JSON_COMPACT) > METADATA_SIZE_MAX)
                return record_error(record, "\"metadata\" is larger than %d bytes",
                                    METADATA_SIZE_MAX);
        record->metadata = metadata;
        return true;
}

/* *ret stays NULL if the line does not say: the groups are those of the file. */
static int record_get_groups(const struct record *record, const json_t *json, char **ret)
{
        const char *why;
        int r;

        r = json ? acl_of_json(json, ret, &why) : 0;
        if (r == -EINVAL)
                record_error(record, "\"groups\": %s", why);
        return r;
}

static bool record_get(struct record *record, const json_t *json)
{
        const json_t *title;

        if (!json_is_object(json))
                return record_error(record, "a line must be a JSON object");
        if (!record_get_id(record, json_object_get(json, "id")))
                return false;
        title = json_object_get(json, "title");
        if (title && !json_is_string(title))
                return record_error(record, "\"title\" must be a string");
        record->title = title ? json_string_value(title) : record->id;
        record->text = json_string_value(json_object_get(json, "text"));
        if (!record->text)
                return record_error(record, "\"text\" must be a string");
        return record_get_metadata(record, json_object_get(json, "metadata"));
}

static int record_add(struct record *record, const char *line, size_t n)
{
        json_auto_t *json = NULL;
        _cleanup_free_ char *metadata = NULL, *groups = NULL;
        json_error_t error;
        int r;

        json = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
        if (!json) {
                record_error(record, "column %d: %s", error.column, error.text);
                return 0;
        }
        if (!record_get(record, json))
                return 0;
        r = record_get_groups(record, json_object_get(json, "groups"), &groups);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        metadata = metadata_print(record->file, "", record->metadata);
        if (!metadata)
                return -ENOMEM;
        r = index_add(record->indexer->index, &(struct index_document){
                                                      .key = record->id,
                                                      .title = record->title,
                                                      .metadata = metadata,
                                                      .groups = groups,
                                                      .text = record->text,
                                                      .n = strlen(record->text),
                                              });
        if (r == INDEX_E_TOO_LONG)
                record_error(record, "\"text\" is too long");
        return r < 0 ? r : 0;
}

static bool is_blank(const char *line, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
                        return false;
        return true;
}

/* Skips the byte order mark that programs of Windows write. */
static void skip_mark(const char **line, size_t *n)
{
        if (*n >= 3 && memcmp(*line, "\xef\xbb\xbf", 3) == 0) {
                *line += 3;
                *n -= 3;
        }
}

static bool is_utf16(const char *line, size_t n)
{
        return n >= 2 && (memcmp(line, "\xff\xfe", 2) == 0 || memcmp(line, "\xfe\xff", 2) == 0);
}

int jsonl_add(struct indexer *indexer, const struct index_file *file, gzFile stream)
{
        _cleanup_(lines_done) struct lines lines = { .stream = stream, .size = indexer->max_size };
        struct record record;
        const char *line = NULL;
        size_t n = 0;
        int r;

        lines.buffer = malloc(lines.size);
        if (!lines.buffer)
                return -ENOMEM;
        for (int64_t number = 1; (r = lines_next(&lines, &line, &n)) > LINE_NONE; number++) {
                record = (struct record){ .indexer = indexer, .file = file, .line = number };
                if (number == 1 && is_utf16(line, n)) {
                        indexer_error(indexer, "%s: is UTF-16: lines of JSON must be UTF-8",
                                      file->path);
                        return 0;
                }
                if (number == 1)
                        skip_mark(&line, &n);
                if (r == LINE_TOO_LONG) {
                        record_error(&record, "line is longer than %zu bytes (see --max-size)",
                                     indexer->max_size);
                        continue;
                }
                if (is_blank(line, n))
                        continue;
                r = record_add(&record, line, n);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                indexer_error(indexer, "%s: damaged compressed data", file->path);
        return 0;
}
