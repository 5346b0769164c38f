/* SPDX-License-Identifier: MIT */
#include "zip.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "scope.h"

/* The records of the format, and the longest comment after the last of them. */
enum {
        END_SIZE = 22,
        ENTRY_SIZE = 46,
        LOCAL_SIZE = 30,
        COMMENT_MAX = 65535,
};

#define END_MARK 0x06054b50U
#define ENTRY_MARK 0x02014b50U
#define LOCAL_MARK 0x04034b50U

#define FLAG_ENCRYPTED 1

struct entry {
        unsigned flags;
        unsigned method;
        uint32_t crc;
        size_t packed;
        size_t local; /* where its data's own header is */
};

static unsigned get16(const unsigned char *p)
{
        return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
        return get16(p) | (uint32_t)get16(p + 2) << 16;
}

bool zip_open(const char *data, size_t n, struct zip *ret)
{
        const unsigned char *s = (const unsigned char *)data;
        size_t least;

        if (n < END_SIZE)
                return false;
        least = n > END_SIZE + COMMENT_MAX ? n - END_SIZE - COMMENT_MAX : 0;
        for (size_t at = n - END_SIZE; at + 1 > least; at--) {
                if (get32(s + at) != END_MARK)
                        continue;
                *ret = (struct zip){ .data = s, .n = n, .directory = get32(s + at + 16) };
                ret->end = ret->directory + get32(s + at + 12);
                return ret->directory <= at && ret->end <= at;
        }
        return false;
}

static bool find(const struct zip *zip, const char *name, struct entry *ret)
{
        size_t name_n = strlen(name), length;
        const unsigned char *p;

        for (size_t at = zip->directory; at + ENTRY_SIZE <= zip->end; at += length) {
                p = zip->data + at;
                if (get32(p) != ENTRY_MARK)
                        return false;
                length = ENTRY_SIZE + get16(p + 28) + get16(p + 30) + get16(p + 32);
                if (length > zip->end - at)
                        return false;
                if (get16(p + 28) != name_n || memcmp(p + ENTRY_SIZE, name, name_n) != 0)
                        continue;
                *ret = (struct entry){
                        .flags = get16(p + 8),
                        .method = get16(p + 10),
                        .crc = get32(p + 16),
                        .packed = get32(p + 20),
                        .local = get32(p + 42),
                };
                return true;
        }
        return false;
}

/* Where the entry's data are; NULL: outside the archive. */
static const unsigned char *entry_data(const struct zip *zip, const struct entry *entry)
{
        size_t start;

        if (entry->local > zip->n || zip->n - entry->local < LOCAL_SIZE ||
            get32(zip->data + entry->local) != LOCAL_MARK)
                return NULL;
        start = entry->local + LOCAL_SIZE + get16(zip->data + entry->local + 26) +
                get16(zip->data + entry->local + 28);
        return start <= zip->n && entry->packed <= zip->n - start ? zip->data + start : NULL;
}

/* The buffer grows with what comes out: the size that the archive promises is not trusted. */
static int inflate_all(z_stream *stream, size_t max, char **ret, size_t *ret_n)
{
        _cleanup_free_ char *buffer = NULL;
        size_t size = 0;
        char *larger;
        int r;

        do {
                if (stream->total_out == size) {
                        if (size > max)
                                return ZIP_E_TOO_LARGE;
                        size = size ? size * 2 : 16 << 10;
                        if (size > max + 1)
                                size = max + 1;
                        larger = realloc(buffer, size);
                        if (!larger)
                                return -ENOMEM;
                        buffer = larger;
                }
                stream->next_out = (unsigned char *)buffer + stream->total_out;
                stream->avail_out = (unsigned)(size - stream->total_out);
                r = inflate(stream, Z_NO_FLUSH);
        } while (r == Z_OK);
        if (r == Z_MEM_ERROR)
                return -ENOMEM;
        if (r != Z_STREAM_END)
                return ZIP_E_DAMAGED;
        if (stream->total_out > max)
                return ZIP_E_TOO_LARGE;
        *ret = TAKE_PTR(buffer);
        *ret_n = stream->total_out;
        return 0;
}

static int unpack(const unsigned char *data, const struct entry *entry, size_t max, char **ret,
                  size_t *ret_n)
{
        z_stream stream = { .next_in = (unsigned char *)data, .avail_in = (unsigned)entry->packed };
        int r;

        if (entry->method == 0) {
                if (entry->packed > max)
                        return ZIP_E_TOO_LARGE;
                *ret_n = entry->packed;
                *ret = malloc(entry->packed + 1);
                if (*ret)
                        memcpy(*ret, data, entry->packed);
                return *ret ? 0 : -ENOMEM;
        }
        if (entry->method != Z_DEFLATED)
                return ZIP_E_METHOD;
        if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
                return -ENOMEM;
        r = inflate_all(&stream, max, ret, ret_n);
        inflateEnd(&stream);
        return r;
}

int zip_read(const struct zip *zip, const char *name, size_t max, char **ret, size_t *ret_n)
{
        _cleanup_free_ char *s = NULL;
        const unsigned char *data;
        struct entry entry;
        int r;

        if (!find(zip, name, &entry))
                return ZIP_E_MISSING;
        if (entry.flags & FLAG_ENCRYPTED)
                return ZIP_E_ENCRYPTED;
        data = entry_data(zip, &entry);
        if (!data)
                return ZIP_E_DAMAGED;
        r = unpack(data, &entry, max, &s, ret_n);
        if (r != 0)
                return r;
        if (crc32(0, (unsigned char *)s, (unsigned)*ret_n) != entry.crc)
                return ZIP_E_DAMAGED;
        *ret = TAKE_PTR(s);
        return 0;
}
