/* SPDX-License-Identifier: MIT */

/* Archives that are documents: DOCX (Word), ODT (LibreOffice) and EPUB. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "charset.h"
#include "entity.h"
#include "extract.h"
#include "xml.h"
#include "zip.h"

/* Markup takes more room than text. */
#define MARKUP_PER_TEXT 8

/* The chapters of a book, the list of its parts, which is read once for each, and the longest name
 * of a member. */
#define CHAPTERS_MAX 1024
#define PACKAGE_SIZE_MAX (1 << 20)
#define NAME_SIZE 256

struct archive {
        struct zip zip;
        size_t markup_max; /* bytes that may still be unpacked */
        struct extract *extract;
        struct extract_out out;
};

/* Reads a member as UTF-8. Returns 0, ZIP_E_*, or -ENOMEM. */
static int member_read(struct archive *a, const char *name, size_t max, struct charset_text *ret)
{
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r;

        r = zip_read(&a->zip, name, max < a->markup_max ? max : a->markup_max, &data, &n);
        if (r != 0)
                return r;
        a->markup_max -= n;
        r = charset_decode(data, n, ret);
        return r == CHARSET_E_BINARY ? ZIP_E_DAMAGED : r;
}

/* True: the member is there, whatever can be read of it. */
static bool member_exists(const struct archive *a, const char *name)
{
        _cleanup_free_ char *data = NULL;
        size_t n;

        return zip_read(&a->zip, name, 0, &data, &n) != ZIP_E_MISSING;
}

static int failed(int r, struct extract *e)
{
        static const char *const reasons[] = {
                [ZIP_E_MISSING] = "an archive without a text document",
                [ZIP_E_DAMAGED] = "a damaged archive",
                [ZIP_E_ENCRYPTED] = "an encrypted archive",
                [ZIP_E_METHOD] = "an archive that is packed in an uncommon way",
                [ZIP_E_TOO_LARGE] = "an archive with more text than --max-size",
        };

        return r < 0 ? r
                     : extract_skipped(e,
                                       r == ZIP_E_TOO_LARGE ? EXTRACT_E_AGAIN : EXTRACT_E_SKIPPED,
                                       "%s", reasons[r]);
}

/* What the tags of a format do. */
struct tags {
        const char *text; /* text is only in this; NULL: anywhere in `body` */
        const char *body;
        const char *const *breaks; /* end a paragraph when they close */
        const char *line;
        const char *tab;
        const char *space;
};

static const char *const word_breaks[] = { "w:p", "w:tr", NULL };
static const char *const odt_breaks[] = { "text:p", "text:h", "table:table-row", NULL };

static const struct tags word_tags = {
        .text = "w:t",
        .body = "w:body",
        .breaks = word_breaks,
        .line = "w:br",
        .tab = "w:tab",
        .space = "w:cr",
};
static const struct tags odt_tags = {
        .body = "office:text",
        .breaks = odt_breaks,
        .line = "text:line-break",
        .tab = "text:tab",
        .space = "text:s",
};

static bool is_one_of(const struct xml *x, const char *const *names)
{
        for (; *names; names++)
                if (xml_is(x, *names))
                        return true;
        return false;
}

static void put_tag(struct archive *a, const struct tags *tags, const struct xml *x,
                    enum xml_kind kind)
{
        if (kind == XML_CLOSE && is_one_of(x, tags->breaks))
                extract_break(&a->out, true);
        else if (kind == XML_CLOSE)
                return;
        else if (xml_is(x, tags->line))
                extract_put(&a->out, "\n", 1);
        else if (xml_is(x, tags->tab))
                extract_put(&a->out, "\t", 1);
        else if (xml_is(x, tags->space))
                extract_put(&a->out, " ", 1);
}

static void put_document(struct archive *a, const struct tags *tags, const char *s, size_t n)
{
        struct xml x = { .p = s, .end = s + n };
        const char *container = tags->text ?: tags->body;
        enum xml_kind kind;
        int inside = 0;

        while ((kind = xml_next(&x)) != XML_END) {
                if (kind == XML_TEXT || kind == XML_CDATA) {
                        if (inside > 0)
                                xml_put(&x, kind, &a->out);
                        continue;
                }
                if (xml_is(&x, container) && kind != XML_EMPTY)
                        inside += kind == XML_OPEN ? 1 : inside > 0 ? -1 : 0;
                put_tag(a, tags, &x, kind);
        }
}

/* Copies the text of the first element with this name, as the title or the language. */
static size_t element_text(const char *s, size_t n, const char *name, char *ret, size_t size)
{
        struct xml x = { .p = s, .end = s + n };
        struct extract_out out = { .text = ret, .size = size };
        enum xml_kind kind;

        while ((kind = xml_next(&x)) != XML_END)
                if (kind == XML_OPEN && xml_is(&x, name)) {
                        kind = xml_next(&x);
                        if (kind == XML_TEXT || kind == XML_CDATA)
                                xml_put(&x, kind, &out);
                        break;
                }
        return out.n;
}

/* Title and language from the metadata of Dublin Core. */
static void read_metadata(struct archive *a, const char *s, size_t n)
{
        char text[NAME_SIZE];
        size_t length;

        length = element_text(s, n, "dc:title", text, sizeof text);
        extract_title(a->extract, text, length);
        length = element_text(s, n, "dc:language", text, sizeof a->extract->language - 1);
        *(char *)mempcpy(a->extract->language, text, length) = '\0';
}

static int read_metadata_member(struct archive *a, const char *name)
{
        _cleanup_(charset_text_done) struct charset_text t = {};
        int r = member_read(a, name, SIZE_MAX, &t);

        if (r == 0)
                read_metadata(a, t.text, t.n);
        return r < 0 ? r : 0;
}

