/// The baseline of one row made from the other rewards of its group, which keeps it independent of the row's
/// own reward and the gradient unbiased (method section 4).
struct OthersBaseline {
    private let estimator: UnsafePointer<BaselineEstimator>
    private let summary: UnsafePointer<GroupSummary>
    private let middle: MiddleRewards?
    /// Where a reward is one of two values, as with the exact test, there are only two baselines; each costs a pass over
    /// the outcomes.
    private let isTwoValued: Bool
    private let success: Double
    private let withoutSuccess: Double
    private let withoutFailure: Double

    init(
        estimator: UnsafePointer<BaselineEstimator>, summary: UnsafePointer<GroupSummary>, middle: MiddleRewards?,
        success: Double
    ) {
        self.estimator = estimator
        self.summary = summary
        self.middle = middle
        self.success = success
        isTwoValued = estimator.pointee.options.test == .exact || estimator.pointee.rule == .mixture
        guard isTwoValued && summary.pointee.count > 0 else {
            withoutSuccess = .nan
            withoutFailure = .nan
            return
        }
        if estimator.pointee.rule == .mixture, let weights = estimator.pointee.weights {
            (withoutSuccess, withoutFailure) = mixtureValuesOfOthers(
                successes: summary.pointee.successes, count: summary.pointee.count, prior: summary.pointee.prior.value,
                estimator.pointee.calibration, weights, interval: estimator.pointee.options.interval,
                shared: estimator.pointee.likelihoods)
            return
        }
        let failure = estimator.pointee.options.interval.low
        withoutSuccess = OthersBaseline.value(
            estimator, summary, middle, without: success, successes: summary.pointee.successes &- 1)
        withoutFailure = OthersBaseline.value(
            estimator, summary, middle, without: failure, successes: summary.pointee.successes)
    }

    @inline(__always)
    func value(without reward: Double) -> Double {
        if isTwoValued { return reward == success ? withoutSuccess : withoutFailure }
        return OthersBaseline.value(estimator, summary, middle, without: reward, successes: 0)
    }

    @inline(never)
    @_optimize(speed)
    private static func value(
        _ estimator: UnsafePointer<BaselineEstimator>, _ summary: UnsafePointer<GroupSummary>, _ middle: MiddleRewards?,
        without reward: Double, successes: Int
    ) -> Double {
        let count = summary.pointee.count &- 1
        let mean = count > 0 ? summary.pointee.meanOfOthers(without: reward) : .nan
        var sample = Sample(count: count, center: mean, successes: successes, prior: summary.pointee.prior)
        let check = estimator.pointee.check(sample)
        if let middle, count > 0 { sample.center = middle.medianOfOthers(without: reward) }
        return estimator.pointee.baseline(sample, check: check).value
    }
}
