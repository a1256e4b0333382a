import Estimation

/// What is known of a prompt when it is decided whether to go on.
struct Progress {
    /// k, at least 1.
    var count: Int
    /// What they come down to with score weights, 0 where all of these are 0; k without.
    var effectiveCount: Double
    var mean: Double
    /// V; NaN where there is none.
    var prior: Double
}

/// The gain of the next rollout, in squared reward units. A prompt goes on while it is above the cost.
struct ExpectedGain {
    let rule: AllocationRule
    let lookAhead: LookAhead
    let interval: Interval
    /// With a calibration the calibrated baseline is what is allocated for, else the paper's rule.
    let calibration: Calibration?
    /// With a mixture the posterior mean. Used where the calibration, which is its own, rests on enough.
    let mixture: UnsafePointer<Mixture>?

    func next(_ progress: Progress) -> Double {
        switch rule {
        case .osla: return errorDrop(progress)
        case .neyman: return noiseDrop(progress)
        }
    }

    /// mse(k) - mse(k + 1)
    private func errorDrop(_ progress: Progress) -> Double {
        let h2 = interval.halfRange * interval.halfRange
        let k = progress.effectiveCount
        // Rollouts without weight say nothing, and there is nothing to be gained of them.
        if k <= 0 { return 0 }
        if mixture != nil && calibration != nil { return posteriorVarianceDrop(progress) }
        if let calibration {
            let spread = progress.prior.isNaN ? calibration.betweenVariance : calibration.priorVariance
            return drop(spread: spread, variance: calibration.rewardVariance, k)
        }
        // Without prior mse(k) = h^2 / k.
        if progress.prior.isNaN { return h2 / (k * (k + 1)) }
        let deviation = progress.mean - progress.prior
        let squared = deviation * deviation / h2
        let bias = max(0, squared - 1 / k)
        if bias <= 0 { return 0 }
        switch lookAhead {
        case .sameBias: return h2 * drop(spread: bias, variance: 1, k)
        case .sameMean: return h2 * (1 - (2 * k + 1) / (k * (k + 1) * squared)) / (k * (k + 1))
        case .derivative:
            let slope = bias / (1 + k * bias)
            return h2 * slope * slope
        }
    }

    /// Expected drop of the posterior variance, which is the variance of the posterior mean after one more rollout.
    private func posteriorVarianceDrop(_ progress: Progress) -> Double {
        let after = Progress(
            count: progress.count &+ 1, effectiveCount: progress.effectiveCount + 1, mean: progress.mean,
            prior: progress.prior)
        let successes = self.successes(progress)
        let chance = interval.probability(of: posterior(progress, successes).value)
        let difference = posterior(after, successes &+ 1).value - posterior(after, successes).value
        return chance * (1 - chance) * difference * difference
    }

    @inline(never)
    private func posterior(_ progress: Progress, _ successes: Int) -> (value: Double, mse: Double) {
        mixture?.pointee.posterior(
            successes: successes, count: progress.count, prior: progress.prior, interval: interval)
            ?? (progress.mean, 0)
    }

    /// Rewards are two-valued with a mixture.
    private func successes(_ progress: Progress) -> Int {
        let successes = (Double(progress.count) * interval.probability(of: progress.mean)).rounded()
        return Int(exactly: successes) ?? 0
    }

    /// spread variance / (variance + k spread) - spread variance / (variance + (k + 1) spread)
    private func drop(spread: Double, variance: Double, _ k: Double) -> Double {
        let now = variance + k * spread
        let then = now + spread
        return now > 0 ? spread * spread * variance / (now * then) : 0
    }

    /// E[h^2 - (mu - middle)^2] / (k (k + 1)): the variance of a two-valued reward, for a true value mu of which the
    /// baseline is the mean and its mse the variance.
    private func noiseDrop(_ progress: Progress) -> Double {
        let k = progress.effectiveCount
        return k > 0 ? rewardVariance(progress) / (k * (k + 1)) : 0
    }

    /// What stands for the variance where k, not what it comes down to, is counted with.
    func varianceByCount(_ progress: Progress) -> Double {
        let k = progress.effectiveCount
        let count = Double(progress.count)
        if k == count { return rewardVariance(progress) }
        return k > 0 ? rewardVariance(progress) * (count * (count + 1)) / (k * (k + 1)) : 0
    }

    /// Of a prompt of which nothing is known.
    var largestVariance: Double { interval.halfRange * interval.halfRange }

    @inline(never)
    func rewardVariance(_ progress: Progress) -> Double {
        let (value, mse) = baseline(progress)
        let fromMiddle = value - interval.middle
        return max(0, largestVariance - fromMiddle * fromMiddle - mse)
    }

    private func baseline(_ progress: Progress) -> (value: Double, mse: Double) {
        if mixture != nil && calibration != nil { return posterior(progress, successes(progress)) }
        var options = EstimationOptions()
        options.interval = interval
        options.rule = calibration == nil ? .v05 : .calibrated
        return baselineOfGroup(
            mean: progress.mean, count: progress.count, effectiveCount: progress.effectiveCount,
            prior: Prior(value: progress.prior), options: options,
            calibration: calibration)
    }
}
