/// The Beta distributions of one prompt.
struct MixtureComponents {
    /// Pairs of strengths a center.
    static var pairs: Int { 5 }
    /// Pairs of components of a prompt with a prior.
    static var withPrior: Int { 15 }

    /// Success probabilities: prior, calibrated prior, mean of the batch. The first two stand idle without prior.
    private let centers: (Double, Double, Double)
    private let hasPrior: Bool

    @inline(never)
    init(_ calibration: Calibration, prior: Double, interval: Interval) {
        hasPrior = !prior.isNaN
        centers = (
            MixtureComponents.center(prior, interval),
            MixtureComponents.center(calibration.intercept + calibration.slope * prior, interval),
            MixtureComponents.center(calibration.grandMean, interval)
        )
    }

    /// No center is believed to be certain.
    private static func center(_ value: Double, _ interval: Interval) -> Double {
        max(0.02, min(interval.probability(of: value), 0.98))
    }

    /// The first pair of the likelihoods that count.
    var firstPair: Int { hasPrior ? 0 : MixtureComponents.withPrior &- MixtureComponents.pairs }
    /// Where the weights of that pair are.
    private var firstWeight: Int { hasPrior ? 0 : MixtureComponents.withPrior }

    /// a and b of the Beta distributions of a pair.
    @inline(__always)
    private func shape(_ pair: Int) -> (success: SIMD2<Double>, failure: SIMD2<Double>) {
        let center = pair < 5 ? centers.0 : (pair < 10 ? centers.1 : centers.2)
        let within = pair < 5 ? pair : (pair < 10 ? pair &- 5 : pair &- 10)
        let strength = SIMD2(0.5, 1) * Double(1 &<< (2 &* within))
        return (strength * center, strength * (1 - center))
    }

    /// The probability of a sequence of `successes` successes and `failures` failures under each component, up to a factor
    /// common to all: what the beta-binomial distribution says without its binomial coefficient, as a product
    ///
    ///     a (a+1) ... (a+s-1)  b (b+1) ... (b+f-1)  /  (q (q+1) ... (q+s+f-1)),   q = a + b,
    ///
    /// so that no gamma function is needed. Powers of 2^500 are counted apart. Time is linear in the rewards.
    func likelihoods(successes: Int, failures: Int, into result: UnsafeMutablePointer<SIMD2<Double>>) {
        var scales = MixtureNumbers()
        scales.withMutablePairs { likelihoods(successes, failures, result, $0) }
    }

    @inline(never)
    @_optimize(speed)
    private func likelihoods(
        _ successes: Int, _ failures: Int, _ result: UnsafeMutablePointer<SIMD2<Double>>,
        _ scales: UnsafeMutablePointer<SIMD2<Double>>
    ) {
        var largest = -Double.infinity
        var pair = firstPair
        while pair < MixtureComponents.withPrior {
            let (a, b) = shape(pair)
            var value = SIMD2<Double>(repeating: 1)
            var scale = SIMD2<Double>(repeating: 0)
            MixtureComponents.multiply(&value, &scale, from: a, over: a + b, count: successes)
            MixtureComponents.multiply(&value, &scale, from: b, over: a + b + Double(successes), count: failures)
            result[pair] = value
            scales[pair] = scale
            largest = max(largest, max(scale[0], scale[1]))
            pair &+= 1
        }
        pair = firstPair
        while pair < MixtureComponents.withPrior {
            let behind = scales[pair] - largest
            var factor = SIMD2<Double>(repeating: 0)
            factor.replace(with: 0x1p-500, where: behind .== -1)
            factor.replace(with: 1, where: behind .== 0)
            result[pair] *= factor
            pair &+= 1
        }
    }

