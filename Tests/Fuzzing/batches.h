/* Batches, options and models of any kind. */
#ifndef V05_FUZZING_BATCHES_H
#define V05_FUZZING_BATCHES_H

#include "program.h"

typedef struct { double low, high; } Range;
Range any_range(Reader *r);

typedef struct {
    void *argument;   /* what is passed */
    v05_batch seen;   /* what the library sees of it */
    int64_t rows;
    int64_t groups;   /* upper bound of their number */
    int is_single, is_plain; /* plain: all as the header wants it */
    Range range;
} AnyBatch;
AnyBatch any_batch(Reader *outer, Range range);
int64_t number_of_groups(const AnyBatch *b);

const v05_mixture *any_mixture(Reader *r, Range range);
const v05_calibration *any_calibration(Reader *r, Range range);
/* *mixture: what comes with the options where their rule is a mixture, else NULL. */
const v05_estimation_options *any_estimation_options(Reader *r, Range range, v05_estimation_options *seen,
                                                     const v05_mixture **mixture);

/* Memory for a call: NULL, or exactly what the query says, or something else. The second of two calls gets other
 * memory, so that results which depend on what it held before differ. */
void *workspace(Reader *r, const AnyBatch *batch, const v05_estimation_options *options, size_t *size);
int workspace_begin(Reader *r, const char *name);

typedef struct { v05_estimate *argument, seen; } AnyEstimate;
AnyEstimate any_estimate(Reader *r, int64_t rows, int64_t groups, int is_single, const void *rewards);
/* What the header promises of the results of a call that succeeded. counted: rewards that are in a statistic, -1: not known. */
void check_estimate(const AnyEstimate *e, int64_t rows, const uint8_t *mask, int64_t counted, const v05_estimation_options *o);
/* A calibration that the library made is one that it takes. */
void check_calibration(const v05_calibration *c, const char *what);

/* What a broken promise is told with. */
extern const AnyBatch *described_batch;
extern const v05_estimation_options *described_options;
extern const v05_calibration *described_calibration;
typedef struct {
    v05_allocation_options options;
    int64_t prompts, total;
    const double *probability, *strength;
    const int64_t *seen;
} DescribedAllocation;
extern DescribedAllocation described_allocation;

#endif
