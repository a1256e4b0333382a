/// Whether the rewards of a prompt contradict its prior value (method section 2).
struct PriorCheck {
    /// d: estimated squared bias of the prior, max(0, (m - V)^2 - noise).
    var biasSquared: Double
    /// (m - V)^2
    private var squaredDeviation: Double
    private var noise: Double
    /// Of the exact binomial test; NaN with the bound test.
    var pValue: Double
    /// H0, the prior is accurate, is rejected.
    var rejected: Bool

    /// |m - V| / sqrt(noise): how many worst-case standard deviations of the mean the prior is off.
    var z: Double { squaredDeviation.squareRoot() / noise.squareRoot() }

    /// Without prior, or without rewards to check it by.
    @inline(__always)
    static var none: PriorCheck {
        PriorCheck(biasSquared: .nan, squaredDeviation: .nan, noise: .nan, pValue: .nan, rejected: false)
    }

    /// - Parameters: `count` rewards, at least one, with the mean `mean`; `successes` of them at the upper end.
    @inline(__always)
    init(
        mean: Double, count: Int, effectiveCount: Double, successes: Int, prior: Double, options: EstimationOptions
    ) {
        noise = worstCaseVariance(count: effectiveCount, halfRange: options.interval.halfRange)
        let deviation = mean - prior
        squaredDeviation = deviation * deviation
        biasSquared = squaredDeviation > noise ? squaredDeviation - noise : 0
        if options.test == .exact {
            pValue = binomialTest(
                successes: successes, trials: count, probability: options.interval.probability(of: prior))
            rejected = pValue < options.level
        } else {
            pValue = .nan
            rejected = squaredDeviation > noise
        }
    }

    @inline(__always)
    private init(biasSquared: Double, squaredDeviation: Double, noise: Double, pValue: Double, rejected: Bool) {
        self.biasSquared = biasSquared
        self.squaredDeviation = squaredDeviation
        self.noise = noise
        self.pValue = pValue
        self.rejected = rejected
    }
}

/// noise: the largest variance that the mean of `count` rewards in an interval of half length h can have, h^2 / count.
@inline(__always)
func worstCaseVariance(count: Double, halfRange: Double) -> Double {
    halfRange * halfRange / count
}
