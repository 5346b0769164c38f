/* SPDX-License-Identifier: MIT */

/*
 * test-kinds DIR: what people write, and what they ask for. All documents are in one index; a query
 * names the document that must come first. DIR has documents of formats that are no text.
 */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "extract.h"
#include "fold.h"
#include "index.h"
#include "remove-index.h"
#include "search.h"

#define TEXT_MAX (64 << 10)

struct document {
        const char *name;
        const char *data;
        size_t n;
};

/* A document whose bytes are a string literal. */
#define DOCUMENT(name, data)                 \
        {                                    \
                name, data, sizeof(data) - 1 \
        }

static const struct document documents[] = {
        /* words */
        DOCUMENT("imprimante", "Configurer une imprimante sous Linux."),
        DOCUMENT("reseau", "Comment configurer le réseau ? Comment configurer le son ? Comment "
                           "configurer le wifi ?"),
        DOCUMENT("italian", "L’acqua dell’isola è chiara."),
        DOCUMENT("postgres", "The listening socket of Postgres is 5432."),
        DOCUMENT("socket", "The listening socket of the other server is 80, a socket."),
        DOCUMENT("signoff", "Every patch needs a signoff."),
        DOCUMENT("e-mail", "Send an e-mail to the office."),
        DOCUMENT("nonbreaking", "A re\xe2\x80\x91"
                                "entrant procedure."),
        DOCUMENT("contraction", "You don't own the vessel."),
        DOCUMENT("reilly", "A book by O'Reilly."),
        DOCUMENT("camel", "Call getUserName() first."),
        DOCUMENT("user", "A user got a name."),
        DOCUMENT("snake", "Use parse_http_header for that."),
        DOCUMENT("acronym", "All RESTful APIs of XMLHttpRequest2 objects."),
        DOCUMENT("c", "A tutorial of the C language."),
        DOCUMENT("csharp", "A tutorial of the C# language."),
        DOCUMENT("cplusplus", "A tutorial of the C++ language, C++20 too."),
        DOCUMENT("fsharp", "Functional F\xe2\x99\xaf by example."),
        DOCUMENT("dotnet", "Tools of .NET for the desktop."),
        DOCUMENT("net", "A fishing net is on the desktop and net tools are on the desktop."),
        DOCUMENT("node", "Servers with Node.js are quick."),
        DOCUMENT("usa", "Made in the U.S.A. by hand."),
        DOCUMENT("url", "See docs.example.com/install for help."),
        DOCUMENT("path", "Edit brickd.yaml to add a listener."),
        DOCUMENT("version", "The release 12.4.1 mends the planner."),
        DOCUMENT("versions", "In 12 months, 4 people met 1 time."),
        DOCUMENT("python", "It needs python3 to run."),
        DOCUMENT("unit", "A disk of 512GB."),
        DOCUMENT("utf", "Text in UTF-8 is usual."),
        DOCUMENT("shy", "Auto\xc2\xadmation of hyphens."),
        DOCUMENT("zwsp", "wonder\xe2\x80\x8b"
                         "ful\xef\xbb\xbf things"),
        /* stems */
        DOCUMENT("organization", "The organization has ten members."),
        DOCUMENT("organ", "The organ in the church plays."),
        DOCUMENT("news", "The news of the day."),
        DOCUMENT("new", "A new day."),
        DOCUMENT("universe", "The universe expands."),
        DOCUMENT("university", "The university teaches."),
        DOCUMENT("important", "It is important."),
        DOCUMENT("import", "Import the module."),
        DOCUMENT("generic", "A generic drug."),
        DOCUMENT("generate", "Generation of certificates."),
        DOCUMENT("police", "The police came."),
        DOCUMENT("policy", "The policy changed."),
        DOCUMENT("pump", "Installation of the pump for marketing."),
        DOCUMENT("ids", "An ID of a thing."),
        DOCUMENT("io", "The io of the kernel."),
        DOCUMENT("ios", "An app for iOS."),
        DOCUMENT("configured", "It was configured by hand."),
        /* letters */
        DOCUMENT("strasse", "Die Straße ist gesperrt."),
        DOCUMENT("muenchen", "Wetter in München."),
        DOCUMENT("koeln", "Der Dom von Koeln."),
        DOCUMENT("nfd-umlaut", "Zu\xcc\x88rich liegt am See."),
        DOCUMENT("aarhus", "Havnen i Århus."),
        DOCUMENT("fullwidth", "使用ＡＰＩ連線"),
        DOCUMENT("year", "２０２４年度報告"),
        DOCUMENT("halfwidth", "ﾃﾞｰﾀﾍﾞｰｽの設定"),
        DOCUMENT("arabic-digits", "العام ٢٠٢٦"),
        DOCUMENT("ligature", "The o\xef\xac\x83"
                             "ce is closed."),
        DOCUMENT("hangul",
                 "\u1103\u1166\u110b\u1175\u1110\u1165\u1107\u1166\u110b\u1175\u1109\u1173 "
                 "\u1109\u1165\u11af\u110c\u1165\u11bc"),
        DOCUMENT("kana", "は\u3099な\u3099か\u3099"),
        DOCUMENT("yo", "Ёлка стоит."),
        DOCUMENT("greek", "Η Αθήνα είναι μεγάλη."),
        DOCUMENT("lodz", "Dworzec w mieście Łódź."),
        DOCUMENT("orsted", "Ørsted"),
        DOCUMENT("arabic", "كِتَابٌ جَدِيد"),
        DOCUMENT("alef", "إسلام أحمد"),
        DOCUMENT("hebrew", "שָׁלוֹם עולם"),
        DOCUMENT("turkish", "IŞIK ve ırmak İstanbul"),
        DOCUMENT("hindi", "हिन्दी में पुस्तक"),
        DOCUMENT("hindi-other", "हनद मकन"),
        DOCUMENT("nukta", "\u0958\u0932\u092e"),
        DOCUMENT("vietnamese", "Tiếng Việt"),
        DOCUMENT("variation", "葛\xf3\xa0\x84\x80飾区"),
        DOCUMENT("compatibility", "\xef\xa4\x80\xe5\xba\xa6 豈"),
        /* Chinese */
        DOCUMENT("returns", "退貨流程：填寫退貨單並寄回商店。"),
        DOCUMENT("laptop", "筆記型電腦的包裝與外觀檢查。"),
        DOCUMENT("simplified", "网络连线的说明"),
        /* character sets */
        DOCUMENT("big5.txt", "\xb8\xea\xae\xc6\xae\x77\xa6\x77\xb8\xcb\xab\xfc\xab\x6e"),
        DOCUMENT("latin1.txt", "Le caf\xe9 cr\xe8me."),
        DOCUMENT("cp1251.txt", "\xd3\xf1\xf2\xe0\xed\xee\xe2\xea\xe0 \xf1\xe5\xf0\xe2\xe5\xf0\xe0"),
        DOCUMENT("koi8.txt", "\xd0\xd2\xc9\xd7\xc5\xd4 \xcd\xc9\xd2"),
        DOCUMENT("euc-kr.txt", "\xbc\xad\xbf\xef\xbf\xa1\xbc\xad \xba\xce\xbb\xea\xb1\xee\xc1\xf6"),
        DOCUMENT("euc-jp.txt", "\xc5\xc5\xb8\xbb\xa4\xf2\xc0\xda\xa4\xeb\xa4\xcb\xa4\xcf"),
        DOCUMENT("gb18030.txt", "\xbb\xb6\xd3\xad\xca\xb9\xd3\xc3\xb1\xbe\xc8\xed\xbc\xfe"),
        DOCUMENT("shift-jis.txt", "\x83\x52\x83\x93\x83\x73\x83\x85\x81\x5b\x83\x5e"),
        DOCUMENT("greek.txt", "\xca\xe1\xeb\xe7\xec\xdd\xf1\xe1 \xea\xfc\xf3\xec\xe5"),
        DOCUMENT("bad-byte.txt", "磁碟陣列\n磁碟陣列\n\xe8\n結束\n"),
        DOCUMENT("utf16.txt", "\xff\xfek\0a\0n\0g\0a\0r\0o\0o\0"),
        DOCUMENT("utf16be.txt", "\xfe\xff\0p\0o\0s\0s\0u\0m"),
        DOCUMENT("utf16-bare.txt", "b\0a\0n\0d\0i\0c\0o\0o\0t\0"),
        DOCUMENT("gb2312.html", "<meta charset=\"gb2312\"><title>\xca\xfd\xbe\xdd\xbf\xe2</title>"
                                "<p>\xb0\xb2\xd7\xb0\xd6\xb8\xc4\xcf</p>"),
        DOCUMENT("equiv.html",
                 "<meta http-equiv=Content-Type content='text/html; charset=windows-1251'>"
                 "<p>\xf1\xeb\xee\xed"),
        DOCUMENT("declared.xml",
                 "<?xml version='1.0' encoding='euc-jp'?><p>\xa5\xad\xa5\xea\xa5\xf3</p>"),
        DOCUMENT("wrong.html", "<meta charset=\"iso-8859-1\"><p>長頸鹿"),
        /* HTML */
        DOCUMENT("entities.html",
                 "<title>A&ntilde;o</title><p>Informaci&oacute;n en espa&ntilde;ol"),
        DOCUMENT("entity-bare.html", "<p>Le ch&acircteau"),
        DOCUMENT("entity-number.html", "<p>It&#146;s the sm&#xF8;rrebr&#248d"),
        DOCUMENT("no-suffix", "<!DOCTYPE HTML><title>Bare page</title><p>hippo&shy;drome"),
};

