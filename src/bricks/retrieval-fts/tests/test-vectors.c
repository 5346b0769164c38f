/* SPDX-License-Identifier: MIT */

/* Vectors: their bytes, their products, the rankings that are fused, the JSON that they come in. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "embed-json.h"
#include "embed.h"
#include "ranking.h"
#include "rowid.h"
#include "vector.h"

static void test_pack(void)
{
        static const float good[] = { 3, -4, 0, 12 };
        static const float bad[][2] = { { 0, 0 }, { INFINITY, 1 }, { 1, NAN } };
        uint8_t bytes[VECTOR_SIZE(4)];
        int8_t components[4];
        float scale;

        assert(vector_pack(good, 4, bytes));
        assert(vector_unpack(bytes, 4, &scale, components));
        for (int i = 0; i < 4; i++)
                assert(fabs(components[i] * scale - good[i] / 13) < 0.005);
        for (size_t i = 0; i < 3; i++)
                assert(!vector_pack(bad[i], 2, bytes));
        memset(bytes, 0xff, sizeof bytes); /* the scale is no number */
        assert(!vector_unpack(bytes, 4, &scale, components));
        memset(bytes, 0, sizeof bytes);
        assert(!vector_unpack(bytes, 4, &scale, components));
}

/* As one component after the other, for every length and alignment. */
static void test_dot(void)
{
        static int8_t a[VECTOR_DIMENSION_MAX + 16], b[VECTOR_DIMENSION_MAX + 16];
        int32_t expected;

        srand(1);
        for (size_t i = 0; i < sizeof a; i++) {
                a[i] = (int8_t)rand();
                b[i] = (int8_t)rand();
        }
        for (size_t shift = 0; shift < 3; shift++)
                for (size_t n = 0; n < 100; n++) {
                        expected = 0;
                        for (size_t i = 0; i < n; i++)
                                expected += a[shift + i] * b[i];
                        assert(vector_dot(a + shift, b, n) == expected);
                }
        memset(a, -128, sizeof a);
        assert(vector_dot(a, a, VECTOR_DIMENSION_MAX) == 128 * 128 * VECTOR_DIMENSION_MAX);
}

static struct ranking *ranking_of(const int *documents, size_t n, int number)
{
        struct ranking *ranking = ranking_new(n);

        assert(ranking);
        for (size_t i = 0; i < n; i++)
                ranking_add(ranking, &(struct candidate){ rowid_make(0, documents[i], number, 1, 1),
                                                          (double)(n - i), 1 });
        ranking_end(ranking);
        return ranking;
}

static void test_fuse(void)
{
        static const int words[] = { 1, 2, 3 }, vectors[] = { 4, 3, 1, 5 };
        static const int expected[][2] = { { 1, 0 }, { 3, 1 }, { 4, 1 }, { 2, 0 }, { 5, 1 } };
        _cleanup_(ranking_freep) struct ranking *a = ranking_of(words, 3, 0),
                                                *b = ranking_of(vectors, 4, 1);
        _cleanup_(ranking_freep) struct ranking *fused = ranking_fuse(a, b);

        assert(fused && fused->n == 5);
        for (size_t i = 0; i < fused->n; i++) {
                assert(rowid_document(fused->items[i].rowid) == expected[i][0]);
                assert(rowid_number(fused->items[i].rowid) == expected[i][1]);
        }
        assert(fabs(fused->items[0].score - (1.0 / 61 + 1.0 / 63)) < 1e-9);
        for (int swap = 0; swap < 2; swap++) {
                _cleanup_(ranking_freep) struct ranking *none = ranking_new(3);
                _cleanup_(ranking_freep) struct ranking *same = swap ? ranking_fuse(none, b)
                                                                     : ranking_fuse(b, none);

                assert(same->n == b->n);
                for (size_t i = 0; i < b->n; i++)
                        assert(same->items[i].rowid == b->items[i].rowid);
        }
}

/* The best passage of each document, and no more documents than there is room for. */
static void test_ranking(void)
{
        static const struct {
                int document;
                double score;
        } rows[] = { { 1, 1 }, { 1, 5 }, { 1, 2 }, { 2, 4 }, { 3, 5 }, { 4, 6 }, { 4, 3 } };
        _cleanup_(ranking_freep) struct ranking *ranking = ranking_new(3);

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                ranking_add(ranking,
                            &(struct candidate){ rowid_make(0, rows[i].document, (int)i, 1, 1),
                                                 rows[i].score, 1 });
        ranking_end(ranking);
        assert(ranking->n == 3);
        assert(rowid_document(ranking->items[0].rowid) == 4);
        assert(rowid_document(ranking->items[1].rowid) == 1);
        assert(rowid_number(ranking->items[1].rowid) == 1);
        assert(rowid_document(ranking->items[2].rowid) == 3);
}

