/// The baseline of one row made from the other rewards of its group, which keeps it independent of the row's
/// own reward and the gradient unbiased (method section 4).
struct OthersBaseline {
    private let estimator: BaselineEstimator
    private let summary: GroupSummary
    private let middle: MiddleRewards?
    /// Where a reward is one of two values, as with the exact test, there are only two baselines; each costs a pass over
    /// the outcomes.
    private let isTwoValued: Bool
    private let success: Double
    private let withoutSuccess: Double
    private let withoutFailure: Double

    init(estimator: BaselineEstimator, summary: GroupSummary, middle: MiddleRewards?, success: Double) {
        self.estimator = estimator
        self.summary = summary
        self.middle = middle
        self.success = success
        isTwoValued = estimator.options.test == .exact || estimator.rule == .mixture
        guard isTwoValued && summary.count > 0 else {
            withoutSuccess = .nan
            withoutFailure = .nan
            return
        }
        if estimator.rule == .mixture, let weights = estimator.weights {
            (withoutSuccess, withoutFailure) = mixtureValuesOfOthers(
                successes: summary.successes, count: summary.count, prior: summary.prior.value,
                estimator.calibration, weights, interval: estimator.options.interval,
                shared: estimator.likelihoods)
            return
        }
        let failure = estimator.options.interval.low
        withoutSuccess = OthersBaseline.value(
            estimator, summary, middle, without: success, successes: summary.successes &- 1)
        withoutFailure = OthersBaseline.value(
            estimator, summary, middle, without: failure, successes: summary.successes)
    }

    @inline(__always)
    func value(without reward: Double) -> Double {
        if isTwoValued { return reward == success ? withoutSuccess : withoutFailure }
        return OthersBaseline.value(estimator, summary, middle, without: reward, successes: 0)
    }

    @inline(never)
    @_optimize(speed)
    private static func value(
        _ estimator: BaselineEstimator, _ summary: GroupSummary, _ middle: MiddleRewards?,
        without reward: Double, successes: Int
    ) -> Double {
        let count = summary.count &- 1
        let mean = count > 0 ? summary.meanOfOthers(without: reward) : .nan
        var sample = Sample(count: count, center: mean, successes: successes, prior: summary.prior)
        let check = estimator.check(sample)
        if let middle, count > 0 { sample.center = middle.medianOfOthers(without: reward) }
        return estimator.baseline(sample, check: check).value
    }
}