struct query {
        const char *text;
        const char *first;   /* NULL: nothing is found */
        const char *without; /* must not be found */
};

static const struct query queries[] = {
        { "comment configurer l'imprimante", "imprimante" },
        { "l'imprimante", "imprimante" },
        { "l’imprimante", "imprimante" },
        { "isola", "italian" },
        { "acqua", "italian" },
        { "what is Postgres's listening socket", "postgres" },
        { "Postgres's", "postgres" },
        { "postgres’s", "postgres" },
        { "sign-off", "signoff" },
        { "email", "e-mail" },
        { "mail", "e-mail" },
        { "reentrant", "nonbreaking" },
        { "re-entrant", "nonbreaking" },
        { "dont", "contraction" },
        { "oreilly", "reilly" },
        { "user name first", "camel" },
        { "getUserName", "camel", "user" },
        { "get_user_name", "camel", "user" },
        { "parseHttpHeader", "snake" },
        { "http header", "snake" },
        { "API objects", "acronym" },
        { "http request", "acronym" },
        { "C# tutorial", "csharp" },
        { "c++ tutorial", "cplusplus" },
        { "C tutorial", "c" },
        { "F#", "fsharp" },
        { ".NET desktop tools", "dotnet" },
        { "nodejs", "node" },
        { "usa", "usa" },
        { "https://docs.example.com/install", "url" },
        { "www.docs.example.com", "url" },
        { "/etc/brickd/brickd.yaml", "path" },
        { "12.4.1", "version" },
        { "12.4", "version" },
        { "python", "python" },
        { "python 3", "python" },
        { "512 GB", "unit" },
        { "utf8", "utf" },
        { "automation", "shy" },
        { "won\xc2\xad"
          "derful",
          "zwsp" },
        { "organization", "organization", "organ" },
        { "organised", "organization" },
        { "news", "news", "new" },
        { "universe", "universe", "university" },
        { "universities", "university", "universe" },
        { "import", "import", "important" },
        { "generic", "generic", "generate" },
        { "generating", "generate", "generic" },
        { "policies", "policy", "police" },
        { "market", NULL },
        { "IDs", "ids" },
        { "ios", "ios" },
        { "install", "pump" },
        { "configuration", "configured" },
        { "Strasse", "strasse" },
        { "STRASSE", "strasse" },
        { "Muenchen", "muenchen" },
        { "Munchen", "muenchen" },
        { "Köln", "koeln" },
        { "Zürich", "nfd-umlaut" },
        { "Zuerich", "nfd-umlaut" },
        { "Aarhus", "aarhus" },
        { "API連線", "fullwidth" },
        { "2024", "year" },
        { "データベース", "halfwidth" },
        { "2026", "arabic-digits" },
        { "office closed", "ligature" },
        { "데이터베이스", "hangul" },
        { "ばなが", "kana" },
        { "елка", "yo" },
        { "ΑΘΗΝΑ", "greek" },
        { "lodz", "lodz" },
        { "orsted", "orsted" },
        { "oersted", "orsted" },
        { "كتاب", "arabic" },
        { "احمد", "alef" },
        { "שלום", "hebrew" },
        { "isik", "turkish" },
        { "istanbul", "turkish" },
        { "हिन्दी", "hindi", "hindi-other" },
        { "\u0915\u0932\u092e", "nukta" },
        { "tieng viet", "vietnamese" },
        { "葛飾", "variation" },
        { "您好我是貴公司的客戶前幾天在你們的網站上買了一台新的筆記型電腦結果今天收到以後發現包裝有"
          "一點"
          "破損但是外觀看起來還好所以我想先請問一下如果之後要辦理退貨流程該怎麼做",
          "returns" },
        { "資料庫", "big5.txt" },
        { "café", "latin1.txt" },
        { "сервера", "cp1251.txt" },
        { "привет", "koi8.txt" },
        { "부산", "euc-kr.txt" },
        { "電源を切る", "euc-jp.txt" },
        { "欢迎", "gb18030.txt" },
        { "コンピュータ", "shift-jis.txt" },
        { "καλημέρα", "greek.txt" },
        { "陣列", "bad-byte.txt" },
        { "kangaroo", "utf16.txt" },
        { "possum", "utf16be.txt" },
        { "bandicoot", "utf16-bare.txt" },
        { "数据库安装", "gb2312.html" },
        { "слон", "equiv.html" },
        { "キリン", "declared.xml" },
        { "長頸鹿", "wrong.html" },
        { "información español", "entities.html" },
        { "año", "entities.html" },
        { "château", "entity-bare.html" },
        { "smorrebrod", "entity-number.html" },
        { "hippodrome", "no-suffix" },
        { "wombat", "word.docx" },
        { "of wombats", "word.docx" },
        { "deleted endobj", NULL },
        { "emu", "book.epub" },
        { "ostrich", "text.odt" },
};

