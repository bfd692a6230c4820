/* Randomness from the kernel, buffered, fork-safe. Aborts when the kernel gives none. */
#ifndef LIB_BASE_RAND_H
#define LIB_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *into, size_t n);
uint64_t rand_u64(void);
/* Uniform in [0, below); below > 0. */
uint64_t rand_below(uint64_t below);
/* A UUID version 7 (RFC 9562): 48 bits of wall milliseconds, then random bits. Attempt ids. */
void uuid7(unsigned char ret_id[static 16]);
/* The milliseconds a version 7 id was minted at. */
int64_t uuid7_wall_ms(const unsigned char id[static 16]);
/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and a NUL. */
void uuid_format(const unsigned char id[static 16], char ret_text[static 37]);
/* 0 or ERR_SYNTAX. */
int uuid_parse(const char *text, size_t len, unsigned char ret_id[static 16])
    __attribute__((warn_unused_result));

#endif
