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
    static func fused(mean: Double, noise: Double, prior: Double, biasSquared: Double) -> Baseline {
        if biasSquared <= 0 { return Baseline(weight: 0, value: prior, mse: 0) }
        let weight = biasSquared / (biasSquared + noise)
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

    /// The prior as a Beta distribution worth `strength` rewards, merged with the group: posterior mean and variance
    /// (arXiv 2603.18444).
    @inline(__always)
    static func counted(mean: Double, count: Double, prior: Prior, interval: Interval) -> Baseline {
        let total = prior.strength + count
        let weight = count / total
        let value = count == 0 ? prior.value : between(prior.value, mean, at: weight)
        return Baseline(
            // A value may lie beyond a bound by rounding.
            weight: weight, value: value, mse: max(0, (value - interval.low) * (interval.high - value)) / (total + 1))
    }

    /// from + weight (to - from), kept between both against rounding.
    @inline(never)
    static func between(_ from: Double, _ to: Double, at weight: Double) -> Double {
        let value = from + weight * (to - from)
        return max(min(from, to), min(value, max(from, to)))
    }
}
