/* What every family of calls is made with: the input as a program, the memory of a call, and what must not change. */
#ifndef V05_FUZZING_PROGRAM_H
#define V05_FUZZING_PROGRAM_H

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v05.h"

#define CHECK(condition, ...) \
    do { if (!(condition)) broken(__FILE__, __LINE__, #condition, __VA_ARGS__); } while (0)

void broken(const char *file, int line, const char *condition, const char *format, ...);

/* The function that is called, the input that is run, and what is known of the call when a promise breaks. */
extern const char *current;
extern const uint8_t *program;
extern size_t program_size;
void describe(void);

/* The Nth allocation of a call can be made to fail (linked with --wrap); these do not. */
extern int64_t failing_allocation;
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);

/* The input, byte by byte; zeros where it has ended. */
typedef struct { const uint8_t *next; size_t left; uint64_t random; int expands; } Reader;
uint8_t byte(Reader *r);
int chance(Reader *r, int of256); /* 0 bytes: no */
uint64_t word(Reader *r);
double any_double(Reader *r);
int64_t any_integer(Reader *r);
int32_t any_choice(Reader *r, int known); /* mostly a known number of an enum */

/* One call: its memory, what must not change, and a digest of its results. */
typedef struct { void *memory; size_t size; void *before; size_t hashed_from; int is_output, shift; } Block;
extern Block blocks[160];
extern int block_count;
extern int misalignment;    /* arrays begin so many bytes beyond what malloc gives */
extern uint64_t digest;
extern int second_time;     /* 1: the same call again */
extern int injects;         /* an allocation of this call fails */
extern v05_status last_status;
extern size_t longest_struct;

void hash(const void *bytes, size_t size);
void *input(size_t size, const void *contents);
void *output(size_t size);
void unhashed(void *memory, size_t first);
/* A struct of the caller's in a block of exactly its size, which may be an older, newer or wrong one. *value becomes
 * what the library sees. */
void *sized_struct(Reader *r, void *value, size_t known, const void *defaults, int is_output);
v05_error *error_argument(Reader *r);
void begin(Reader *r, const char *name); /* ends the preparation of a call */
int ended(v05_status status);            /* 1: it succeeded */
void clear(void);
/* The same call twice, with other memory. */
void twice(Reader *r, void (*call)(Reader *));

#endif
