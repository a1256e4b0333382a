/* The calls of v05.h, a file for each family. */
#ifndef V05_FUZZING_FAMILIES_H
#define V05_FUZZING_FAMILIES_H

#include "checkpoints.h"

/* estimation.c */
void call_estimate(Reader *r);
void call_overlap(Reader *r);
void call_workspace_size(Reader *r);
void call_fit(Reader *r);

/* running.c */
extern v05_running_calibration running;
extern v05_running_mixture running_mixture;
v05_calibration *calibration_output(Reader *r);
void call_running(Reader *r, uint8_t which, v05_running_calibration *object);
void call_mixture(Reader *r);

/* modulation.c, allocation.c, plain.c */
void call_modulation(Reader *r);
void call_allocation(Reader *r);
void call_initialize(Reader *r);
void call_plain(Reader *r);
void call_hashes(Reader *r);

/* history.c, tracker.c */
void create_history(Reader *r, v05_history **history);
void call_history(Reader *r, uint8_t which, v05_history *history, v05_history *other);
void create_tracker(Reader *r, v05_tracker **tracker);
void call_tracker(Reader *r, uint8_t which, v05_tracker *tracker, v05_tracker *other);

/* allocator.c */
#define MOST_PROMPTS 24
typedef struct { /* what is known of an allocator from the calls made on it */
    int is_known, is_stopped, is_two_valued, is_weighted;
    int64_t prompts, maximum[MOST_PROMPTS], counts[MOST_PROMPTS], in_flight[MOST_PROMPTS], budget;
    double prior[MOST_PROMPTS];
    Range range;
} Model;
extern Model after; /* the last call */
void create_allocator(Reader *r, v05_allocator **allocator, Model *model);
void call_allocator(Reader *r, uint8_t which, v05_allocator *allocator, const Model *before);

#endif