/* What Chinese readers write in one script finds what others wrote in the other, with OpenCC. */
static const struct query scripts[] = {
        { "網絡連線", "simplified" },
        { "退货流程", "returns" },
        { "笔记型电脑", "laptop" },
};

struct expected {
        const char *name;
        const char *data;
        const char *title;
        const char *note; /* a part; "": none */
};

static const struct expected titles[] = {
        { "a.md", "```bash\n# install it first\n```\n\n# Database Guide\n\nzebra\n",
          "Database Guide", "" },
        { "a.md", "~~~\n# no\n```\n# no\n~~~~\n# Yes #\n", "Yes", "" },
        { "a.md", "---\n# no\ntitle: 'The guide'\ntags: [a]\n---\n# Heading\n", "The guide", "" },
        { "a.md", "+++\ntitle = \"Toml\"\n+++\n# Heading\n", "Toml", "" },
        { "a.md", "---\ntitle: >-\n  Folded\n---\n# Heading\n", "Folded", "" },
        { "a.md", "---\ntitle: Plain # comment\n---\n", "Plain", "" },
        { "a.md", "---\nauthor: x\n---\n# Heading\n", "Heading", "" },
        { "a.md", "---\ntitle: it never ends\n\n# Heading\n", "Heading", "" },
        { "a.md", "<!-- \n# no\n-->\nSetext\n======\n", "Setext", "" },
        { "a.md", "## Second\ntext\n# First\n", "First", "" },
        { "a.md", "intro\n\n    # code\n\n### Third\n", "Third", "" },
        { "a.md", "#hashtag\n", "", "" },
        { "a.txt", "caf\xe9", "", "CP1252, a guess" },
        { "a.txt", "資料庫\xe8 資料庫", "", "1 byte is not UTF-8" },
        { "a.html", "<meta charset=utf-8><title>\xe8\xb3\x87\xff</title>", "資\xef\xbf\xbd",
          "1 byte is" },
        { "a.html", "<meta charset=x-none><title>caf\xe9</title>", "café",
          "not x-none as it says" },
        { "a.html", "<title>\xe8\xb3\x87</title>", "資", "" },
        { "a.rtf", "{\\rtf1 x}", NULL, "RTF" },
        { "a.ps", "%!PS-Adobe-3.0\n", NULL, "PostScript" },
        { "a.txt", "\x01\x02\x03\x04 abc", NULL, "binary" },
};

