/* v05.h: baselines for reinforcement learning with verifiable rewards.
 *
 * INTRODUCTION
 *
 * A trainer samples several rollouts of every prompt and subtracts a baseline from their rewards. GRPO's
 * baseline is the mean of the group. This library fuses that mean with a prior value of the prompt, tests
 * whether the rollouts contradict the prior, and says how sure it is (V_0.5, arXiv 2603.10848), or lets the
 * batch itself tell how good its priors are (empirical Bayes).
 *
 *     v05_batch batch = {.struct_size = sizeof batch};
 *     batch.row_count = 8;
 *     batch.rewards_f32 = rewards;               // 8 rewards
 *     batch.group_ids = prompts;                 // 8 prompt ids, in any order
 *     batch.prior = priors;                      // 8 prior values, NaN for none
 *     v05_estimate estimate = {.struct_size = sizeof estimate};
 *     estimate.advantages_f32 = advantages;      // room for 8
 *     v05_error error = {.struct_size = sizeof error};
 *     if (v05_baseline_estimate(&batch, NULL, NULL, NULL, NULL, 0, &estimate, &error) != V05_STATUS_OK)
 *         fprintf(stderr, "%s\n", error.message);
 *
 * This file is the whole published interface. What it does not say is not promised.
 * Formulas, their sources and measured limits: python/docs/method.md.
 *
 * Notation. Rewards lie in [lo, hi]; h = (hi - lo) / 2. A group (the rollouts of one prompt) has k counted
 * rewards with mean m and a prior value V in reward units; noise = h^2 / k is the largest variance that m
 * can have.
 *
 * Safety. No function aborts, prints, starts a thread, installs a signal handler, reads the environment or keeps a
 * reference to the caller's memory. Every function checks its arguments first: where it returns anything but
 * V05_STATUS_OK no output has been written except *error. NULL where an array is needed is V05_STATUS_NULL_POINTER.
 * What a call writes (arrays, numbers, structs, its workspace, and a struct that it updates) must share no memory with
 * what it reads or else writes, *error aside: V05_STATUS_OVERLAPPING_ARRAYS. Only structs that are read once (options,
 * calibration, mixture) may be those that the results are written to. What cannot be checked, and is up to the caller:
 * pointers point to as many elements as the lengths say, and nobody changes inputs during a call.
 *
 * Threads. All functions may be called from any number of threads at once, as long as no two calls write to
 * the same memory. Calls work in a forked child.
 *
 * Arithmetic. Calls compute in the usual mode whatever that of the host, and leave the host its own: rounding to
 * nearest, numbers near 0 kept, no trap (SIGFPE) at invalid operations, overflow or division by zero.
 *
 * Order. The results do not depend on the order of rows or groups, bit for bit, beyond the order in which
 * groups are listed.
 *
 * Structs. The first field of every struct is its size, which the caller sets to sizeof. Fields are only ever appended,
 * in steps of 8 bytes. A struct shorter than this header's (an older caller) has defaults for what it lacks; a longer
 * one (a newer caller) is accepted if all that this library does not know of is zero, and initialised to that. A struct
 * that another one holds never changes its size; its own struct_size is written, not looked at.
 *
 * Compatibility. V05_ABI_VERSION changes when a compiled caller must be compiled again, and only then.
 */
#ifndef V05_H
#define V05_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------- version -- */

#define V05_VERSION "0.1.0"
#define V05_ABI_VERSION 1

/* The V05_ABI_VERSION that the library was built with. Compare it before anything else. Since 0.1.0. */
uint32_t v05_abi_version(void);

/* The release of the library, "major.minor.patch". Static memory. Since 0.1.0. */
const char *v05_version(void);

/* "embedded" for the build that ships, "hosted" for one on the Swift runtime (for tests). Since 0.1.0. */
const char *v05_build_mode(void);

/* ----------------------------------------------------------------------------------------- status -- */

/* What every function returns. Values are pinned; new ones are only appended to their family. */
typedef enum v05_status {
    V05_STATUS_OK = 0,

    /* The call: */
    V05_STATUS_NULL_POINTER = 100,         /* a required pointer is NULL */
    V05_STATUS_INVALID_SIZE = 101,         /* a length is negative or beyond 2147483647 rows */
    V05_STATUS_INVALID_OPTION = 102,       /* an option outside its range, or two that exclude each other */
    V05_STATUS_INVALID_STRUCT_SIZE = 103,  /* struct_size too small, or newer fields in use */
    V05_STATUS_CAPACITY_TOO_SMALL = 104,   /* an output array is shorter than its result */
    V05_STATUS_WORKSPACE_TOO_SMALL = 105,  /* less than the workspace query said */
    V05_STATUS_OVERLAPPING_ARRAYS = 106,   /* an output shares memory with anything else of the call */

    /* The data: */
    V05_STATUS_INVALID_REWARD = 200,       /* NaN, infinite or beyond 1e30 in a counted row */
    V05_STATUS_REWARD_OUT_OF_RANGE = 201,  /* outside [reward_low, reward_high] under a rule that relies on it */
    V05_STATUS_REWARD_NOT_TWO_VALUED = 202, /* neither reward_low nor reward_high where only these have a meaning */
    V05_STATUS_INVALID_PRIOR = 203,        /* neither NaN nor within [reward_low, reward_high] */
    V05_STATUS_PRIOR_DISAGREES = 204,      /* rows of one group have different priors */
    V05_STATUS_INVALID_OFFSETS = 205,
    V05_STATUS_INVALID_CALIBRATION = 206,  /* of a calibration or mixture */
    V05_STATUS_INVALID_PROBABILITY = 207,  /* neither NaN nor within [0, 1] */
    V05_STATUS_INFEASIBLE = 208,           /* a total or budget that initial, minimum and maximum cannot meet */
    V05_STATUS_UNKNOWN_PROMPT = 209,       /* an index that the allocator does not have */
    V05_STATUS_NOT_IN_FLIGHT = 210,        /* a result that was never requested */
    V05_STATUS_INVALID_TOKEN = 211,        /* a token that counts has a NaN, or a number that cannot be */
    V05_STATUS_INVALID_WEIGHT = 212,       /* NaN, infinite or negative in a counted row */

    /* The machine: */
    V05_STATUS_OUT_OF_MEMORY = 300,

    /* Saved bytes: */
    V05_STATUS_CHECKPOINT_TRUNCATED = 400,
    V05_STATUS_CHECKPOINT_CORRUPTED = 401, /* checksum or contents */
    V05_STATUS_CHECKPOINT_VERSION = 402,   /* a format that this library does not read */
    V05_STATUS_CHECKPOINT_KIND = 403       /* of another object, or no checkpoint at all */
} v05_status;

/* The name of a status, such as "V05_STATUS_INVALID_REWARD"; "unknown status" for any other number. Static
 * memory. Since 0.1.0. */
const char *v05_status_name(int32_t status);

/* Where a call went wrong. Owned by the caller, filled in only on failure and as far as it reaches (not at all with a
 * struct_size that cannot be one), may be NULL in every call. */
typedef struct v05_error {
    size_t struct_size;
    int32_t status;    /* the v05_status that was returned */
    int32_t reserved;
    int64_t index;     /* the row or group that the message is about, -1 for none */
    char message[256]; /* "argument[index] rule, got value": English, NUL-terminated, without newline. reward_range is
                          [reward_low, reward_high]. */
} v05_error;

