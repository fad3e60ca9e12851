/*
 * fuzz.h - what every fuzz target includes.
 *
 * A target is one function over bytes, in <floor>_<noun>_fuzz.c, linked with that floor. clang
 * drives it with libFuzzer; other compilers link standalone.c instead. Starting files lie in
 * corpus/<floor>_<noun>/.
 */
#ifndef INST_TESTS_FUZZ_H
#define INST_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert, but there in release builds too; the driver keeps the input that got here. */
#define FUZZ_REQUIRE(holds)                                                                        \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
