/* SPDX-License-Identifier: MIT */

/* What the door decides without a connection: routes, origins, statuses, stops. */

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "http/origin.h"
#include "http/outcome.h"
#include "http/route.h"
#include "http/stops.h"
#include "util/cleanup.h"

static struct http_text text(const char *s)
{
        return (struct http_text){ s, s ? strlen(s) : 0 };
}

/* --- routes --- */

static void test_routes(void)
{
        static const struct {
                const char *path;
                const char *route; /* NULL: none */
                const char *parameter;
        } cases[] = {
                { "/v1/models", "/v1/models", NULL },
                { "/v1/models/", NULL, NULL },
                { "/v1/models/gpt-4o", "/v1/models/{id}", "gpt-4o" },
                { "/v1/models/a%2Fb", "/v1/models/{id}", "a%2Fb" },
                { "/v1/models/a/b", NULL, NULL },
                { "/v1/chat/completions", "/v1/chat/completions", NULL },
                { "/v1/chat/completions/", NULL, NULL },
                { "/v1/chat", NULL, NULL },
                { "/v1/Models", NULL, NULL },
                { "//v1/models", NULL, NULL },
                { "/health", "/health", NULL },
                { "/", "/", NULL },
                { "/app.js", "/app.js", NULL },
                { "/index.html", NULL, NULL },
                { "//", NULL, NULL },
                { "*", NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct http_text parameters[HTTP_PARAMETERS_MAX] = {};
                const struct http_route *route = http_route_find(text(cases[i].path), parameters);

                if (!cases[i].route) {
                        assert(!route);
                        continue;
                }
                assert(route && strcmp(route->path, cases[i].route) == 0);
                if (cases[i].parameter)
                        assert(http_text_is(parameters[0], cases[i].parameter));
                else
                        assert(!parameters[0].ptr);
        }
        for (const struct http_route *route = http_routes; route->path; route++)
                assert(strcmp(route->path, stats_route_to_string(route->stats)) == 0);
}

/* --- origins --- */

static void test_origins(void)
{
        static const char *cors[] = { "https://good.example" }, *hosts[] = { "door.local" };
        static const char *all[] = { "*" };
        const struct conf_http conf = { .cors = cors, .n_cors = 1, .hosts = hosts, .n_hosts = 1 };
        const struct conf_http open = { .cors = all, .n_cors = 1 };
        struct http_text host = text("127.0.0.1:8080");

        assert(origin_check(text(NULL), host, &conf) == ORIGIN_OWN);
        assert(origin_check(text("http://127.0.0.1:8080"), host, &conf) == ORIGIN_OWN);
        assert(origin_check(text("https://127.0.0.1:8080"), host, &conf) == ORIGIN_OWN);
        assert(origin_check(text("http://127.0.0.1"), host, &conf) == ORIGIN_REFUSED);
        assert(origin_check(text("https://good.example"), host, &conf) == ORIGIN_ALLOWED);
        assert(origin_check(text("https://good.example.evil"), host, &conf) == ORIGIN_REFUSED);
        assert(origin_check(text("http://good.example"), host, &conf) == ORIGIN_REFUSED);
        assert(origin_check(text("null"), host, &conf) == ORIGIN_REFUSED);
        assert(origin_check(text(""), host, &conf) == ORIGIN_REFUSED);
        assert(origin_check(text("null"), host, &open) == ORIGIN_ALLOWED);

        assert(origin_host_is_own(host, &conf));
        assert(origin_host_is_own(text("LOCALHOST"), &conf));
        assert(origin_host_is_own(text("[::1]:1"), &conf));
        assert(origin_host_is_own(text("door.local:80"), &conf));
        assert(origin_host_is_own(text(""), &conf));
        assert(!origin_host_is_own(text("localhost.evil"), &conf));
        assert(!origin_host_is_own(text("127.0.0.1.evil:80"), &conf));
        assert(!origin_host_is_own(text("[::1"), &conf));
        assert(!origin_host_is_own(text("[::2]"), &conf));
}

/* --- statuses --- */

static void test_statuses(void)
{
        static const struct {
                int32_t code;
                unsigned status;
        } codes[] = {
                { 400, 400 },  { 401, 502 },  { 403, 403 },  { 404, 404 },  { 599, 599 },
                { 2000, 400 }, { 2999, 400 }, { 3000, 502 }, { 3001, 403 }, { 3004, 403 },
                { 4001, 404 }, { 4002, 503 }, { 4004, 504 }, { 4005, 429 }, { 4999, 500 },
                { 5004, 429 }, { 6001, 404 }, { 6002, 429 }, { 8002, 404 }, { 12, 501 },
                { 13, 500 },   { 7002, 504 }, { 0, 500 },    { -1, 500 },
        };
        const struct outcome busy = outcome_busy(), stopping = outcome_stopping();
        const struct outcome failed = {
                .in_band = true, .code = 4001, .message = brick_str("no"), .detail = brick_str("")
        };
        struct exchange_error error;

        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                assert(http_status_of_code(codes[i].code) == codes[i].status);
        error = http_error_of(&busy, false, "busy", "", 1000);
        assert(error.status == 503 && error.retry_ms == 1000 && !error.would_repeat);
        assert(strcmp(error.code, "overloaded") == 0);
        assert(http_error_of(&busy, true, "rate", "", 0).status == 429);
        assert(http_error_of(&stopping, false, "stopping", "", 0).status == 503);
        error = http_error_of(&failed, false, "no", "why", 0);
        assert(error.status == 404 && error.brick_code == 4001 && error.would_repeat);
        assert(strcmp(error.detail, "why") == 0);
        for (unsigned status = 1; status <= STATUS_MAX; status++)
                assert(http_status_of_grpc(status) >= 400);
}

/* --- stops --- */

static size_t scan(const char *s, const char *a, const char *b, bool *ret_found)
{
        const char *const stops[] = { a, b };

        return stops_scan(s, strlen(s), stops, b ? 2 : 1, ret_found);
}

static void test_stops(void)
{
        bool found;

        assert(scan("hello", "x", NULL, &found) == 5 && !found);
        assert(scan("hello", "lo", NULL, &found) == 3 && found);
        assert(scan("hello", "lo world", NULL, &found) == 3 && !found);
        assert(scan("hello", "l", NULL, &found) == 2 && found);
        assert(scan("hello", "o", "ell", &found) == 1 && found);
        assert(scan("hello", "hello!", "l", &found) == 2 && found);
        assert(scan("aaa", "aaaa", NULL, &found) == 0 && !found);
        assert(scan("baaa", "aab", NULL, &found) == 2 && !found);
        assert(scan("", "x", NULL, &found) == 0 && !found);
        assert(stops_scan(NULL, 0, NULL, 0, &found) == 0 && !found);
}

int main(void)
{
        test_routes();
        test_origins();
        test_statuses();
        test_stops();
        return 0;
}
