/*
 * SHA-256 by FIPS 180-4's examples, SipHash-2-4-128 by its authors' vectors and by OpenSSL's own.
 */
#include "tr_digest.h"

#include <ctype.h>
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "tr_testing_cmocka.h"

static void expect_sha256(tr_str_t in, const char *hex)
{
    unsigned char out[TR_SHA256_LEN];
    assert_int_equal(tr_sha256(out, in), APR_SUCCESS);
    for (size_t i = 0; i < sizeof out; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        assert_int_equal(out[i], byte);
    }
}

static void sha256_gives_the_standards_values(void **state)
{
    expect_sha256(tr_str_z("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256(tr_str_z(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256(tr_str(NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256(tr_str_z("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect_sha256(tr_str(tt_repeat(*state, "a", 1000000), 1000000),
                  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_counts_bytes_behind_a_nul(void **state)
{
    unsigned char a[TR_SHA256_LEN], b[TR_SHA256_LEN];
    (void)state;
    assert_int_equal(tr_sha256(a, tr_str("x\0y", 3)), APR_SUCCESS);
    assert_int_equal(tr_sha256(b, tr_str("x\0z", 3)), APR_SUCCESS);
    assert_memory_not_equal(a, b, sizeof a);
}

/* The value as the reference writes it: both words little-endian. */
static void siphash_bytes(unsigned char out[16], const tr_siphash_key_t *key, const unsigned char *in, size_t len)
{
    tr_siphash_t h;
    uint64_t words[2];
    tr_siphash_init(&h, key);
    tr_siphash_feed(&h, in, len);
    tr_siphash_done(words, &h);
    for (size_t i = 0; i < 16; i++)
        out[i] = (unsigned char)(words[i / 8] >> (8 * (i % 8)));
}

static tr_siphash_key_t key_of_bytes(const unsigned char bytes[16])
{
    tr_siphash_key_t key = {0, 0};
    for (size_t i = 0; i < 8; i++) {
        key.k0 |= (uint64_t)bytes[i] << (8 * i);
        key.k1 |= (uint64_t)bytes[i + 8] << (8 * i);
    }
    return key;
}

static void siphash_gives_its_authors_first_values(void **state)
{
    /* SipHash-2-4-128, key 00..0f, input of n bytes 00, 01, ... */
    static const char *vectors[] = {"a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45",
                                    "8177228da4a45dc7fca38bdef60affe4", "9c70b60c5267a94e5f33b6b02985ed51",
                                    "f88164c12d9c8faf7d0f6e7c7bcd5579", "1368875980776f8854527a07690e9627"};
    unsigned char bytes[16], out[16];
    (void)state;
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (unsigned char)i;
    tr_siphash_key_t key = key_of_bytes(bytes);
    for (size_t n = 0; n < sizeof vectors / sizeof *vectors; n++) {
        siphash_bytes(out, &key, bytes, n);
        for (size_t i = 0; i < 16; i++) {
            unsigned byte = 0;
            assert_int_equal(sscanf(vectors[n] + 2 * i, "%2x", &byte), 1);
            assert_int_equal(out[i], byte);
        }
    }
}

static void openssl_siphash(unsigned char out[16], const unsigned char key[16], const unsigned char *in, size_t len)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    unsigned int size = 16;
    size_t out_len = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_CTX_set_params(ctx, params), 1);
    assert_int_equal(EVP_MAC_init(ctx, key, 16, NULL), 1);
    assert_int_equal(EVP_MAC_update(ctx, in, len), 1);
    assert_int_equal(EVP_MAC_final(ctx, out, &out_len, 16), 1);
    assert_int_equal(out_len, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void siphash_agrees_with_openssl_at_every_length(void **state)
{
    uint64_t seed = 2;
    unsigned char bytes[16], in[700], want[16], got[16];
    (void)state;
    for (size_t len = 0; len <= sizeof in; len++) {
        for (size_t i = 0; i < 16; i++)
            bytes[i] = (unsigned char)tt_random(&seed);
        for (size_t i = 0; i < len; i++)
            in[i] = (unsigned char)tt_random(&seed);
        tr_siphash_key_t key = key_of_bytes(bytes);
        openssl_siphash(want, bytes, in, len);
        siphash_bytes(got, &key, in, len);
        assert_memory_equal(got, want, 16);
    }
}

static void siphash_does_not_care_where_its_input_is_cut(void **state)
{
    uint64_t seed = 3, whole[2], cut[2];
    unsigned char in[200];
    tr_siphash_key_t key = {tt_random(&seed), tt_random(&seed)};
    (void)state;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)tt_random(&seed);
    for (int round = 0; round < 5000; round++) {
        size_t len = tt_random(&seed) % (sizeof in + 1);
        tr_siphash_t h;
        tr_siphash_init(&h, &key);
        tr_siphash_feed(&h, in, len);
        tr_siphash_done(whole, &h);
        tr_siphash_init(&h, &key);
        for (size_t at = 0; at < len;) {
            size_t piece = tt_random(&seed) % 20;
            piece = piece > len - at ? len - at : piece;
            tr_siphash_feed(&h, in + at, piece);
            at += piece;
        }
        tr_siphash_feed(&h, NULL, 0);
        tr_siphash_done(cut, &h);
        assert_memory_equal(whole, cut, sizeof whole);
    }
}

static void random_bytes_fill_all_of_the_buffer_and_never_repeat(void **state)
{
    (void)state;
    for (size_t len = 16; len <= 64; len += 16) {
        unsigned char seen[64] = {0}, first[64] = {0};
        for (int round = 0; round < 64; round++) {
            unsigned char out[65] = {0};
            assert_int_equal(tr_random(out, len), APR_SUCCESS);
            assert_int_equal(out[len], 0);
            for (size_t i = 0; i < len; i++)
                seen[i] |= out[i];
            if (round == 0)
                memcpy(first, out, len);
            else
                assert_memory_not_equal(out, first, len);
        }
        for (size_t i = 0; i < len; i++)
            assert_int_not_equal(seen[i], 0);
    }
}

static void a_wiped_secret_is_gone_and_nothing_beside_it(void **state)
{
    char bytes[40];
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    tr_wipe(bytes + 4, 32);
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], i < 4 || i >= 36 ? 'x' : 0);
    tr_wipe(bytes, 0);
    assert_int_equal(bytes[0], 'x');
}

static void a_fingerprint_is_the_first_64_bits_of_the_digest(void **state)
{
    const char *print = tr_fingerprint(tr_str_z("abc"), *state);
    assert_int_equal(strlen(print), TR_FINGERPRINT_LEN);
    for (size_t i = 0; i < TR_FINGERPRINT_LEN; i++)
        assert_int_equal(tolower((unsigned char)print[i]), "ba7816bf8f01cfea"[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(sha256_gives_the_standards_values),
        TT_TEST(sha256_counts_bytes_behind_a_nul),
        TT_TEST(siphash_gives_its_authors_first_values),
        TT_TEST(siphash_agrees_with_openssl_at_every_length),
        TT_TEST(siphash_does_not_care_where_its_input_is_cut),
        TT_TEST(random_bytes_fill_all_of_the_buffer_and_never_repeat),
        TT_TEST(a_wiped_secret_is_gone_and_nothing_beside_it),
        TT_TEST(a_fingerprint_is_the_first_64_bits_of_the_digest),
    };
    return TT_RUN(tests);
}
