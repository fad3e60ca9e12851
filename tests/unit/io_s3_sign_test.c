/* Signed addresses of S3, against the worked example that Amazon publishes, and what is configured.
 */
#include "io/s3.h"
#include "io/s3_sign.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct inst_s3_request example(void) {
    return (struct inst_s3_request){.method = "GET",
                                    .scheme = "https",
                                    .host = "examplebucket.s3.amazonaws.com",
                                    .path = "/test.txt",
                                    .region = "us-east-1",
                                    .access_key = "AKIAIOSFODNN7EXAMPLE",
                                    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                    .now_ms = 1369353600000, /* 2013-05-24T00:00:00Z */
                                    .seconds = 86400};
}

static void test_published_example(void **state) {
    (void)state;
    struct inst_s3_request request = example();
    struct inst_buf out;
    inst_buf_init(&out);
    assert_true(inst_s3_sign(&request, &out));
    assert_string_equal(
        out.data, "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                  "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
                  "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
                  "&X-Amz-SignedHeaders=host&X-Amz-Signature="
                  "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    inst_buf_free(&out);
}

static void test_what_is_encoded(void **state) {
    (void)state;
    struct inst_s3_request request = example();
    struct inst_buf out;
    inst_buf_init(&out);
    request.path = "/b\xc3\xbc/a b+c";
    request.content_type = "text/plain; charset=utf-8";
    request.content_disposition = "attachment; filename=\"\xfc\r\n&x=1\"";
    assert_true(inst_s3_sign(&request, &out));
    assert_non_null(strstr(out.data, "/b%C3%BC/a%20b%2Bc?"));
    assert_non_null(strstr(out.data, "&response-content-disposition=attachment%3B%20filename%3D%22"
                                     "%FC%0D%0A%26x%3D1%22&response-content-type=text%2Fplain%3B%20"
                                     "charset%3Dutf-8&X-Amz-Signature="));
    assert_null(strpbrk(out.data, " \r\n\"+"));
    inst_buf_free(&out);
}

static int64_t now_ms(void *ctx) {
    (void)ctx;
    return 1369353600000;
}

static void test_configuration(void **state) {
    (void)state;
    static const struct inst_env env = {.now_ms = now_ms};
    static const struct {
        const char *endpoint, *bucket, *region, *access_key, *secret_key, *says;
    } bad[] = {
        {NULL, "b", NULL, "a", "s", "endpoint"},
        {"s3.example.com", "b", NULL, "a", "s", "endpoint"},
        {"ftp://x", "b", NULL, "a", "s", "endpoint"},
        {"https://", "b", NULL, "a", "s", "endpoint"},
        {"https://x/path", "b", NULL, "a", "s", "endpoint"},
        {"https://x", "", NULL, "a", "s", "bucket"},
        {"https://x", "a/b", NULL, "a", "s", "bucket"},
        {"https://x", "b", "eu 1", "a", "s", "region"},
        {"https://x", "b", NULL, NULL, "s", "key"},
        {"https://x", "b", NULL, "a", "", "key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct inst_s3_config config = {.endpoint = bad[i].endpoint,
                                        .bucket = bad[i].bucket,
                                        .region = bad[i].region,
                                        .access_key = bad[i].access_key,
                                        .secret_key = bad[i].secret_key};
        struct inst_err err = {0};
        struct inst_s3 *s3 = NULL;
        assert_int_equal(inst_s3_new(&env, &config, &s3, &err), INST_FAILED);
        assert_non_null(strstr(err.message, bad[i].says));
        inst_err_clear(&err);
    }
    static const char *const hosts[][2] = {{"https://x:443/", "https://x/b/k?"},
                                           {"http://x:80", "http://x/b/k?"},
                                           {"http://127.0.0.1:9000", "http://127.0.0.1:9000/b/k?"}};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct inst_s3_config config = {
            .endpoint = hosts[i][0], .bucket = "b", .access_key = "a", .secret_key = "s"};
        struct inst_err err = {0};
        struct inst_s3 *s3;
        struct inst_buf out;
        inst_buf_init(&out);
        assert_int_equal(inst_s3_new(&env, &config, &s3, &err), INST_OK);
        assert_int_equal(inst_s3_address(s3, "GET", "k", NULL, NULL, &out, &err), INST_OK);
        assert_int_equal(strncmp(out.data, hosts[i][1], strlen(hosts[i][1])), 0);
        inst_buf_free(&out);
        inst_s3_free(s3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_example),
        cmocka_unit_test(test_what_is_encoded),
        cmocka_unit_test(test_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
