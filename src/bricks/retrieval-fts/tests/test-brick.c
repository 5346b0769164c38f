/* SPDX-License-Identifier: MIT */

/* test-brick BRICKCTL-INDEX: the brick, on a host for tests, with an index that the program made.
 */

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "brick-sdk.h"
#include "fake-host.h"
#include "remove-index.h"

const struct brick_module *retrieval_fts_brick_module_v1(void);

static const char *index_program;
static char directory[] = "/tmp/retrieval-XXXXXX";
static char path[64];

static void write_lines(void)
{
        char name[64];
        FILE *f;

        (void)snprintf(name, sizeof name, "%s/faq.jsonl", directory);
        f = fopen(name, "w");
        check(f);
        fputs("{\"id\": \"a\", \"title\": \"First\", \"text\": \"zebra 資料庫 yak\", \"metadata\": "
              "{\"tags\": [\"x\", 1.5, true, null, {\"k\": \"v\"}], \"path\": \"mine\"}}\n",
              f);
        for (int i = 0; i < 60; i++)
                fprintf(f, "{\"id\": %d, \"text\": \"number %d is a gnu\"}\n", i, i);
        fputs("{\"id\": \"pay\", \"text\": \"salary of the walrus\", \"groups\": [\"board\", "
              "\"staff\"]}\n",
              f);
        fclose(f);
}

static void make_index(void)
{
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                (void)execl(index_program, index_program, "-q", "--db", path, directory, NULL);
                _exit(127);
        }
        check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static struct fake_call *ask(struct fake_host *host, const char *query, int max_results)
{
        RetrievalRequest request = PROTOCOLS__GRPC__RETRIEVAL__RETRIEVAL_REQUEST__INIT;
        struct fake_call *call;

        request.query = (char *)query;
        request.max_results = max_results;
        call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        check(fake_call_run(call) == 0);
        return call;
}

static RetrievalResponse *reply(struct fake_call *call)
{
        check(fake_call_code(call) == 200 && fake_call_replies(call) == 1);
        return fake_call_reply(call, 0,
                               &protocols__grpc__retrieval__retrieval_response__descriptor);
}

static void check_error(struct fake_host *host, const char *query, int code, const char *detail)
{
        _cleanup_(fake_call_freep) struct fake_call *call = ask(host, query, 0);

        check(fake_call_code(call) == code);
        check(strstr(fake_call_detail(call), detail));
}

static void check_count(struct fake_host *host, const char *query, int max_results, size_t n)
{
        _cleanup_(fake_call_freep) struct fake_call *call = ask(host, query, max_results);

        check(reply(call)->n_documents == n);
}

static void check_description(struct fake_host *host, const char *part)
{
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        ServiceInfoResponse *info;

        call = fake_call_new(host, BRICK_METHOD_SERVICE_INFO, NULL);
        check(fake_call_run(call) == 0);
        info = fake_call_reply(call, 0,
                               &protocols__grpc__common__service_info_response__descriptor);
        check(info->n_models == 1 && strstr(info->models[0]->description, part));
}

static void test_document(struct fake_host *host)
{
        _cleanup_(fake_call_freep) struct fake_call *call = ask(host, "資料庫 zebra", 0);
        RetrievalResponse *response = reply(call);
        RetrievalDocument *document;
        const Value *tags;

        check(response->n_documents == 1);
        document = response->documents[0];
        check(strcmp(document->doc_id, "a") == 0 && strcmp(document->title, "First") == 0);
        check(strcmp(document->snippet, "zebra 資料庫 yak") == 0 && document->score > 0);
        check(strcmp(brick_struct_get_string(document->metadata, "path"), "mine") == 0);
        check(brick_struct_get_string(document->metadata, "mtime"));
        check(brick_struct_get(document->metadata, "passage")->number_value == 1);
        check(brick_struct_get(document->metadata, "passages")->number_value == 1);
        tags = brick_struct_get(document->metadata, "tags");
        check(tags->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);
        check(tags->list_value->n_values == 5);
        check(strcmp(tags->list_value->values[0]->string_value, "x") == 0);
        check(tags->list_value->values[1]->number_value == 1.5);
        check(tags->list_value->values[2]->bool_value);
        check(tags->list_value->values[3]->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);
        check(strcmp(brick_struct_get_string(tags->list_value->values[4]->struct_value, "k"),
                     "v") == 0);
}

static void check_member(struct fake_host *host, const char *group, size_t n, const char *described)
{
        RetrievalRequest request = PROTOCOLS__GRPC__RETRIEVAL__RETRIEVAL_REQUEST__INIT;
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *info = NULL;
        ServiceInfoResponse *response;

        request.query = (char *)"walrus";
        call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        info = fake_call_new(host, BRICK_METHOD_SERVICE_INFO, NULL);
        fake_call_add_group(call, "others");
        fake_call_add_group(call, group);
        fake_call_add_group(info, group);
        check(fake_call_run(call) == 0 && reply(call)->n_documents == n);
        check(fake_call_run(info) == 0);
        response = fake_call_reply(info, 0,
                                   &protocols__grpc__common__service_info_response__descriptor);
        check(strstr(response->models[0]->description, described));
}

static void test_groups(struct fake_host *host)
{
        check_count(host, "walrus", 0, 0);
        check_member(host, "staff", 1, "62 documents in 62 passages");
        check_member(host, "board", 1, "62 documents");
        check_member(host, "boar", 0, "61 documents");
}