/* ------------------------------------------------------------------------------------------ batch -- */

/* The rollouts of one training step. One row is one rollout.
 *
 * Exactly one of rewards_f32 and rewards_f64 is set, and exactly one of group_ids and group_offsets.
 * With row_count = 0 the per-row arrays may be NULL.
 *
 * Weights. The gradient's noise is E[W (r - b)^2] with W the squared norm of a rollout's score, which the baseline
 * E[W r] / E[W] makes least (Greensmith, Bartlett and Baxter 2004; arXiv 2505.23585 takes the length for W). With
 * weights
 *
 *     m = sum W r / sum W,   k_e = (sum W)^2 / sum W^2 in place of k,   noise = h^2 / k_e,   and
 *     s2 = sum W (r - m)^2 / sum over groups of (sum W - sum W^2 / sum W) over groups with two positive weights;
 *
 * V05_RULE_MIXTURE, V05_RULE_MEDIAN and V05_TEST_EXACT refuse them. The scale of the weights does not matter, and
 * weights that are all equal give what none give, bit for bit. A row of weight 0 is in no statistic, k, mean and
 * constant included, but has an advantage; where weights differ, one below 1e-290 counts as 0. With leave_one_out the
 * baseline of a row depends neither on its reward nor on its weight. Where one row carries all but a millionth of a
 * group's weight, k_e is 1 and the group is in no s2 and has no standard deviation; where one row does so in the batch,
 * neither has the batch. In a group without a positive weight the rule holds for k = 0, and rows without a baseline
 * have the advantage of v05_singleton. A running calibration takes them divided by the mean weight of the batch, a
 * history by a running mean of it. Standard deviations of v05_scale are weighted likewise: sum W (r - m)^2 / (sum W -
 * ddof sum W^2 / sum W). */
typedef struct v05_batch {
    size_t struct_size;
    int64_t row_count;            /* 0 to 2147483647 */
    const float *rewards_f32;     /* (row_count) reward units, finite where counted, |r| <= 1e30 */
    const double *rewards_f64;
    const int64_t *group_ids;     /* (row_count) any values in any order; equal ids are one group. Fastest where
                                     ids never fall. */
    const int64_t *group_offsets; /* (group_count + 1) group g is the rows offsets[g] to offsets[g + 1] - 1; starts
                                     at 0, never falls, ends at row_count */
    int64_t group_count;          /* with group_offsets only */
    const double *prior;          /* NULL: no prior at all. (row_count) with group_ids, and the counted rows of a
                                     group must agree; (group_count) with group_offsets. Reward units in
                                     [reward_low, reward_high]; NaN: no prior. */
    const uint8_t *mask;          /* NULL: all rows count. (row_count) 0 takes a row out: its reward and prior are
                                     not looked at, it enters no statistic and has advantage 0. A group without
                                     counted row takes the prior of its first row. */
    const double *prior_strength; /* NULL: not known. Laid out like prior: how many rewards the prior is worth,
                                     finite and >= 0. For V05_RULE_DISCOUNTED_BETA. */
    const double *weights;        /* NULL: all rollouts count alike. (row_count) W of each, finite and >= 0 where
                                     counted: see "Weights". */
} v05_batch;

/* ------------------------------------------------------------------------------------------ rules -- */

/* How a baseline b is made. w is the weight of the mean, mse the estimated mean squared error of b.
 * "k = 0": no counted row; b is then reported though no row uses it. */
typedef enum v05_rule {
    /* V_0.5 (arXiv 2603.10848). D = (m - V)^2, d = max(0, D - noise): w = d / (d + noise), b = w m + (1 - w) V,
     * mse = w noise. |b - m| <= h / sqrt(k) always. No prior: b = m, w = 1, mse = noise. k = 0: b = V, w = 0,
     * mse = NaN. A group whose rewards are all equal has advantage (1 - w)(m - V), not 0. Works with k = 1 and
     * 2; the paper reports that training without extra rollouts does not converge there. */
    V05_RULE_V05 = 0,
    /* Empirical Bayes (Fay-Herriot): m = a + beta V + u + e with Var e = s2 / k = v and Var u = tau2, all fitted
     * on the batch or given as v05_calibration: f = clip(a + beta V, lo, hi), w = tau2 / (tau2 + v),
     * b = f + w (m - f), mse = w v. Without prior: f = grand mean, tau2 = between-group variance. v = 0: w = 1.
     * k = 0: b = f, mse = tau2. With fewer than 8 groups that have a prior and two rewards V05_RULE_V05 is
     * applied instead (v05_estimate.applied_rule says so). The safe choice where the quality of the prior is
     * unknown. */
    V05_RULE_CALIBRATED = 1,
    /* The mean of the group (GRPO, arXiv 2402.03300): b = m, w = 1, mse = noise. */
    V05_RULE_GRPO = 2,
    /* GRPO with leave_one_out (RLOO, arXiv 2402.14740). */
    V05_RULE_RLOO = 3,
    /* Shrinkage towards the weighted mean of the batch, no prior (James-Stein; arXiv 2511.03710). Needs 8 groups
     * with two rewards, else applied_rule = V05_RULE_GRPO. */
    V05_RULE_JAMES_STEIN = 4,
    /* The prior alone: b = V, w = 0, mse = d. No prior: b = m. */
    V05_RULE_PRIOR = 5,
    /* The median of the group (arXiv 2601.22582): w = 1, mse = NaN. */
    V05_RULE_MEDIAN = 6,
    /* The history of the prompt as a Beta prior worth n = prior_strength rewards, merged with the group (arXiv
     * 2603.18444): w = k / (n + k), b = w m + (1 - w) V, mse = (b - lo)(hi - b) / (n + k + 1). n = 0 or no prior: b =
     * m. */
    V05_RULE_DISCOUNTED_BETA = 7,
    /* Two-valued rewards, each exactly lo or hi (else V05_STATUS_REWARD_NOT_TWO_VALUED). The success probability of a
     * prompt is one of 30 Beta(q c, q (1 - c)): q = 1/2, 1, 2, ... 256 around c = V, a + beta V and the grand mean (see
     * V05_RULE_CALIBRATED) as probabilities, kept within 0.02 to 0.98. How often each occurs is fitted on the batch or
     * given as v05_mixture. b and mse are posterior mean and variance, w is the posterior expectation of k / (q + k).
     * Without prior: the 10 around the grand mean, with weights of their own. k = 0: those of what was known before.
     * With fewer than 8 groups that have a prior and two rewards V05_RULE_V05 is applied instead. A test per prompt in
     * effect: the choice where single priors are far off. Time linear in k. */
    V05_RULE_MIXTURE = 8,
    /* The mean of the rewards of all other groups of the batch, each rollout alike (or by its weight): the baseline of
     * REINFORCE with one rollout per prompt, which knows nothing of the prompt; the gradient is unbiased without
     * leave_one_out. w = 0, mse = NaN. With a v05_calibration from earlier batches and fewer than 8 other groups its
     * grand_mean stands for each that lacks: b = (G mean + (8 - G) grand_mean) / 8 for G others. Without one and
     * without other groups there is no baseline: b = NaN, and the advantage is that of v05_singleton. */
    V05_RULE_BATCH_MEAN = 9,
    /* JSPO (arXiv 2511.03710) by its authors' code: always leave_one_out, and exactly unbiased. M, s and v are mean and
     * mean squared deviation of the means of the OTHER groups with two rewards, and the mean of their SS / (k (k - 1)):
     * lambda = v / (v + s + epsilon), w = 1 - lambda, b = w m + lambda M, where m is that of the row's others, mse =
     * w^2 v + lambda^2 max(0, s - v). No others in the group: b = M. No other groups: b = m. V05_RULE_JAMES_STEIN with
     * leave_one_out fits the whole batch instead: a smaller error, and a slight bias unless the calibration is an
     * earlier one. */
    V05_RULE_JSPO = 10
} v05_rule;

