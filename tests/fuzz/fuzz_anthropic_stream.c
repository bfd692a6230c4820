/* Streams of Anthropic's Messages. */
#include "tests/fuzz/fuzz_decoder.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_decoder(dialect_anthropic.decoder, data, n);
    return 0;
}