/* An index may come after the brick, go, and come back. */
static void test_life(struct fake_host *host)
{
        check(!fake_host_healthy(host));
        check(strstr(fake_host_said(host), "is not there: build it with brickctl index --db"));
        check_error(host, "zebra", 503, "build it with brickctl index");
        check_description(host, "build it with brickctl index");
        make_index();
        check_count(host, "zebra", 0, 1);
        check(fake_host_healthy(host));
        check_description(host, "61 documents in 61 passages");
        remove_index(path);
        check_error(host, "zebra", 503, "build it with brickctl index");
        check(!fake_host_healthy(host));
        make_index();
        for (int i = 0; i < 100 && !fake_host_healthy(host); i++)
                (void)usleep(100 * 1000);
        check(fake_host_healthy(host)); /* without a call */
        check_count(host, "zebra", 0, 1);
}

static void change(const char *sql)
{
        sqlite3 *db;

        check(sqlite3_open(path, &db) == SQLITE_OK);
        check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
        check(sqlite3_close(db) == SQLITE_OK);
}

static size_t count(const char *text, const char *part)
{
        size_t n = 0;

        while ((text = strstr(text, part))) {
                text += strlen(part);
                n++;
        }
        return n;
}

/* The host hears once which file is damaged, however often calls fail. */
static void test_damaged(struct fake_host *host)
{
        static const char *const metadata[] = {
                "'[]'",
                "'{'",
                ("'{\"a\":' || replace(hex(zeroblob(10)), '0', '[') ||"
                 " replace(hex(zeroblob(10)), '0', ']') || '}'"),
                ("'{\"a\":' || replace(hex(zeroblob(500)), '0', '[') ||"
                 " replace(hex(zeroblob(500)), '0', ']') || '}'"),
                "'{\"a\":\"' || hex(zeroblob(40000)) || '\"}'",
        };
        size_t before = count(fake_host_said(host), "is damaged (");
        char sql[256];

        for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++) {
                remove_index(path);
                make_index();
                (void)snprintf(sql, sizeof sql, "UPDATE document SET metadata = %s", metadata[i]);
                change(sql);
                for (int k = 0; k < 3; k++)
                        check_error(host, "zebra", 503, "index.db is damaged (");
                check(!fake_host_healthy(host));
                if (i == 0)
                        (void)usleep(1200 * 1000); /* one look at the index */
                check(!fake_host_healthy(host));
                check(count(fake_host_said(host), "is damaged (") == before + i + 1);
                remove_index(path);
                make_index();
                check_count(host, "zebra", 0, 1);
                check(fake_host_healthy(host));
        }
}

static void test_results(struct fake_host *host)
{
        test_document(host);
        test_groups(host);
        check_count(host, "gnu", 0, 5);
        check_count(host, "gnu", -3, 5);
        check_count(host, "gnu", 7, 7);
        check_count(host, "gnu", 1000000, 50);
        check_count(host, "nothing-of-that", 0, 0);
        check_count(host, "\" AND (", 0, 0);
        check_error(host, "", 2002, "");
        check_error(host, " \n\t", 2002, "");
}

static void test_little_memory(struct fake_host *host)
{
        RetrievalRequest request = PROTOCOLS__GRPC__RETRIEVAL__RETRIEVAL_REQUEST__INIT;

        request.query = (char *)"gnu";
        for (size_t bytes = 0; bytes < 8192; bytes += 256) {
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;

                call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
                fake_call_limit_memory(call, bytes);
                (void)fake_call_run(call);
        }
}

static void test_options(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = NULL;

        check(fake_host_new(&host, retrieval_fts_brick_module_v1(),
                            "{ index: /x, max_results: 9, max_results_limit: 8 }") == -EINVAL);
        check(strstr(fake_host_said(host), "9 is more than max_results_limit, 8"));
}

/* An index that another version has made does not keep other bricks from being served. */
static void test_stale(const char *options)
{
        static const char *const changes[][2] = {
                { "PRAGMA user_version = 1", "index.db has format 1, this brick reads 2; " },
                { "UPDATE tokenizer SET version = 'x'", "index.db was made with tokenizer x, " },
        };

        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
                _cleanup_(fake_host_freep) struct fake_host *host = NULL;

                remove_index(path);
                make_index();
                change(changes[i][0]);
                check(fake_host_new(&host, retrieval_fts_brick_module_v1(), options) == 0);
                check(!fake_host_healthy(host));
                check(strstr(fake_host_said(host), changes[i][1]));
                check(strstr(fake_host_said(host), "remove it and run brickctl index again"));
        }
}

int main(int argc, char **argv)
{
        _cleanup_(fake_host_freep) struct fake_host *host = NULL;
        char options[128];

        check(argc == 2 && mkdtemp(directory));
        index_program = argv[1];
        (void)snprintf(path, sizeof path, "%s/index.db", directory);
        (void)snprintf(options, sizeof options, "{ index: \"%s\" }", path);
        write_lines();
        check(fake_host_new(&host, retrieval_fts_brick_module_v1(), options) == 0);
        test_life(host);
        test_results(host);
        test_damaged(host);
        test_little_memory(host);
        test_options();
        test_stale(options);
        remove_index(path);
        (void)snprintf(options, sizeof options, "%s/faq.jsonl", directory);
        (void)unlink(options);
        (void)rmdir(directory);
        return 0;
}
