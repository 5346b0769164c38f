/* SPDX-License-Identifier: MIT */
#include "http/page.h"

#include "conf/conf.h"
#include "http/exchange.h"
#include "http/route-tools.h"
#include "http/route.h"

/* Only the page's own files and this server: what a reply says can load nothing and run nothing. */
#define POLICY                                                                          \
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " \
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct page_file *find_file(struct http_text path)
{
        const struct page_file *file = page_files;

        while (!http_text_is(path, file->path))
                file++;
        return file;
}

/* GET /, /app.js, /style.css: the routes are the files. */
void page_serve(struct exchange *x, const char *const *parameters)
{
        const struct http_head *head = exchange_head(x);
        const struct page_file *file = find_file(head->path);

        if (!exchange_conf(x)->page) {
                route_refuse(x, 404, "unknown_url", NULL,
                             "The page is turned off: this port has 'http: page: false'.");
                return;
        }
        exchange_header(x, "Content-Security-Policy", POLICY);
        exchange_header(x, "X-Content-Type-Options", "nosniff");
        exchange_header(x, "Referrer-Policy", "no-referrer");
        exchange_header(x, "Cache-Control", "no-cache");
        exchange_header(x, "Vary", "Accept-Encoding");
        exchange_header(x, "ETag", file->tag);
        if (http_head_lists(head, "if-none-match", file->tag)) {
                exchange_answer(x, 304, NULL, NULL, 0);
        } else if (http_head_lists(head, "accept-encoding", "gzip")) {
                exchange_header(x, "Content-Encoding", "gzip");
                exchange_answer(x, 200, file->type, file->gzip, file->n_gzip);
        } else {
                exchange_answer(x, 200, file->type, file->plain, file->n_plain);
        }
}
