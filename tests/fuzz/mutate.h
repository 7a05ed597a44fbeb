/*
 * mutate.h: changes to inputs that keep their form, so that the search does not stop at the reader of JSON.
 */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* What is worth putting into an object. Values are JSON texts. Both end with NULL. */
typedef struct mutate_words_t {
    const char *const *names;
    const char *const *values;
} mutate_words_t;

/* libFuzzer's own change. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* A number that grows out of seed, which changes; below n. */
unsigned int mutate_pick(unsigned int *seed, unsigned int n);

/* One JSON object becomes another, or, sometimes and where it is none, just other bytes. Returns the new size. */
size_t mutate_json(uint8_t *data, size_t size, size_t max, unsigned int seed, const mutate_words_t *words);

/* The same for one of the two lines of an input: what stands before the first newline, and what behind. */
size_t mutate_two_lines(uint8_t *data, size_t size, size_t max, unsigned int seed, const mutate_words_t *first,
                        const mutate_words_t *second);

/* What headers of JWS, claims of tokens and keys are made of. */
extern const mutate_words_t mutate_header_words, mutate_claim_words, mutate_key_words;

#endif