static const struct {
        const char *file;
        const char *title; /* NULL: it is skipped */
        const char *text;  /* or the reason */
} files[] = {
        { "word.docx", "Of wombats", "The wombat & the yak\n\nleft\tright\n\na<b\n\n" },
        { "stored.docx", "Of wombats", "The wombat & the yak\n\nleft\tright\n\na<b\n\n" },
        { "book.epub", "The b\xc3\xb6ok", "first the emu\n\nx\n\nthen the gnu\n\n" },
        { "text.odt", "Of ostriches", "The\n\nquick ostrich\nruns\n\n" },
        { "bomb.docx", NULL, "more text than --max-size" },
        { "encrypted.docx", NULL, "encrypted" },
        { "damaged.docx", NULL, "damaged" },
        { "cut.docx", NULL, "damaged" },
        { "directory-outside.docx", NULL, "damaged" },
        { "bzip2.docx", NULL, "uncommon" },
        { "sheet.zip", NULL, "without a text document" },
        { "nonsense.pdf", NULL, "PDF" },
};

static char directory[] = "/tmp/retrieval-XXXXXX";
static char path[64];
static const char *fixtures;

static char *fixture(const char *name, size_t *ret_n)
{
        char file[512], *data = malloc(TEXT_MAX);
        FILE *f;

        (void)snprintf(file, sizeof file, "%s/%s", fixtures, name);
        f = fopen(file, "r");
        assert(f && data);
        *ret_n = fread(data, 1, TEXT_MAX, f);
        fclose(f);
        return data;
}