/* What advantages are divided by. Rewards without spread (all equal, or fewer than two) divide by nothing. */
typedef enum v05_scale {
    V05_SCALE_NONE = 0,
    V05_SCALE_GROUP = 1, /* standard deviation of the group's counted rewards + epsilon; with leave_one_out that of
                            the other rewards */
    V05_SCALE_BATCH = 2  /* standard deviation of all counted rewards + epsilon */
} v05_scale;

/* The advantage in a group of one whose baseline would be its own reward or would not exist (GRPO, RLOO, median; V05
 * and PRIOR without prior, JSPO without other groups), and in any group without a baseline (BATCH_MEAN without other
 * groups). */
typedef enum v05_singleton {
    V05_SINGLETON_ZERO = 0, /* 0 (TRL, NeMo-RL, ms-swift) */
    V05_SINGLETON_RAW = 1   /* baseline 0, standard deviation 1: the reward itself (verl, SkyRL, rLLM) */
} v05_singleton;

/* The test of H0 "the prior is accurate". */
typedef enum v05_test {
    V05_TEST_BOUND = 0, /* rejected where D > noise */
    V05_TEST_EXACT = 1  /* two-sided binomial test (minimum likelihood) of the rewards equal to hi against
                           p = (V - lo) / (hi - lo); rejected where the p-value is below level. V05_RULE_V05 has w = 0
                           where H0 stands. Every counted reward must be lo or hi. Time linear in k. */
} v05_test;

/* ------------------------------------------------------------------------------------ calibration -- */

/* How good the priors are (see V05_RULE_CALIBRATED). A value: copy it, keep it, apply it to later batches.
 * With leave_one_out and a calibration from earlier batches the gradient is exactly unbiased. */
typedef struct v05_calibration {
    size_t struct_size;
    double intercept;        /* a, reward units */
    double slope;            /* beta, 0 to 1.5 */
    double prior_variance;   /* tau2 >= 0, reward units squared: true values around the calibrated prior */
    double reward_variance;  /* s2 >= 0: one reward around the true value of its prompt */
    double grand_mean;       /* weighted mean of all groups */
    double between_variance; /* true values around the grand mean */
    double groups;           /* groups with a prior and two rewards that it rests on; fewer than 8 is too few */
    double total_groups;     /* groups with two rewards, with or without prior */
} v05_calibration;

/* What V05_RULE_MIXTURE knows of the prompts. A value like v05_calibration, which it holds. */
typedef struct v05_mixture {
    size_t struct_size;
    v05_calibration calibration;
    double weights[40]; /* 30 of prompts with a prior: strengths q = 1/2, 1, 2, ... 256 around V, then around
                           a + beta V, then around the grand mean; 10 of prompts without prior, around the grand
                           mean. Each at least 1e-100; the 30 sum to 1 and so do the 10. */
} v05_mixture;

/* ---------------------------------------------------------------------------------------- options -- */

/* Choices of a call. NULL in a call means all defaults. */
typedef struct v05_estimation_options {
    size_t struct_size;
    int32_t rule;          /* v05_rule, default V05_RULE_V05 */
    int32_t leave_one_out; /* 0 or 1, default 0. 1: the baseline of a row is made by the same rule from the other k
                              - 1 rewards of its group, so that the gradient stays unbiased. The per-group results
                              are those of the whole group all the same. A group of one: the rule with k = 0. */
    double reward_low;     /* lo, default 0 */
    double reward_high;    /* hi > lo, default 1. Bounds are widened by 1e-6 (hi - lo) in checks, for float
                              rounding; a prior within that margin is set to the bound. */
    int32_t scale;         /* v05_scale, default V05_SCALE_NONE */
    int32_t ddof;          /* 0 or 1: divisor k - ddof of the variance, default 1 */
    double epsilon;        /* >= 0, default 1e-6; V05_RULE_JSPO adds it to its variances */
    int32_t singleton;     /* v05_singleton, default V05_SINGLETON_ZERO */
    int32_t test;          /* v05_test, default V05_TEST_BOUND */
    double level;          /* of V05_TEST_EXACT, in [0, 1], default 0.05 */
    int32_t check_fit;     /* 0 or 1, default 1: a calibration or mixture that is given must hold on this batch, see
                              v05_baseline_estimate. 0: it is applied as it is. */
    int32_t reserved;      /* 0 */
} v05_estimation_options;

/* Fills in the defaults. struct_size: sizeof(v05_estimation_options) at the caller. Since 0.1.0. */
v05_status v05_estimation_options_initialize(v05_estimation_options *options, size_t struct_size,
                                             v05_error *error);

/* ----------------------------------------------------------------------------------------- estimate -- */

/* Results. Each array is the caller's, and shares memory with nothing else of the call; NULL skips it. Per-group arrays
 * are in order of first appearance and have room for group_capacity elements (row_count, or group_count with
 * group_offsets, is always enough). */
typedef struct v05_estimate {
    size_t struct_size;
    float *advantages_f32; /* (row_count) A = (r - b) / divisor. The one of the rewards' type; never NaN or
                              infinite. */
    double *advantages_f64;
    int64_t *row_group;    /* (row_count) index of the row's group in the per-group arrays */
    int64_t group_capacity;
    int64_t *group_ids;    /* the id; with group_offsets the index of the group */
    int64_t *count;        /* k */
    double *effective_count; /* k_e; k without weights */
    double *mean;          /* m; NaN for k = 0; exactly the reward where all are equal */
    double *prior;         /* V; NaN for none */
    double *weight;        /* w */
    double *baseline;      /* b */
    double *bias_squared;  /* d = max(0, (m - V)^2 - noise); NaN without prior or for k = 0 */
    double *mse;
    double *z;             /* |m - V| / sqrt(noise); NaN likewise */
    double *p_value;       /* of V05_TEST_EXACT; NaN with V05_TEST_BOUND */
    uint8_t *rejected;     /* 1: the rewards contradict the prior */
    uint8_t *constant;     /* 1: all counted rewards are exactly equal (k = 1 too; 0 for k = 0) */

    v05_calibration *calibration; /* the calibration that was applied; left alone where none was */
    v05_mixture *mixture;         /* the mixture that was applied, where applied_rule is V05_RULE_MIXTURE; its
                                     calibration counts as applied then, too */

    int64_t group_count;         /* out: number of groups */
    int32_t applied_rule;        /* out: v05_rule; another than asked for where there was too little to calibrate */
    int32_t calibration_applied; /* out: 1 where a calibration was applied, else 0 */
    double reward_low;           /* out: the interval that was applied */
    double reward_high;
    int64_t refused_groups;      /* out: groups for which the calibration or mixture that was given is refused by
                                    check_fit */
} v05_estimate;

