/// Makes baselines by one rule; the same for a whole group and for the others of a row.
struct BaselineEstimator {
    let options: EstimationOptions
    /// The rule that is applied: `options.rule`, or another where there is too little to calibrate.
    var rule: BaselineRule
    let calibration: Calibration
    /// Of the mixture, for that rule.
    let weights: UnsafePointer<MixtureNumbers>?
    let likelihoods: SharedLikelihoods?
    /// Of JSPO, one group's: where its mean is shrunk to; without any it is left as it is.
    var shrinkage: Shrinkage?

    init(
        options: EstimationOptions, rule: BaselineRule, calibration: Calibration,
        weights: UnsafePointer<MixtureNumbers>? = nil, likelihoods: SharedLikelihoods? = nil
    ) {
        self.options = options
        self.rule = rule
        self.calibration = calibration
        self.weights = weights
        self.likelihoods = likelihoods
    }

    /// Method section 4: where a group of one has nothing but its own reward, a convention takes the place
    /// of the baseline.
    @inline(__always)
    func restsOnOwnRewardAlone(_ group: GroupSummary) -> Bool {
        if group.count != 1 { return false }
        switch rule {
        case .grpo, .rloo, .median: return true
        case .v05, .prior: return group.prior.value.isNaN
        case .discountedBeta: return group.prior.strength <= 0
        case .jspo: return shrinkage == nil
        case .calibrated, .jamesStein, .mixture, .batchMean: return false
        }
    }

    @inline(__always)
    func check(_ sample: Sample) -> PriorCheck {
        if sample.prior.value.isNaN || sample.count == 0 { return .none }
        return PriorCheck(
            mean: sample.center, count: sample.count, effectiveCount: sample.effectiveCount,
            successes: sample.successes, prior: sample.prior.value,
            options: options)
    }

    @inline(__always)
    func baseline(_ sample: Sample, check: PriorCheck) -> Baseline {
        let noise = worstCaseVariance(count: sample.effectiveCount, halfRange: options.interval.halfRange)
        switch rule {
        case .calibrated, .jamesStein:
            return shrunkBaseline(sample)
        case .median:
            return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: .nan)
        case .grpo, .rloo:
            return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: noise)
        case .v05, .prior:
            let prior = sample.prior.value
            if prior.isNaN {
                return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: noise)
            }
            if sample.count == 0 || rule == .prior {
                return Baseline(weight: 0, value: prior, mse: check.biasSquared)
            }
            // A prior that stands is taken as it is, however far off.
            return .fused(
                mean: sample.center, noise: noise, prior: prior, biasSquared: check.rejected ? check.biasSquared : 0)
        case .discountedBeta:
            if sample.prior.strength <= 0 {
                return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: noise)
            }
            return
                .counted(
                    mean: sample.center, count: sample.effectiveCount, prior: sample.prior, interval: options.interval)
        case .jspo:
            if let shrinkage { return shrinkage.baseline(sample) }
            return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: noise)
        case .batchMean:
            // Made of the other groups, not of samples of this one.
            return .none
        case .mixture:
            guard let weights else { return .none }
            return mixtureBaseline(
                successes: sample.successes, count: sample.count, prior: sample.prior.value, calibration, weights,
                interval: options.interval, shared: likelihoods)
        }
    }

    @inline(__always)
    private func shrunkBaseline(_ sample: Sample) -> Baseline {
        let hasPrior = rule == .calibrated && !sample.prior.value.isNaN
        let spread = hasPrior ? calibration.priorVariance : calibration.betweenVariance
        let center =
            hasPrior
            ? options.interval.clamp(calibration.intercept + calibration.slope * sample.prior.value)
            : calibration.grandMean
        if sample.count == 0 { return Baseline(weight: 0, value: center, mse: spread) }
        let variance = calibration.rewardVariance / sample.effectiveCount
        return .shrunk(mean: sample.center, variance: variance, center: center, spread: spread)
    }
}

extension UnsafePointer<BaselineEstimator> {
    /// Baseline of a sample, whose check is made here unless the caller has one or needs none. The estimator is too large
    /// to be copied for a call, and what it does too large to be compiled into many places.
    @_optimize(speed)
    @inline(never)
    func baseline(_ sample: Sample, check: PriorCheck? = nil) -> Baseline {
        pointee.baseline(sample, check: check ?? pointee.check(sample))
    }
}

/// Baseline and estimated error of one group by its mean, for rules that need no more than that.
public func baselineOfGroup(
    mean: Double, count: Int, effectiveCount: Double, prior: Prior, options: EstimationOptions,
    calibration: Calibration?
) -> (value: Double, mse: Double) {
    let estimator = BaselineEstimator(
        options: options, rule: options.rule, calibration: calibration ?? .empty)
    let sample = Sample(count: count, effectiveCount: effectiveCount, center: mean, successes: 0, prior: prior)
    let baseline = withUnsafePointer(to: estimator) { $0.baseline(sample) }
    return (baseline.value, baseline.mse)
}
