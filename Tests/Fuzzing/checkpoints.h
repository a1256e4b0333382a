/* Saved bytes. */
#ifndef V05_FUZZING_CHECKPOINTS_H
#define V05_FUZZING_CHECKPOINTS_H

#include "batches.h"

enum { RUNNING = 1, HISTORY = 2, ALLOCATOR = 3, RUNNING_MIXTURE = 4, TRACKER = 5 };
typedef struct { uint8_t *bytes; size_t size; } Bytes;

Bytes saved(int kind, const void *object);
int same(Bytes a, Bytes b);
void *copy_of(int kind, const void *object);
void destroy(int kind, void *object);
void call_save(Reader *r, int kind, void *object);
/* Loads bytes of the input, or those of an object with some changed. 1: *loaded is a new object. */
int call_load(Reader *r, int kind, const void *object, void **loaded);

#endif