static int read_office(struct archive *a, const struct tags *tags, const char *metadata,
                       const char *document)
{
        _cleanup_(charset_text_done) struct charset_text t = {};
        int r;

        r = read_metadata_member(a, metadata);
        if (r == 0)
                r = member_read(a, document, SIZE_MAX, &t);
        if (r == 0)
                put_document(a, tags, t.text, t.n);
        return r;
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes the escapes of a URL in place, and drops its fragment. */
static void unescape(char *s)
{
        char *to = s;

        for (; *s && *s != '#'; s++) {
                if (*s == '%' && hex_value(s[1]) >= 0 && hex_value(s[2]) >= 0) {
                        *to++ = (char)(hex_value(s[1]) << 4 | hex_value(s[2]));
                        s += 2;
                } else
                        *to++ = *s;
        }
        *to = '\0';
}

/* Makes the name of a member from a reference in the file `base`. False: it is too long. */
static bool resolve(const char *base, char *href, char ret[static NAME_SIZE])
{
        const char *slash = strrchr(base, '/');
        size_t n = slash ? (size_t)(slash - base) : 0;

        unescape(href);
        for (; strncmp(href, "../", 3) == 0; href += 3)
                while (n > 0 && base[--n] != '/')
                        ;
        return snprintf(ret, NAME_SIZE, "%.*s%s%s", (int)n, base, n > 0 ? "/" : "", href) <
               NAME_SIZE;
}

/* Finds the item of the manifest with an id, and makes the name of its member. */
static bool manifest_find(const struct charset_text *package, const char *base, const char *id,
                          char ret[static NAME_SIZE])
{
        struct xml x = { .p = package->text, .end = package->text + package->n };
        char value[NAME_SIZE];
        enum xml_kind kind;

        while ((kind = xml_next(&x)) != XML_END)
                if ((kind == XML_OPEN || kind == XML_EMPTY) &&
                    (xml_is(&x, "item") || xml_is(&x, "opf:item")) &&
                    xml_attribute(&x, "id", value, sizeof value) && strcmp(value, id) == 0)
                        return xml_attribute(&x, "href", value, sizeof value) &&
                               resolve(base, value, ret);
        return false;
}

static int put_chapter(struct archive *a, const char *name)
{
        _cleanup_(charset_text_done) struct charset_text t = {};
        int r = member_read(a, name, SIZE_MAX, &t);

        if (r == 0) {
                extract_break(&a->out, true);
                html_extract(t.text, t.n, a->extract, &a->out);
        }
        return r == ZIP_E_MISSING ? 0 : r;
}

/* Reads the chapters in the order of the book's spine. */
static int put_book(struct archive *a, const struct charset_text *package, const char *base)
{
        struct xml x = { .p = package->text, .end = package->text + package->n };
        char id[NAME_SIZE], name[NAME_SIZE];
        int r = 0, chapters = 0;
        enum xml_kind kind;

        while (r == 0 && (kind = xml_next(&x)) != XML_END && chapters < CHAPTERS_MAX)
                if ((kind == XML_OPEN || kind == XML_EMPTY) &&
                    (xml_is(&x, "itemref") || xml_is(&x, "opf:itemref")) &&
                    xml_attribute(&x, "idref", id, sizeof id)) {
                        chapters++;
                        if (manifest_find(package, base, id, name))
                                r = put_chapter(a, name);
                }
        return r;
}

static int read_epub(struct archive *a)
{
        _cleanup_(charset_text_done) struct charset_text container = {}, package = {};
        char path[NAME_SIZE] = "";
        enum xml_kind kind;
        struct xml x;
        int r;

        r = member_read(a, "META-INF/container.xml", PACKAGE_SIZE_MAX, &container);
        if (r != 0)
                return r;
        x = (struct xml){ .p = container.text, .end = container.text + container.n };
        while ((kind = xml_next(&x)) != XML_END && !path[0])
                if (kind != XML_TEXT && xml_is(&x, "rootfile"))
                        (void)xml_attribute(&x, "full-path", path, sizeof path);
        r = member_read(a, path, PACKAGE_SIZE_MAX, &package);
        if (r != 0)
                return r;
        read_metadata(a, package.text, package.n);
        if (member_exists(a, "META-INF/encryption.xml") && member_exists(a, "META-INF/rights.xml"))
                return ZIP_E_ENCRYPTED;
        return put_book(a, &package, path);
}

static int read_archive(struct archive *a)
{
        if (member_exists(a, "word/document.xml"))
                return read_office(a, &word_tags, "docProps/core.xml", "word/document.xml");
        if (member_exists(a, "META-INF/container.xml"))
                return read_epub(a);
        if (member_exists(a, "content.xml") && member_exists(a, "meta.xml"))
                return read_office(a, &odt_tags, "meta.xml", "content.xml");
        return ZIP_E_MISSING;
}

int archive_extract(const char *data, size_t n, size_t max, struct extract *e)
{
        struct archive a = { .extract = e, .markup_max = MARKUP_PER_TEXT * max };
        int r;

        if (!zip_open(data, n, &a.zip))
                return failed(ZIP_E_DAMAGED, e);
        a.out.size = max + 1;
        a.out.text = malloc(a.out.size + 1);
        if (!a.out.text)
                return -ENOMEM;
        r = read_archive(&a);
        if (r == 0 && a.out.n > max)
                r = ZIP_E_TOO_LARGE;
        if (r == 0 && a.out.n == 0)
                r = ZIP_E_MISSING;
        if (r != 0) {
                free(a.out.text);
                return failed(r, e);
        }
        e->text = a.out.text;
        e->n = a.out.n;
        return 0;
}
