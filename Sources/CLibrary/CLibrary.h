/* The few functions of the C library that v05 calls: memory for scratch space, digits for messages, a logarithm. */
#ifndef V05_CLIBRARY_H
#define V05_CLIBRARY_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#endif