static void add(struct index *index, const char *name, const char *data, size_t n)
{
        _cleanup_(extract_done) struct extract e = {};
        struct index_file file = { .path = name, .mtime = 1, .groups = "" };
        char *copy = memcpy(malloc(n), data, n); /* so that a sanitizer sees its end */

        if (extract(name, copy, n, TEXT_MAX, &e) != 0)
                fprintf(stderr, "%s: %s\n", name, e.note);
        assert(e.text);
        free(copy);
        assert(index_begin(index, &file) == 0);
        assert(index_add(index, &(struct index_document){ .key = name,
                                                          .title = e.title,
                                                          .metadata = "{}",
                                                          .text = e.text,
                                                          .n = e.n }) == 0);
        assert(index_end(index) == 0);
}

static void make_index(void)
{
        static const char *const unpacked[] = { "word.docx", "book.epub", "text.odt" };
        struct index_statistics statistics;
        struct index *index;
        char *error;
        size_t n;

        assert(index_open(path, NULL, &index, &error) == 0);
        for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
                add(index, documents[i].name, documents[i].data, documents[i].n);
        for (size_t i = 0; i < sizeof unpacked / sizeof *unpacked; i++) {
                _cleanup_free_ char *data = fixture(unpacked[i], &n);

                add(index, unpacked[i], data, n);
        }
        assert(index_commit(index, &statistics) == 0);
        index_free(index);
}

