/* Allocation ahead of time. */
#include "families.h"

void call_allocation(Reader *r) {
    v05_allocation_options defaults, o;
    CHECK(v05_allocation_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r);
    int64_t n = byte(r);
    n = n < 250 ? n % 20 : n == 250 ? any_integer(r) : n - 200;
    o.objective = any_choice(r, 5);
    if (flags & 1) o.minimum = any_integer(r);
    if (flags & 2) o.maximum = any_integer(r);
    if (flags & 4) o.exponent = any_double(r);
    int64_t total = flags & 8 ? any_integer(r) : byte(r);
    const v05_allocation_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (flags & 16 && byte(r) & 1) { options = NULL; o = defaults; }
    /* Collecting goes on past a call that is known to take time or memory by the maximum. */
    if (getenv("V05_FUZZ_COLLECT") && o.maximum > 20000 &&
        (o.objective == V05_OBJECTIVE_HIT || o.objective == V05_OBJECTIVE_V0)) return;
    int64_t there = n < 0 || n > 300 ? 0 : n;
    if (n > 300 && n <= 2147483647) n = there = 300;
    /* What is solved rollout by rollout stays small, and smaller where time is quadratic in the total; what is refused may be
     * of any size. */
    const int64_t most = o.objective == V05_OBJECTIVE_V0 ? 2000 : 20000;
    if (total > most && (__int128)n * o.minimum <= total && total <= (__int128)n * o.maximum) total = most;
    double probability[300], strength[300];
    int64_t seen[300];
    for (int64_t i = 0; i < there; i++) {
        probability[i] = flags & 32 ? any_double(r) : byte(r) / 255.0;
        strength[i] = flags & 32 ? any_double(r) : byte(r) / 16.0;
        seen[i] = flags & 32 ? any_integer(r) : byte(r) % 8;
    }
    const double *p = chance(r, 4) ? NULL : input(there * 8, probability);
    const double *s = flags & 64 ? input(there * 8, strength) : NULL;
    const int64_t *before = flags & 128 ? input(there * 8, seen) : NULL;
    int64_t *counts = chance(r, 4) ? NULL : output(there * 8);
    v05_error *error = error_argument(r);
    begin(r, "v05_allocation_solve");
    described_allocation.options = o;
    described_allocation.prompts = there;
    described_allocation.total = total;
    described_allocation.probability = p;
    described_allocation.strength = s;
    described_allocation.seen = before;
    int is_solved = ended(v05_allocation_solve(options, n, p, before, s, total, counts, error));
    int64_t sum = 0;
    /* DynaMO may leave prompts below the minimum. */
    int64_t least = o.objective == V05_OBJECTIVE_DYNAMO ? 0 : o.minimum;
    for (int64_t i = 0; is_solved && i < n; i++) {
        sum += counts[i];
        CHECK(counts[i] >= least && counts[i] <= o.maximum, "counts[%lld] = %lld outside %lld to %lld (objective %d)",
              (long long)i, (long long)counts[i], (long long)least, (long long)o.maximum, o.objective);
    }
    if (is_solved) CHECK(sum == total, "counts sum to %lld, not %lld (objective %d)", (long long)sum, (long long)total, o.objective);
    described_allocation.prompts = 0;
}
