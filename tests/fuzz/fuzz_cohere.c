/* Streams of Cohere's v2 chat. */
#include "tests/fuzz/fuzz_decoder.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_decoder(dialect_cohere.decoder, data, n);
    return 0;
}