/* Bytes of workspace that the calls below need for a batch of these sizes; the rewards, ids and priors themselves
 * are not read. Since 0.1.0. */
v05_status v05_estimation_workspace_size(const v05_batch *batch,
                                         const v05_estimation_options *options,
                                         size_t *workspace_size, v05_error *error);

/* Baselines and advantages of a batch.
 *
 * calibration: for V05_RULE_CALIBRATED and V05_RULE_JAMES_STEIN, from earlier batches; NULL, or one that rests on
 * fewer than 8 groups: fitted on this batch. V05_RULE_BATCH_MEAN takes its grand_mean, whatever it rests on: give it
 * none of a v05_running_calibration that has no updates, whose grand_mean is the middle of the interval. Ignored by the
 * other rules.
 * mixture: likewise for V05_RULE_MIXTURE.
 *
 * check_fit. What was learnt from earlier batches may be worse than the plain mean on one of another kind, such as the
 * next part of a curriculum. Each group of two rewards (k_e above 1) has D, the mean over its rows of (r - b)^2 - (r -
 * m)^2 with b and m made from the others of the row: an unbiased estimate of how much larger the squared error of b is.
 * A calibration or mixture that is given is refused for a group where the sum of D over all OTHER groups exceeds 1.645
 * standard errors: that group has b = (1 - lambda) m + lambda M as with V05_RULE_JSPO and epsilon = 0, or b = m with
 * fewer than 8 other groups. So its rows know nothing of their own rewards, and with leave_one_out the gradient stays
 * exactly unbiased. Groups of one reward keep the fit.
 *
 * workspace: NULL: memory is taken from malloc and given back before the call returns. Else workspace_size bytes, at
 * least what v05_estimation_workspace_size says; no memory is allocated then. Any alignment.
 *
 * Time is linear in row_count for any ids. An empty batch is no error: group_count = 0. Since 0.1.0. */
v05_status v05_baseline_estimate(const v05_batch *batch, const v05_estimation_options *options,
                                 const v05_calibration *calibration, const v05_mixture *mixture,
                                 void *workspace, size_t workspace_size, v05_estimate *estimate,
                                 v05_error *error);

/* Fits a calibration on one batch (Fay and Herriot 1979; Paule and Mandel 1982).
 *
 *     s2   = sum SS / sum (k - 1) over groups with k >= 2; SS: squared deviations from m
 *     beta = clip(S_Vm / (S_VV + 0.2 h^2), 0, 1.5), a = mean(m) - beta mean(V): sums over groups with a prior,
 *            weighted by 1 / (tau2 + v) scaled to mean 1
 *     tau2 = root of sum (m - a - beta V)^2 / (tau2 + v) = groups - 2, or 0: for equal k the moment estimate
 *
 * grand_mean and between_variance: the same with beta = 0 (groups - 1) over all groups with k >= 1. Few groups are no
 * error: fewer than three with a prior have beta = 0 and tau2 = 0; without any, a is the middle of the interval. Of
 * the options only reward_low and reward_high are used. Workspace as in v05_baseline_estimate, sized for the options of
 * V05_RULE_CALIBRATED. Since 0.1.0. */
v05_status v05_calibration_fit(const v05_batch *batch, const v05_estimation_options *options,
                               void *workspace, size_t workspace_size,
                               v05_calibration *calibration, v05_error *error);

/* Fits a mixture on one batch of two-valued rewards: its calibration as v05_calibration_fit, its weights by 40 steps of
 * expectation-maximisation (Dempster, Laird and Rubin 1977) on the beta-binomial likelihood of the groups, from equal
 * weights, with 0.05 groups added to the expected number of each component: the first 30 on groups with a prior and
 * k >= 1, the last 10 on all groups with k >= 1. Few groups are no error: without any, the weights are equal. Of the
 * options only reward_low and reward_high are used. Workspace sized for the options of V05_RULE_MIXTURE. Since
 * 0.1.0. */
v05_status v05_mixture_fit(const v05_batch *batch, const v05_estimation_options *options,
                           void *workspace, size_t workspace_size,
                           v05_mixture *mixture, v05_error *error);

/* ------------------------------------------------------------------------------------ modulation -- */

/* Token-level modulation of advantages, DynaMO (arXiv 2602.19208). */
typedef struct v05_modulation_options {
    size_t struct_size;
    double alpha;     /* 0 to 1e6, default 0.2. Their second setting: 0.4, floor 0.6, threshold 0.9 */
    double floor;     /* 0 to 1, default 0.6 */
    double steepness; /* >= 0, default 50 */
    double threshold; /* default 0.99 */
    double clip_low;  /* 0 to 1, default 0.2 */
    double clip_high; /* >= 0, default 0.2. Their runs: 0.28 */
} v05_modulation_options;

/* Over the tokens that count. */
typedef struct v05_modulation_statistics {
    size_t struct_size;
    int64_t token_count;
    double clipped;          /* share with A other than 0 whose gradient clipping takes away: I = 0 */
    double compensation;     /* mean factor; 1 without tokens */
    double stabilization;    /* mean factor; 1 without tokens */
    double largest_change;   /* largest |dH| */
    double smallest_entropy; /* Hmin; NaN without tokens */
    double largest_entropy;  /* Hmax */
} v05_modulation_statistics;

/* Fills in the defaults. Since 0.1.0. */
v05_status v05_modulation_options_initialize(v05_modulation_options *options, size_t struct_size,
                                             v05_error *error);

/* Multiplies the advantage A of each token by two factors.
 *
 *     r = e^(log_prob - old_log_prob), at most e^20;  p = e^log_prob;  H: entropy of the token's distribution
 *     I = 1 where A > 0 and r <= 1 + clip_high, or A < 0 and r >= 1 - clip_low; else 0
 *     q = p (log_prob + H);  |dH| = I r |A| |q - mean q of the sequence|;  x = |dH| / (largest |dH| + 1e-8)
 *     stabilization = floor + (1 - floor) / (1 + e^(steepness (x - threshold)))
 *     compensation  = 1 + alpha (Hmax - H) / (Hmax - Hmin + 1e-8) where A > 0, else 1
 *
 * mean, largest, Hmin and Hmax: over tokens with mask other than 0, the last three over all sequences of the call. A
 * log-probability of -infinity has p = r = 0 and q = 0 (also where the old one is -infinity). All entropies equal:
 * compensation 1. A single token: |dH| = 0. A = 0: 0.
 *
 * Arrays are row-major, (sequence_count, token_count) each, and may be NULL where that is empty.
 * advantages: one per token with per_token = 1, one per sequence, (sequence_count), with per_token = 0.
 * modulated: out. Where the mask is 0 the advantage as it is, 0 for one that is not finite; nothing else is looked at
 * there.
 * statistics: out, may be NULL. options = NULL: defaults.
 *
 * f32 computes in float, f64 in double. Allocates nothing. Errors: V05_STATUS_INVALID_TOKEN where a token that counts
 * has |A| or |H| beyond 1e30 or a log-probability above 1 (NaN is any of these). Since 0.1.0. */