    /// value 2^(500 scale) times start (start + 1) ... over as many factors from `divisor` on.
    @inline(__always)
    private static func multiply(
        _ value: inout SIMD2<Double>, _ scale: inout SIMD2<Double>, from start: SIMD2<Double>,
        over divisor: SIMD2<Double>, count: Int
    ) {
        var step = 0
        while step < count {
            let done = Double(step)
            value *= (start + done) / (divisor + done)
            // A factor is at least 2^-40, so that nothing is lost before this sees it.
            let tiny = value .< 0x1p-500
            if value[0] < 0x1p-500 || value[1] < 0x1p-500 {
                value.replace(with: value * 0x1p500, where: tiny)
                scale.replace(with: scale - 1, where: tiny)
            }
            step &+= 1
        }
    }

    /// What the posterior means of a pair are off the observed share of successes; without rewards they themselves.
    @inline(__always)
    private func offShare(_ pair: Int, _ successes: Double, _ failures: Double) -> SIMD2<Double> {
        let (a, b) = shape(pair)
        let k = successes + failures
        if k == 0 { return a / (a + b) }
        return (a * failures - b * successes) / (k * (a + b + k))
    }

    @inline(never)
    @_optimize(speed)
    fileprivate func baseline(
        _ successes: Int, _ count: Int, _ likelihood: UnsafeMutablePointer<SIMD2<Double>>,
        _ weights: UnsafePointer<SIMD2<Double>>, _ interval: Interval
    ) -> Baseline {
        let k = Double(count)
        var total = SIMD2<Double>(repeating: 0)
        var first = SIMD2<Double>(repeating: 0)
        var ofMean = SIMD2<Double>(repeating: 0)
        var pair = firstPair
        while pair < MixtureComponents.withPrior {
            let (a, b) = shape(pair)
            let share = weights[firstWeight &+ pair &- firstPair] * likelihood[pair]
            let part = share / (a + b + k)
            likelihood[pair] = share
            total += share
            first += part * (a + Double(successes))
            ofMean += part * k
            pair &+= 1
        }
        let sum = total[0] + total[1]
        let mean = (first[0] + first[1]) / sum
        // With many rewards all centers lie close to the observed share s / k. What they are off is
        //     (a + s) / (q + k) - s / k = (a f - b s) / (k (q + k)),
        // which loses nothing to cancellation, as their own differences would.
        let s = Double(successes)
        let f = Double(count &- successes)
        var offset = SIMD2<Double>(repeating: 0)
        pair = firstPair
        while pair < MixtureComponents.withPrior {
            offset += likelihood[pair] * offShare(pair, s, f)
            pair &+= 1
        }
        let meanOffset = (offset[0] + offset[1]) / sum
        var second = SIMD2<Double>(repeating: 0)
        pair = firstPair
        while pair < MixtureComponents.withPrior {
            let (a, b) = shape(pair)
            let strength: SIMD2<Double> = a + b + k
            let off: SIMD2<Double> = offShare(pair, s, f) - meanOffset
            let variance: SIMD2<Double> = (a + s) / strength * ((b + f) / strength) / (strength + 1)
            second += likelihood[pair] * (off * off + variance)
            pair &+= 1
        }
        let width = interval.high - interval.low
        return Baseline(
            weight: (ofMean[0] + ofMean[1]) / sum, value: interval.clamp(interval.low + width * mean),
            mse: width * width * max(0, (second[0] + second[1]) / sum))
    }
}

/// The posterior mean as a baseline, the posterior variance as its mse, in reward units; the weight of the group's mean in
/// it is the expected value of k / (q + k).
@inline(never)
func mixtureBaseline(
    successes: Int, count: Int, prior: Double, _ calibration: Calibration, _ weights: UnsafePointer<MixtureNumbers>,
    interval: Interval
) -> Baseline {
    let components = MixtureComponents(calibration, prior: prior, interval: interval)
    var likelihood = MixtureNumbers()
    return likelihood.withMutablePairs { pairs in
        components.likelihoods(successes: successes, failures: count &- successes, into: pairs)
        return components.baseline(
            successes, count, pairs, UnsafeRawPointer(weights).assumingMemoryBound(to: SIMD2<Double>.self), interval)
    }
}
