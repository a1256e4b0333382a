/// A baseline between the mean of a prompt's rewards and a value known beforehand.
struct Baseline {
    /// w: weight of the mean.
    var weight: Double
    /// b = w mean + (1 - w) center.
    var value: Double
    /// Estimated mean squared error of b as an estimate of the expected reward.
    var mse: Double

    @inline(__always)
    static var none: Baseline { Baseline(weight: .nan, value: .nan, mse: .nan) }

    @inline(__always)
    init(weight: Double, value: Double, mse: Double) {
        self.weight = weight
        self.value = value
        self.mse = mse
    }

    /// The paper's rule (arXiv 2603.10848, method section 1): weight and error of the fusion that would be best
    /// if the squared bias of the prior were `biasSquared` and the mean had its worst-case variance `noise`.
    @inline(__always)
    static func fused(mean: Double, noise: Double, prior: Double, check: PriorCheck) -> Baseline {
        if !check.rejected || check.biasSquared <= 0 { return Baseline(weight: 0, value: prior, mse: 0) }
        let weight = check.biasSquared / (check.biasSquared + noise)
        return Baseline(weight: weight, value: between(prior, mean, at: weight), mse: weight * noise)
    }

    /// Empirical Bayes (Fay-Herriot, method section 5): a mean with sampling variance `variance`, a center that
    /// the true value scatters around with variance `spread`.
    @inline(__always)
    static func shrunk(mean: Double, variance: Double, center: Double, spread: Double) -> Baseline {
        if variance <= 0 { return Baseline(weight: 1, value: mean, mse: 0) }
        let weight = spread / (spread + variance)
        return Baseline(weight: weight, value: between(center, mean, at: weight), mse: weight * variance)
    }

    /// from + weight (to - from), kept between both against rounding.
    @inline(__always)
    private static func between(_ from: Double, _ to: Double, at weight: Double) -> Double {
        let value = from + weight * (to - from)
        return max(min(from, to), min(value, max(from, to)))
    }
}

/// What a baseline is made from: a whole group, or the others of one row.
struct Sample {
    var count: Int
    /// Mean of the rewards, or their median for the median rule. NaN without rewards.
    var center: Double
    var successes: Int
    /// NaN where there is no prior.
    var prior: Double
}

/// Makes baselines by one rule; the same for a whole group and for the others of a row.
struct BaselineEstimator {
    let options: EstimationOptions
    /// The rule that is applied: `options.rule`, or another where there is too little to calibrate.
    let rule: BaselineRule
    let calibration: Calibration

    /// Method section 4: where a group of one has nothing but its own reward, a convention takes the place
    /// of the baseline.
    @inline(__always)
    func restsOnOwnRewardAlone(_ group: GroupSummary) -> Bool {
        if group.count != 1 { return false }
        switch rule {
        case .grpo, .rloo, .median: return true
        case .v05, .prior: return group.prior.isNaN
        case .calibrated, .jamesStein: return false
        }
    }

    @inline(__always)
    func check(_ sample: Sample) -> PriorCheck {
        if sample.prior.isNaN || sample.count == 0 { return .none }
        return PriorCheck(
            mean: sample.center, count: sample.count, successes: sample.successes, prior: sample.prior,
            options: options)
    }

    @inline(__always)
    func baseline(_ sample: Sample, check: PriorCheck) -> Baseline {
        let noise = worstCaseVariance(count: sample.count, halfRange: options.interval.halfRange)
        switch rule {
        case .calibrated, .jamesStein:
            return shrunkBaseline(sample)
        case .median:
            return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: .nan)
        case .grpo, .rloo:
            return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: noise)
        case .v05, .prior:
            if sample.prior.isNaN {
                return sample.count == 0 ? .none : Baseline(weight: 1, value: sample.center, mse: noise)
            }
            if sample.count == 0 || rule == .prior {
                return Baseline(weight: 0, value: sample.prior, mse: check.biasSquared)
            }
            return .fused(mean: sample.center, noise: noise, prior: sample.prior, check: check)
        }
    }

    @inline(__always)
    private func shrunkBaseline(_ sample: Sample) -> Baseline {
        let hasPrior = rule == .calibrated && !sample.prior.isNaN
        let spread = hasPrior ? calibration.priorVariance : calibration.betweenVariance
        let center = hasPrior
            ? options.interval.clamp(calibration.intercept + calibration.slope * sample.prior)
            : calibration.grandMean
        if sample.count == 0 { return Baseline(weight: 0, value: center, mse: spread) }
        let variance = calibration.rewardVariance / Double(sample.count)
        return .shrunk(mean: sample.center, variance: variance, center: center, spread: spread)
    }
}