v05_status v05_advantage_modulate_f32(const v05_modulation_options *options, int64_t sequence_count,
                                      int64_t token_count, const float *advantages, int32_t per_token,
                                      const float *entropy, const float *log_prob, const float *old_log_prob,
                                      const uint8_t *mask, float *modulated,
                                      v05_modulation_statistics *statistics, v05_error *error);

/* As v05_advantage_modulate_f32. Since 0.1.0. */
v05_status v05_advantage_modulate_f64(const v05_modulation_options *options, int64_t sequence_count,
                                      int64_t token_count, const double *advantages, int32_t per_token,
                                      const double *entropy, const double *log_prob, const double *old_log_prob,
                                      const uint8_t *mask, double *modulated,
                                      v05_modulation_statistics *statistics, v05_error *error);

/* ----------------------------------------------------------------------------- running calibration -- */

/* Weighted moments of (prior, mean) over groups. The one struct that never changes its size. */
typedef struct v05_regression_moments {
    double groups;        /* sum of weights */
    double mean_prior;
    double mean_reward;
    double prior_prior;   /* sums of weighted squares and products of deviations */
    double prior_reward;
    double reward_reward;
    double inverse_count; /* sum of weight / k */
} v05_regression_moments;

/* A calibration over many batches: sums that are multiplied by `discount` before a batch is added. A value like any
 * other: no destroy call, copies are independent. Initialise it before use; read it, but change it only through the
 * functions below. */
typedef struct v05_running_calibration {
    size_t struct_size;
    double reward_low;
    double reward_high;
    double discount;                   /* 0 (only the newest batch) to 1 (all alike) */
    int64_t updates;                   /* batches added */
    double within_squares;
    double within_freedom;
    double groups;
    double total_groups;
    v05_regression_moments regression; /* groups with a prior */
    v05_regression_moments grand;      /* all groups */
} v05_running_calibration;

/* An empty one. Errors: reward_high not above reward_low or not finite, discount outside [0, 1]. Since 0.1.0. */
v05_status v05_running_calibration_initialize(v05_running_calibration *running, size_t struct_size,
                                              double reward_low, double reward_high, double discount,
                                              v05_error *error);

/* Adds a batch. Rewards and priors must lie in the interval. Workspace as in v05_baseline_estimate, sized for the
 * options of V05_RULE_CALIBRATED. Since 0.1.0. */
v05_status v05_running_calibration_update(v05_running_calibration *running, const v05_batch *batch,
                                          void *workspace, size_t workspace_size,
                                          v05_error *error);

/* The calibration that the moments amount to; after one update that of v05_calibration_fit, to rounding; before any,
 * one with groups = 0. Since 0.1.0. */
v05_status v05_running_calibration_solve(const v05_running_calibration *running,
                                         v05_calibration *calibration, v05_error *error);

/* --------------------------------------------------------------------------------- running mixture -- */

/* A mixture over many batches, for steps with few prompts. A value like v05_running_calibration, which it holds. */
typedef struct v05_running_mixture {
    size_t struct_size;
    double counts[40]; /* expected number of groups of each component, laid out as v05_mixture.weights; multiplied by
                          the discount before a batch is added */
    v05_running_calibration calibration;
} v05_running_mixture;

/* As v05_running_calibration_initialize. Since 0.1.0. */
v05_status v05_running_mixture_initialize(v05_running_mixture *running, size_t struct_size,
                                          double reward_low, double reward_high, double discount,
                                          v05_error *error);

/* Adds a batch of two-valued rewards: as v05_mixture_fit around the line and the grand mean of the calibration with
 * this batch, where the discounted counts of the batches before are added to the expected numbers, and equal weights at
 * the start become those that they amount to. Workspace as there. Since 0.1.0. */
v05_status v05_running_mixture_update(v05_running_mixture *running, const v05_batch *batch,
                                      void *workspace, size_t workspace_size, v05_error *error);

/* The mixture that the batches amount to; after one update that of v05_mixture_fit, to rounding; before any, one with
 * groups = 0. Since 0.1.0. */
v05_status v05_running_mixture_solve(const v05_running_mixture *running, v05_mixture *mixture, v05_error *error);

/* -------------------------------------------------------------------------------------- checkpoints -- */

/* Saved objects are bytes of one format: "v05c", format version (uint32), kind (uint32), payload length (uint64),
 * payload, CRC-32 of all before (uint32); little-endian. Bytes of a released format can be loaded by every later
 * release. Loading checks everything before it changes anything. */

/* Writes the bytes of a running calibration. *size: out, the number of bytes. bytes = NULL with capacity = 0 asks for
 * the size only. Since 0.1.0. */
v05_status v05_running_calibration_save(const v05_running_calibration *running, uint8_t *bytes,
                                        size_t capacity, size_t *size, v05_error *error);

/* Replaces *running (initialised before, its struct_size set) by the saved one. Since 0.1.0. */
v05_status v05_running_calibration_load(v05_running_calibration *running, const uint8_t *bytes,
                                        size_t size, v05_error *error);

/* As v05_running_calibration_save. Since 0.1.0. */
v05_status v05_running_mixture_save(const v05_running_mixture *running, uint8_t *bytes,
                                    size_t capacity, size_t *size, v05_error *error);

/* As v05_running_calibration_load. Since 0.1.0. */
v05_status v05_running_mixture_load(v05_running_mixture *running, const uint8_t *bytes,
                                    size_t size, v05_error *error);

/* ------------------------------------------------------------------------------------------ history -- */

/* What the same prompts did before: the best prior there is once a prompt has been seen.
 *
 * At each visit of a prompt with k rewards r:   a <- decay a + sum (r - lo) / (hi - lo),   n <- decay n + k,   with
 * decay = discount * step_decay^(steps since the visit before). Value lo + (hi - lo) (a + n0 g) / (n + n0), strength
 * n + n0, where g is the running level of all prompts and n0 = start_strength: a prompt that was never seen starts from
 * the level, and after a first visit with a single rollout its value is no end of the interval. The level is learnt by
 * record: the first batch has g = (sum (r - lo) / (hi - lo) + 1/2) / (rows + 1), each later one moves it a fifth of the
 * way to its mean. Before any is known value and strength are as with n0 = 0.
 *
 * One thread at a time a handle, except predict, save and count, which may run together. 1,000,000 prompts take 46
 * MB. */
typedef struct v05_history v05_history;

typedef struct v05_history_options {
    size_t struct_size;
    double reward_low;  /* lo, default 0 */
    double reward_high; /* hi, default 1 */
    double discount;    /* in [0, 1], default 0.8 */
    double step_decay;  /* in [0, 1], default 1: time does not matter */
    int64_t capacity;   /* prompts kept, those recorded longest ago go first; default 0: all */
    double start_strength; /* n0: rewards that the level of all prompts is worth, finite and >= 0, default 1. 0: a
                              prompt has no value before its first visit */
} v05_history_options;

/* Fills in the defaults. Since 0.1.0. */
v05_status v05_history_options_initialize(v05_history_options *options, size_t struct_size, v05_error *error);

/* A key for a prompt's text or name: the same on every machine and in every release. Since 0.1.0. */
v05_status v05_key_hash(const uint8_t *bytes, size_t size, int64_t *key, v05_error *error);

/* v05_key_hash of `count` texts that lie one after the other, several at a time: text i is bytes[offsets[i]] up to
 * bytes[offsets[i + 1]]; `count` + 1 offsets, the first not negative, none below the one before. Since 0.1.0. */