static void test_request(void)
{
        static const char *const texts[] = { "a \"b\"", "資料" };
        _cleanup_free_ char *plain = embed_request("m", "", "", texts, 2);
        _cleanup_free_ char *with = embed_request("m", "query", "query: ", texts, 1);

        assert(strcmp(plain, "{\"model\":\"m\",\"encoding_format\":\"float\",\"input\":"
                             "[\"a \\\"b\\\"\",\"資料\"]}") == 0);
        assert(strcmp(with, "{\"model\":\"m\",\"encoding_format\":\"float\",\"input\":"
                            "[\"query: a \\\"b\\\"\"],\"input_type\":\"query\"}") == 0);
}

static void test_answer(void)
{
        static const char swapped[] = "{\"data\":[{\"index\":1,\"embedding\":[3,4]},"
                                      "{\"index\":0,\"embedding\":[1,2]}]}";
        static const struct {
                const char *json;
                size_t dimension;
                const char *error;
        } wrong[] = {
                { "{", 0, "the answer is not JSON: " },
                { "{}", 0, "the answer has no list \"data\"" },
                { "{\"error\":{\"message\":\"no such\\nmodel\"}}", 0, "no such model" },
                { "{\"data\":[]}", 0, "0 vectors for 1 texts" },
                { "{\"data\":[{\"embedding\":\"AACA\"}]}", 0, "has no list \"embedding\"" },
                { "{\"data\":[{\"embedding\":[]}]}", 0, "a vector has 0 components" },
                { "{\"data\":[{\"embedding\":[1,2]}]}", 3, "has 2 components, others have 3" },
                { "{\"data\":[{\"embedding\":[1,null]}]}", 0, "is no finite number" },
                { "{\"data\":[{\"embedding\":[1,1e39]}]}", 0, "is no finite number" },
                { "{\"data\":[{\"index\":1,\"embedding\":[1]}]}", 0, "not one for each text" },
        };
        _cleanup_free_ float *vectors = NULL;
        char error[EMBED_ERROR_SIZE];
        size_t dimension = 0;

        assert(embed_answer(swapped, strlen(swapped), 2, &dimension, &vectors, error) == 0);
        assert(dimension == 2);
        for (int i = 0; i < 4; i++)
                assert(vectors[i] == (float)(i + 1));
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
                float *none = NULL;

                dimension = wrong[i].dimension;
                assert(embed_answer(wrong[i].json, strlen(wrong[i].json), 1, &dimension, &none,
                                    error) == -EBADMSG);
                if (!strstr(error, wrong[i].error))
                        fprintf(stderr, "%s: %s\n", wrong[i].json, error);
                assert(!none && strstr(error, wrong[i].error));
        }
}

static void test_words(void)
{
        static const struct {
                const char *text;
                size_t words;
        } rows[] = { { "", 0 },           { "  ", 0 },      { "one", 1 }, { "one, two-three", 3 },
                     { "資料庫 abc", 4 }, { "über c++", 2 } };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                assert(rowid_words(rows[i].text, strlen(rows[i].text)) == rows[i].words);
        for (size_t n = 0; n < 1400; n++) {
                double kept = rowid_body_words(rowid_body_level(rowid_make(0, 1, 0, 0, n)));

                assert(fabs(kept - (double)n) <= 0.5 + 0.07 * (double)n);
        }
        assert(rowid_title_words(rowid_title_level(rowid_make(0, 1, 0, 7, 0))) == 7);
        assert(rowid_document(rowid_make(1023, ROWID_DOCUMENTS - 1, ROWID_NUMBERS - 1, 99, 9999)) ==
               ROWID_DOCUMENTS - 1);
        assert(rowid_audience(rowid_make(1023, 1, 0, 99, 9999)) == 1023);
        assert(rowid_make(1023, 1, 0, 99, 9999) > 0);
}

static void test_urls(void)
{
        assert(!embed_check_url("https://api.example.org/v1"));
        assert(embed_check_url("ftp://x") && embed_check_url("http://x/v1/embeddings"));
        assert(embed_check_url("http://x/?a=b"));
}

int main(void)
{
        test_pack();
        test_dot();
        test_ranking();
        test_fuse();
        test_request();
        test_answer();
        test_words();
        test_urls();
        return 0;
}
