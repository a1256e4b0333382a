/// What the success probability of a prompt may be, for two-valued rewards (method section 5b): a mixture of Beta
/// distributions around three centers, each with ten strengths,
///
///     p ~ sum_jq weight_jq Beta(q c_j, q (1 - c_j)),   q = 1/2, 1, 2, ... 256,
///
/// with the centers c_1 = prior, c_2 = calibrated prior, c_3 = mean of the batch. How much each is to be believed is all
/// that is fitted. Prompts without prior have ten weights of their own, around c_3.
///
/// A value: fitted on one batch, or solved from the counts of several, and applied to the next.
public struct Mixture: Sendable {
    /// Gives the calibrated prior and the mean of the batch, and says on how many groups it all rests.
    public var calibration: Calibration
    /// Each at least `smallestWeight`; the first fifteen pairs sum to 1 and so do the last five.
    public var weights: MixtureNumbers

    public init(calibration: Calibration, weights: MixtureNumbers) {
        self.calibration = calibration
        self.weights = weights
    }

    /// The weights that expected numbers of groups amount to.
    init(calibration: Calibration, counts: MixtureNumbers) {
        self.calibration = calibration
        weights = counts
        weights.withMutablePairs { pairs in
            Mixture.normalize(pairs, count: MixtureComponents.withPrior)
            Mixture.normalize(pairs + MixtureComponents.withPrior, count: MixtureComponents.pairs)
        }
    }

    /// Rests on nothing.
    public static var empty: Mixture { Mixture(calibration: .empty, counts: MixtureNumbers()) }

    @inline(never)
    private static func normalize(_ pairs: UnsafeMutablePointer<SIMD2<Double>>, count: Int) {
        var sum = SIMD2<Double>(repeating: 0)
        var pair = 0
        while pair < count {
            pairs[pair] += pseudoCount
            sum += pairs[pair]
            pair &+= 1
        }
        let total = sum[0] + sum[1]
        pair = 0
        while pair < count {
            pairs[pair] /= total
            pair &+= 1
        }
    }

    /// Keeps every component possible.
    static var pseudoCount: Double { 0.05 }

    /// Far below what a fit can give; keeps the posterior of any rewards defined.
    private static var smallestWeight: Double { 1e-100 }

    /// Refuses numbers that no fit can have produced.
    public func check() throws(Failure) {
        try calibration.check()
        let isProper = weights.withPairs { pairs in
            Mixture.areWeights(pairs, count: MixtureComponents.withPrior)
                && Mixture.areWeights(pairs + MixtureComponents.withPrior, count: MixtureComponents.pairs)
        }
        if !isProper {
            throw Failure(
                .invalidCalibration,
                "mixture must hold weights of at least 1e-100 that sum to 1, those with and those without prior")
        }
    }

    @inline(never)
    private static func areWeights(_ pairs: UnsafePointer<SIMD2<Double>>, count: Int) -> Bool {
        var sum = SIMD2<Double>(repeating: 0)
        var least = SIMD2<Double>(repeating: 1)
        var pair = 0
        while pair < count {
            sum += pairs[pair]
            // NaN is not lost: it stays in the sum.
            least.replace(with: pairs[pair], where: pairs[pair] .< least)
            pair &+= 1
        }
        return (sum[0] + sum[1] - 1).magnitude <= 1e-6 && least[0] >= smallestWeight && least[1] >= smallestWeight
    }

    /// What is known of a prompt by its rewards: posterior mean and variance of its true value, in reward units.
    public func posterior(
        successes: Int, count: Int, prior: Double, interval: Interval
    ) -> (value: Double, mse: Double) {
        let baseline = withUnsafePointer(to: weights) { weights in
            mixtureBaseline(
                successes: successes, count: count, prior: prior, calibration, weights, interval: interval,
                shared: nil)
        }
        return (baseline.value, baseline.mse)
    }
}