v05_status v05_key_hashes(const uint8_t *bytes, const int64_t *offsets, int64_t count, int64_t *keys,
                          v05_error *error);

/* *history: out, to be given to v05_history_destroy. options = NULL: defaults. Since 0.1.0. */
v05_status v05_history_create(const v05_history_options *options, v05_history **history, v05_error *error);

/* NULL does nothing. Since 0.1.0. */
void v05_history_destroy(v05_history *history);

/* Values and strengths of `count` keys at a step (0 where steps are not used; a and n decay to it). A key that was
 * never recorded has the level of all prompts, and n0; NaN and 0 where nothing was ever recorded, as at the first step
 * of a run (the mean of the other rollouts of the batch may stand in there), or with n0 = 0. values or strengths may be
 * NULL. Since 0.1.0. */
v05_status v05_history_predict(const v05_history *history, const int64_t *keys, int64_t count, int64_t step,
                               double *values, double *strengths, v05_error *error);

/* Records one visit of every key: batch.group_ids are keys, batch.prior is not looked at, masked rows do not count.
 * With weights a and n, and the level, are sums over W / w, where w is the running mean of W, this batch included: it
 * begins with that of the first batch and goes a fifth of the way to each later one, so that a typical rollout counts
 * one. Predict before recording, else the prior knows the rewards. All or nothing. Since 0.1.0. */
v05_status v05_history_record(v05_history *history, const v05_batch *batch, int64_t step, v05_error *error);

/* Gives keys that were never recorded a value (reward units; NaN: none) and a strength (rewards it is worth) to start
 * from in place of the level, as from an in-context prior: a and n of such a key begin there, and n0 does not count for
 * it. Other keys keep theirs. Since 0.1.0. */
v05_status v05_history_start(v05_history *history, const int64_t *keys, const double *values,
                             const double *strengths, int64_t count, int64_t step, v05_error *error);

/* Adds what another history knows, such as that of another process: sums of both where both know a key; the level is
 * the mean of both. The reward range of the other lies within this one's, and its sums become those of the same rewards
 * here: merged into an empty history of a wider range it goes on in that. Since 0.1.0. */
v05_status v05_history_merge(v05_history *history, const v05_history *other, v05_error *error);

/* Number of keys. Since 0.1.0. */
v05_status v05_history_count(const v05_history *history, int64_t *count, v05_error *error);

/* options: out, those that it was created with. Since 0.1.0. */
v05_status v05_history_inspect(const v05_history *history, v05_history_options *options, v05_error *error);

/* As v05_running_calibration_save. Since 0.1.0. */
v05_status v05_history_save(const v05_history *history, uint8_t *bytes, size_t capacity, size_t *size,
                            v05_error *error);

/* *history: out, a new history with the saved options and contents; start_strength is 0 where the bytes are of format
 * 1, which has none. Since 0.1.0. */
v05_status v05_history_load(v05_history **history, const uint8_t *bytes, size_t size, v05_error *error);

/* ------------------------------------------------------------------------------------------ tracker -- */

/* The history's successor: what the same prompts did before, and what their visits have shown that to be worth. It is
 * calibrated from single rollouts: each visit says how well the ones before foretold it.
 *
 * At each visit of a prompt with k rewards r, once with each of the two discounts d (0.8 and 0.95):
 *
 *     s <- d s + sum (r - lo) / (hi - lo),   n <- d n + k
 *     l = logit(clip((s + g) / (n + 1), .005, .995)),   x = (1, l, l_slow - l),   V = 1 / (1 + e^(-w x))
 *
 * and the value is lo + (hi - lo) V with g the running level of all prompts, which is the value of a prompt that was
 * never seen. A prior of the caller's own takes the place of (s + g) / (n + 1) in l, and then a prompt never seen has
 * its V, too: so the visits say what such priors are worth. V is kept within 1e-6 to 1 - 1e-6. Each batch is learnt
 * from as one:
 *
 *     H <- f H + sum k V (1 - V) x x' + 10 (1 - f) I,   w <- w + H^-1 (sum x (S - k V) - 10 (1 - f) (w - (0, 1, 0)))
 *     L_t <- f L_t + sum log B(t V + S, t (1 - V) + k - S) / B(t V, t (1 - V)),   S = sum (r - lo) / (hi - lo)
 *
 * from w = (0, 1, 0), H = 10 I, L = 0, with f = forgetting; no step moves w by more than 1. t = 1, 2, 4, ... 128 is how
 * many rewards V is worth; prompts never seen have L and t = 1/4, 1/2, ... 8 of their own. L learns from groups with
 * two rewards or more, each lo or hi, without weights. g is learnt as that of a history. A batch is a step: whoever
 * records a few prompts at a time takes forgetting nearer to 1.
 *
 * One thread at a time a handle, except predict, fuse, calibration, save and count, which may run together. 1,000,000
 * prompts take 63 MB. */
typedef struct v05_tracker v05_tracker;

typedef struct v05_tracker_options {
    size_t struct_size;
    double reward_low;    /* lo, default 0 */
    double reward_high;   /* hi, default 1 */
    double discount;      /* in [0, 1], default 0.8 */
    double slow_discount; /* in [0, 1], default 0.95 */
    double forgetting;    /* f, in [0, 1], default 0.98 */
    int64_t capacity;     /* prompts kept, those recorded longest ago go first; default 0: all */
} v05_tracker_options;

/* Fills in the defaults. Since 0.1.0. */
v05_status v05_tracker_options_initialize(v05_tracker_options *options, size_t struct_size, v05_error *error);

/* *tracker: out, to be given to v05_tracker_destroy. options = NULL: defaults. Since 0.1.0. */
v05_status v05_tracker_create(const v05_tracker_options *options, v05_tracker **tracker, v05_error *error);

/* NULL does nothing. Since 0.1.0. */
void v05_tracker_destroy(v05_tracker *tracker);

/* Values and strengths of `count` keys; NaN and 0 where nothing was ever recorded, as at the first step of a run (the
 * mean of the other rollouts of the batch may stand in there), and no prior given. The strength is that of the Beta
 * distribution around V whose variance is the mean of those of t by e^(L_t): what V05_RULE_DISCOUNTED_BETA takes.
 * priors: (count) of the caller's own, reward units, NaN for none; NULL: none at all. values or strengths may be NULL.
 * Since 0.1.0. */
v05_status v05_tracker_predict(const v05_tracker *tracker, const int64_t *keys, const double *priors, int64_t count,
                               double *values, double *strengths, v05_error *error);

/* Records one visit of every key: batch.group_ids are keys, batch.prior those priors of the caller's own that predict
 * was given, masked rows do not count. With weights s, n, k, S and g are sums over W / w, where w is the running mean
 * of W as in v05_history_record. Predict before recording, else the prior knows the rewards. All or nothing. Since
 * 0.1.0. */
v05_status v05_tracker_record(v05_tracker *tracker, const v05_batch *batch, v05_error *error);

/* baselines: (row_count) out, of each row of a batch as v05_tracker_record takes it: the posterior mean of its prompt's
 * true value, sum u_t (t V + S) / (t + k) with u_t by e^(L_t) B(t V + S, t (1 - V) + k - S) / B(t V, t (1 - V)), in
 * reward units; with leave_one_out = 1 without the row's own reward in S and k. NaN where a row does not count and
 * where V is not known. Every counted reward must be lo or hi, and there must be no weights. Since 0.1.0. */