/* The ids of what was found, each with a newline. */
static int hit(void *user, const struct search_hit *hit)
{
        strcat(strcat(user, hit->id), "\n");
        return 0;
}

static bool is_right(const struct query *query, const char *found)
{
        size_t n = strcspn(found, "\n");
        char without[64];

        if (!query->first)
                return !found[0];
        (void)snprintf(without, sizeof without, "%s\n", query->without ?: "-");
        return strlen(query->first) == n && memcmp(query->first, found, n) == 0 &&
               !strstr(found, without);
}

static int check(struct searcher *s, const struct query *list, size_t n)
{
        struct search_error error;
        char found[4096];
        int wrong = 0;

        for (size_t i = 0; i < n; i++) {
                struct search_query query = {
                        .text = list[i].text,
                        .n = strlen(list[i].text),
                        .max_results = 5,
                        .snippet_words = 8,
                        .hit = hit,
                        .user = found,
                };

                found[0] = '\0';
                assert(searcher_search(s, &query, &error) == 0);
                if (is_right(&list[i], found))
                        continue;
                fprintf(stderr, "%s: wanted %s, found:\n%s", list[i].text, list[i].first, found);
                wrong++;
        }
        return wrong;
}

static int check_titles(void)
{
        int wrong = 0;

        for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
                _cleanup_(extract_done) struct extract e = {};
                const struct expected *t = &titles[i];
                int r = extract(t->name, t->data, strlen(t->data), TEXT_MAX, &e);

                if ((r == 0) == (t->title != NULL) && (r > 0 || strcmp(e.title, t->title) == 0) &&
                    (t->note[0] ? strstr(e.note, t->note) != NULL : !e.note[0]))
                        continue;
                fprintf(stderr, "%s\n%d: title \"%s\", note \"%s\"\n", t->data, r, e.title, e.note);
                wrong++;
        }
        return wrong;
}

static int check_files(void)
{
        int wrong = 0;

        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
                _cleanup_(extract_done) struct extract e = {};
                size_t n;
                _cleanup_free_ char *data = fixture(files[i].file, &n);
                int r = extract(files[i].file, data, n, TEXT_MAX, &e);

                if (files[i].title ? r == 0 && strcmp(e.title, files[i].title) == 0 &&
                                             e.n == strlen(files[i].text) &&
                                             memcmp(e.text, files[i].text, e.n) == 0
                                   : r > 0 && strstr(e.note, files[i].text) != NULL)
                        continue;
                fprintf(stderr, "%s: %d, \"%s\", %s\n%.*s|\n", files[i].file, r, e.title, e.note,
                        (int)e.n, e.text ?: "");
                wrong++;
        }
        return wrong;
}

int main(int argc, char **argv)
{
        _cleanup_(searcher_freep) struct searcher *s = NULL;
        int wrong;

        assert(argc == 2);
        fixtures = argv[1];
        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/index.db", directory);
        make_index();
        assert(searcher_new(path, &s) == 0);
        wrong = check(s, queries, sizeof queries / sizeof *queries);
        if (fold_has_han())
                wrong += check(s, scripts, sizeof scripts / sizeof *scripts);
        wrong += check_titles();
        wrong += check_files();
        remove_index(path);
        rmdir(directory);
        assert(wrong == 0);
        return 0;
}