v05_status v05_tracker_fuse(const v05_tracker *tracker, const v05_batch *batch, int32_t leave_one_out,
                            double *baselines, v05_error *error);

/* calibration: out, what V05_RULE_CALIBRATED may take with the tracker's values as priors, where batches have one
 * rollout per prompt and give none: slope 1, intercept 0, and the mean squared error of rewards against V so far
 * (discounted by f a batch), of which the part sum of e^(L_t) / (t + 1) / sum of e^(L_t) is prior_variance. groups: all
 * prompts so far, discounted alike, also those with one rollout; 0 before anything was recorded. Since 0.1.0. */
v05_status v05_tracker_calibration(const v05_tracker *tracker, v05_calibration *calibration, v05_error *error);

/* Adds what another tracker knows, such as that of another process: sums of both where both know a key, of H and L too;
 * w by what each rests on; the level is the mean of both. The reward range of the other lies within this one's, and its
 * sums become those of the same rewards here; where it is not the same, w, H, L and the calibration stay this one's.
 * Since 0.1.0. */
v05_status v05_tracker_merge(v05_tracker *tracker, const v05_tracker *other, v05_error *error);

/* Number of keys. Since 0.1.0. */
v05_status v05_tracker_count(const v05_tracker *tracker, int64_t *count, v05_error *error);

/* options: out, those that it was created with. Since 0.1.0. */
v05_status v05_tracker_inspect(const v05_tracker *tracker, v05_tracker_options *options, v05_error *error);

/* As v05_running_calibration_save. Since 0.1.0. */
v05_status v05_tracker_save(const v05_tracker *tracker, uint8_t *bytes, size_t capacity, size_t *size,
                            v05_error *error);

/* *tracker: out, a new tracker with the saved options and contents. Since 0.1.0. */
v05_status v05_tracker_load(v05_tracker **tracker, const uint8_t *bytes, size_t size, v05_error *error);

/* --------------------------------------------------------------------------- allocation ahead of time -- */

/* How a total of rollouts is spread over prompts before any is generated. Beyond the minimum, ties go by index; what
 * gains nothing anywhere is given one each in order of index, again and again. A call takes milliseconds for thousands
 * of prompts whatever the total, and 1 to 4 seconds for a million prompts that share 2147483647; V05_OBJECTIVE_V0 takes
 * up to about 10 seconds at its limit. */
typedef enum v05_objective {
    /* The next rollout to the prompt with the largest p (1 - p) s / (s + 1) / (k (k + 1)): drop of gradient noise.
     * Exact optimum. */
    V05_OBJECTIVE_NEYMAN = 0,
    /* DynaMO (arXiv 2602.19208), its authors' procedure step for step: up to 4 rollouts for prompts hardly seen, the
     * minimum for all, the rest in proportion to a v05_priority by largest remainder. Where the total does not reach
     * for the first two, it leaves prompts below the minimum. */
    V05_OBJECTIVE_DYNAMO = 1,
    /* V_0 (arXiv 2602.03584): sum of B (1 - p) (1 - (1 - p)^(B - 1)), which is not concave, maximised exactly by
     * dynamic programming in prompts * total * (maximum - minimum) steps, at most 4e9. */
    V05_OBJECTIVE_V0 = 2,
    /* The same utility by the paper's greedy: the next rollout to the largest increment. With minimum = 0 no first
     * rollout adds any, and the total is spread evenly. */
    V05_OBJECTIVE_V0_GREEDY = 3,
    /* Sum of E[p (1 - p)^l] over a prompt's rollouts l = 0, 1, ...: the probability of a success among them (arXiv
     * 2605.07114), for p Beta distributed with mean probability and strength. Exact optimum. */
    V05_OBJECTIVE_HIT = 4
} v05_objective;

/* What V05_OBJECTIVE_DYNAMO shares rollouts by. p: probability, which its authors take from the mean accuracy so far;
 * n: seen. */
typedef enum v05_priority {
    /* The authors' code: 1 for a prompt never seen (p NaN, or n = 0 where seen is given); .01 from p = .85 on,
     * mastered; else 4 p (1 - p), at least .01. */
    V05_PRIORITY_OFFICIAL = 0,
    /* The paper's unbiased variance, p (1 - p) n / (n - 1); 1/4 below n = 2 and where p is NaN. Needs seen. */
    V05_PRIORITY_PAPER = 1,
    /* (p (1 - p))^exponent */
    V05_PRIORITY_PROBABILITY = 2
} v05_priority;

typedef struct v05_allocation_options {
    size_t struct_size;
    int32_t objective; /* v05_objective, default V05_OBJECTIVE_NEYMAN */
    int32_t priority;  /* v05_priority, default V05_PRIORITY_OFFICIAL */
    int64_t minimum;   /* rollouts that every prompt gets, default 1: never starve a prompt */
    int64_t maximum;   /* default 2147483647 */
    double exponent;   /* V05_PRIORITY_PROBABILITY: 1 (default) or 0.5 (a standard deviation, as in the paper's
                          theorem); 1 with other priorities */
} v05_allocation_options;

/* Fills in the defaults. Since 0.1.0. */
v05_status v05_allocation_options_initialize(v05_allocation_options *options, size_t struct_size,
                                             v05_error *error);

/* counts: (prompt_count) out, sums to total.
 * probability: (prompt_count) success probabilities in [0, 1]; NaN counts as 1/2.
 * seen: (prompt_count) rollouts of each prompt seen before, for V05_OBJECTIVE_DYNAMO; NULL: none for its first
 * rollouts, some for its priority.
 * strength: (prompt_count) rewards that each probability is worth, not looked at where that is NaN; NULL: it is known
 * exactly.
 * Errors: total outside prompt_count * minimum to prompt_count * maximum. Since 0.1.0. */
v05_status v05_allocation_solve(const v05_allocation_options *options, int64_t prompt_count,
                                const double *probability, const int64_t *seen, const double *strength,
                                int64_t total, int64_t *counts, v05_error *error);

/* -------------------------------------------------------------------------------- sequential allocation -- */

/* Says, wave by wave, which prompts of a step need more rollouts.
 *
 *     int32_t done = 0;
 *     while (!done) {
 *         v05_allocator_request(allocator, counts, n, NULL, &error);   // start counts[i] more rollouts of prompt i
 *         ...                                                          // results, in any order and portions:
 *         v05_allocator_observe(allocator, prompt_index, rewards, m, &error);
 *         v05_allocator_status(allocator, NULL, NULL, NULL, 0, &done, NULL, &error);
 *     }
 *
 * A prompt starts with `initial` rollouts. When all of them are back, it goes on while the expected gain of one
 * more exceeds the cost, up to `maximum` and the budget. Decisions depend on the set of a prompt's rewards, not
 * on the order in which they came: the same on every rank. Where the budget binds, larger gains come first,
 * ties by index.
 *
 * OSLA is the paper's rule. It pays where priors are good; with weak ones it spends rollouts where p is near 0
 * or 1 and stops by luck near 1/2, worse than equal groups of the same total. V05_ALLOCATION_NEYMAN does not
 * have that flaw. Optional stopping makes a prompt's mean slightly biased, and leave-one-out is then no longer
 * exactly unbiased.
 *
 * One thread at a time a handle. */
typedef struct v05_allocator v05_allocator;

typedef enum v05_allocation_rule {
    /* Gain mse(k) - mse(k + 1) of V05_RULE_V05, or of V05_RULE_CALIBRATED with a calibration (arXiv 2603.10848), or the
     * expected one of V05_RULE_MIXTURE with a mixture. 0 for an accepted prior; h^2 / (k (k + 1)) without prior. */
    V05_ALLOCATION_OSLA = 0,
    /* Gain E[h^2 - (mu - mid)^2] / (k (k + 1)), the drop of gradient noise, for a true value mu with mean b and
     * variance mse. With a budget the whole of it is spent, where it gains most by what is known at each request; what
     * seems to gain nothing anywhere goes to the prompts with the fewest rollouts. */
    V05_ALLOCATION_NEYMAN = 1
} v05_allocation_rule;

/* What OSLA holds fixed when it looks one rollout ahead; d, D in units of h^2. */
typedef enum v05_look_ahead {
    V05_LOOK_AHEAD_SAME_BIAS = 0, /* d: gain d / (1 + k d) - d / (1 + (k + 1) d) */
    V05_LOOK_AHEAD_SAME_MEAN = 1, /* m: gain (1 - (2 k + 1) / (k (k + 1) D)) / (k (k + 1)) */
    V05_LOOK_AHEAD_DERIVATIVE = 2 /* gain (d / (1 + k d))^2 */
} v05_look_ahead;

typedef struct v05_allocator_options {
    size_t struct_size;
    int32_t rule;       /* v05_allocation_rule, default V05_ALLOCATION_OSLA */
    int32_t look_ahead; /* v05_look_ahead, default V05_LOOK_AHEAD_SAME_BIAS */
    double reward_low;  /* lo, default 0 */
    double reward_high; /* hi, default 1 */
    int64_t initial;    /* >= 1, default 4 */
    int64_t maximum;    /* >= initial, default 16 */
    int64_t wave;       /* the most that a prompt that goes on asks for at once, >= 1, default 1 */
    double cost;        /* gain that a further rollout must exceed, >= 0; NaN (default): h^2 / maximum^2, but 0 for
                           V05_ALLOCATION_NEYMAN with a budget */
    int64_t budget;     /* rollouts of all prompts together, never exceeded; default -1: no limit */
    int64_t maximum_without_prior; /* the most for prompts without prior, >= initial: OSLA goes on with all of them up
                                      to maximum. Not below a prompt's own initial; default -1: as maximum */
} v05_allocator_options;

/* Fills in the defaults. Since 0.1.0. */
v05_status v05_allocator_options_initialize(v05_allocator_options *options, size_t struct_size, v05_error *error);

/* prior: (prompt_count) NULL or NaN for none. initial, maximum: NULL, or (prompt_count) in place of the options'.
 * calibration: NULL, or what the calibrated baseline will use (not used below 8 groups); NULL with a mixture, which
 * holds its own. mixture: NULL, or what V05_RULE_MIXTURE will use (not used below 8 groups), copied; rewards must be
 * two-valued then. *allocator: out, to be given to v05_allocator_destroy. Errors: maximum below initial, budget below
 * the sum of initial. Since 0.1.0. */
v05_status v05_allocator_create(const v05_allocator_options *options, int64_t prompt_count, const double *prior,
                                const int64_t *initial, const int64_t *maximum, const v05_calibration *calibration,
                                const v05_mixture *mixture, v05_allocator **allocator, v05_error *error);

/* NULL does nothing. Since 0.1.0. */
void v05_allocator_destroy(v05_allocator *allocator);

/* counts: (capacity >= prompt_count) out, rollouts to start now, which count as in flight from here on. sum: out, may
 * be NULL. All 0 and nothing in flight: done. Since 0.1.0. */
v05_status v05_allocator_request(v05_allocator *allocator, int64_t *counts, int64_t capacity, int64_t *sum,
                                 v05_error *error);

/* Rewards of `count` rollouts in flight, with the index of the prompt of each. All or nothing. Accepted after a stop.
 * Since 0.1.0. */
v05_status v05_allocator_observe(v05_allocator *allocator, const int64_t *prompt_index, const double *rewards,
                                 int64_t count, v05_error *error);

/* As v05_allocator_observe, with the W of each rollout (see "Weights" of v05_batch), finite and >= 0; rollouts observed
 * without have 1. Decisions then go by the weighted mean of a prompt's rewards and by k_e in place of k; a prompt
 * without a positive weight gains nothing, and v05_allocator_estimate is that of a batch with weights. Weights that are
 * all equal, and at least 1e-290, decide what none do. Not with a mixture. A result costs time linear in the rollouts
 * of its prompt. Since 0.1.0. */
v05_status v05_allocator_observe_weighted(v05_allocator *allocator, const int64_t *prompt_index, const double *rewards,
                                          const double *weights, int64_t count, v05_error *error);

/* Takes back rollouts in flight that failed: they count for nothing, and are asked for again up to `initial`. Since
 * 0.1.0. */
v05_status v05_allocator_cancel(v05_allocator *allocator, const int64_t *prompt_index, int64_t count,
                                v05_error *error);

/* Requests nothing from here on. Results in flight are still accepted and counted. Since 0.1.0. */
v05_status v05_allocator_stop(v05_allocator *allocator, v05_error *error);

/* prompt_count: out. counts, in_flight: (capacity >= prompt_count) out. done: out, 1 where nothing is in flight or to
 * be requested. calibrated: out, 1 where it was created with a calibration, 2 where with a mixture, else 0. Each may be
 * NULL. Since 0.1.0. */
v05_status v05_allocator_status(const v05_allocator *allocator, int64_t *prompt_count, int64_t *counts,
                                int64_t *in_flight, int64_t capacity, int32_t *done, int32_t *calibrated,
                                v05_error *error);

/* All that was observed, in the order of arrival. *count: out, number of observations; prompt_index, rewards:
 * (capacity) out, may be NULL. Since 0.1.0. */
v05_status v05_allocator_observations(const v05_allocator *allocator, int64_t *prompt_index, double *rewards,
                                      int64_t capacity, int64_t *count, v05_error *error);

/* Baselines and advantages of all that was observed, as v05_baseline_estimate: rows in the order of arrival
 * (float64), groups are all prompts by index, with the allocator's priors, range, calibration and mixture. options =
 * NULL: V05_RULE_MIXTURE where it has a mixture, V05_RULE_CALIBRATED where it has a calibration, else V05_RULE_V05; the
 * options' reward range must be valid and is not used. Since 0.1.0. */
v05_status v05_allocator_estimate(const v05_allocator *allocator, const v05_estimation_options *options,
                                  v05_estimate *estimate, v05_error *error);

/* As v05_running_calibration_save. Rollouts in flight are saved as in flight. Since 0.1.0. */
v05_status v05_allocator_save(const v05_allocator *allocator, uint8_t *bytes, size_t capacity, size_t *size,
                              v05_error *error);

/* *allocator: out, a new allocator that goes on where the saved one stood, bit for bit. Since 0.1.0. */
v05_status v05_allocator_load(v05_allocator **allocator, const uint8_t *bytes, size_t size, v05_error *error);

#ifdef __cplusplus
}
#endif

#endif /* V05_H */
