/// The Beta distributions of one prompt.
struct MixtureComponents {
    /// Pairs of strengths a center.
    static var pairs: Int { SharedLikelihoods.pairs }
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
    func likelihoods(
        successes: Int, failures: Int, into result: UnsafeMutablePointer<SIMD2<Double>>, shared: SharedLikelihoods?
    ) {
        var scales = MixtureNumbers()
        scales.withMutablePairs { scales in
            multiply(successes, failures, result, scales, pairs: firstPair..<firstSharedPair)
            multiplyShared(successes, failures, result, scales, shared)
            bringToOneScale(result, scales)
        }
    }

    /// The likelihoods of a group's others, without one of its successes and without one of its failures: most factors are
    /// the same. What the group has none of gives numbers without meaning.
    fileprivate func likelihoodsOfOthers(
        successes: Int, failures: Int, withoutSuccess: UnsafeMutablePointer<SIMD2<Double>>,
        withoutFailure: UnsafeMutablePointer<SIMD2<Double>>, shared: SharedLikelihoods?
    ) {
        var scales = MixtureNumbers()
        var otherScales = MixtureNumbers()
        scales.withMutablePairs { scales in
            otherScales.withMutablePairs { otherScales in
                multiplyOthers(successes, failures, withoutSuccess, withoutFailure, scales, otherScales)
                if successes > 0 { multiplyShared(successes &- 1, failures, withoutSuccess, scales, shared) }
                if failures > 0 { multiplyShared(successes, failures &- 1, withoutFailure, otherScales, shared) }
                bringToOneScale(withoutSuccess, scales)
                bringToOneScale(withoutFailure, otherScales)
            }
        }
    }

    /// The pairs around the mean of the batch.
    private var firstSharedPair: Int { MixtureComponents.withPrior &- MixtureComponents.pairs }

    @inline(never)
    private func multiplyShared(
        _ successes: Int, _ failures: Int, _ result: UnsafeMutablePointer<SIMD2<Double>>,
        _ scales: UnsafeMutablePointer<SIMD2<Double>>, _ shared: SharedLikelihoods?
    ) {
        let pairs = firstSharedPair..<MixtureComponents.withPrior
        guard let shared else { return multiply(successes, failures, result, scales, pairs: pairs) }
        shared.write(successes, failures, to: result + firstSharedPair, scales + firstSharedPair) {
            multiply(successes, failures, result, scales, pairs: pairs)
        }
    }

    @inline(never)
    @_optimize(speed)
    private func multiply(
        _ successes: Int, _ failures: Int, _ result: UnsafeMutablePointer<SIMD2<Double>>,
        _ scales: UnsafeMutablePointer<SIMD2<Double>>, pairs: Range<Int>
    ) {
        var pair = pairs.lowerBound
        while pair < pairs.upperBound {
            let (a, b) = shape(pair)
            var product = ScaledProduct()
            product.multiply(a, over: a + b, from: 0, to: successes)
            product.multiply(b, over: a + b + Double(successes), from: 0, to: failures)
            result[pair] = product.value
            scales[pair] = product.scale
            pair &+= 1
        }
    }

    /// Of the pairs that are a prompt's own.
    @inline(never)
    @_optimize(speed)
    private func multiplyOthers(
        _ successes: Int, _ failures: Int, _ withoutSuccess: UnsafeMutablePointer<SIMD2<Double>>,
        _ withoutFailure: UnsafeMutablePointer<SIMD2<Double>>, _ scales: UnsafeMutablePointer<SIMD2<Double>>,
        _ otherScales: UnsafeMutablePointer<SIMD2<Double>>
    ) {
        var pair = firstPair
        while pair < firstSharedPair {
            let (a, b) = shape(pair)
            var product = ScaledProduct()
            product.multiply(a, over: a + b, from: 0, to: successes &- 1)
            if successes > 0 {
                var others = product
                others.multiply(b, over: a + b + Double(successes &- 1), from: 0, to: failures)
                withoutSuccess[pair] = others.value
                scales[pair] = others.scale
                product.multiply(a, over: a + b, from: successes &- 1, to: successes)
            }
            product.multiply(b, over: a + b + Double(successes), from: 0, to: failures &- 1)
            withoutFailure[pair] = product.value
            otherScales[pair] = product.scale
            pair &+= 1
        }
    }

    /// Makes plain numbers of products, up to a common factor.
    @inline(never)
    private func bringToOneScale(
        _ values: UnsafeMutablePointer<SIMD2<Double>>, _ scales: UnsafePointer<SIMD2<Double>>
    ) {
        var largest = -Double.infinity
        var smallest = 0.0
        var pair = firstPair
        while pair < MixtureComponents.withPrior {
            largest = max(largest, max(scales[pair][0], scales[pair][1]))
            smallest = min(smallest, min(scales[pair][0], scales[pair][1]))
            pair &+= 1
        }
        if smallest == largest { return }
        pair = firstPair
        while pair < MixtureComponents.withPrior {
            let behind = scales[pair] - largest
            var factor = SIMD2<Double>(repeating: 0)
            factor.replace(with: 0x1p-500, where: behind .== -1)
            factor.replace(with: 1, where: behind .== 0)
            values[pair] *= factor
            pair &+= 1
        }
    }

    /// value 2^(500 scale), both at most 1 and 0.
    private struct ScaledProduct {
        var value = SIMD2<Double>(repeating: 1)
        var scale = SIMD2<Double>(repeating: 0)

        /// The factors (start + step) / (divisor + step), each at most 1 and at least 2^-40: so twelve of them lose nothing
        /// before they are looked at.
        @inline(never)
        @_optimize(speed)
        mutating func multiply(_ start: SIMD2<Double>, over divisor: SIMD2<Double>, from first: Int, to end: Int) {
            var step = first
            while step < end {
                let next = min(step &+ 12, end)
                while step < next {
                    let done = Double(step)
                    value *= (start + done) / (divisor + done)
                    step &+= 1
                }
                if value[0] < 0x1p-500 || value[1] < 0x1p-500 {
                    let tiny = value .< 0x1p-500
                    value.replace(with: value * 0x1p500, where: tiny)
                    scale.replace(with: scale - 1, where: tiny)
                }
            }
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

    /// Makes of likelihoods what each component accounts for; the sum of that, the posterior mean as a probability and the
    /// expected value of k / (q + k).
    @inline(never)
    @_optimize(speed)
    private func posterior(
        _ successes: Int, _ count: Int, _ likelihood: UnsafeMutablePointer<SIMD2<Double>>,
        _ weights: UnsafePointer<SIMD2<Double>>
    ) -> (sum: Double, mean: Double, weight: Double) {
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
        return (sum, (first[0] + first[1]) / sum, (ofMean[0] + ofMean[1]) / sum)
    }

    @inline(__always)
    fileprivate func value(
        _ successes: Int, _ count: Int, _ likelihood: UnsafeMutablePointer<SIMD2<Double>>,
        _ weights: UnsafePointer<SIMD2<Double>>, _ interval: Interval
    ) -> Double {
        MixtureComponents.value(posterior(successes, count, likelihood, weights).mean, interval)
    }

    @inline(__always)
    private static func value(_ probability: Double, _ interval: Interval) -> Double {
        interval.clamp(interval.low + (interval.high - interval.low) * probability)
    }

    @inline(never)
    @_optimize(speed)
    fileprivate func baseline(
        _ successes: Int, _ count: Int, _ likelihood: UnsafeMutablePointer<SIMD2<Double>>,
        _ weights: UnsafePointer<SIMD2<Double>>, _ interval: Interval
    ) -> Baseline {
        let k = Double(count)
        let (sum, mean, weight) = posterior(successes, count, likelihood, weights)
        // With many rewards all centers lie close to the observed share s / k. What they are off is
        //     (a + s) / (q + k) - s / k = (a f - b s) / (k (q + k)),
        // which loses nothing to cancellation, as their own differences would.
        let s = Double(successes)
        let f = Double(count &- successes)
        var offset = SIMD2<Double>(repeating: 0)
        var pair = firstPair
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
            weight: weight, value: MixtureComponents.value(mean, interval),
            mse: width * width * max(0, (second[0] + second[1]) / sum))
    }
}

/// The posterior mean as a baseline, the posterior variance as its mse, in reward units; the weight of the group's mean in
/// it is the expected value of k / (q + k).
@inline(never)
func mixtureBaseline(
    successes: Int, count: Int, prior: Double, _ calibration: Calibration, _ weights: UnsafePointer<MixtureNumbers>,
    interval: Interval, shared: SharedLikelihoods?
) -> Baseline {
    let components = MixtureComponents(calibration, prior: prior, interval: interval)
    var likelihood = MixtureNumbers()
    return likelihood.withMutablePairs { pairs in
        components.likelihoods(
            successes: successes, failures: count &- successes, into: pairs, shared: shared)
        return components.baseline(
            successes, count, pairs, UnsafeRawPointer(weights).assumingMemoryBound(to: SIMD2<Double>.self), interval)
    }
}

/// The value alone for the others of a row: of those without one of the group's successes and of those without one of its
/// failures. What the group has none of gives a number without meaning.
@inline(never)
func mixtureValuesOfOthers(
    successes: Int, count: Int, prior: Double, _ calibration: Calibration, _ weights: UnsafePointer<MixtureNumbers>,
    interval: Interval, shared: SharedLikelihoods?
) -> (withoutSuccess: Double, withoutFailure: Double) {
    let components = MixtureComponents(calibration, prior: prior, interval: interval)
    let weights = UnsafeRawPointer(weights).assumingMemoryBound(to: SIMD2<Double>.self)
    var withoutSuccess = MixtureNumbers()
    var withoutFailure = MixtureNumbers()
    return withoutSuccess.withMutablePairs { ofSuccess in
        withoutFailure.withMutablePairs { ofFailure in
            components.likelihoodsOfOthers(
                successes: successes, failures: count &- successes, withoutSuccess: ofSuccess,
                withoutFailure: ofFailure, shared: shared)
            return (
                components.value(successes &- 1, count &- 1, ofSuccess, weights, interval),
                components.value(successes, count &- 1, ofFailure, weights, interval)
            )
        }
    }
}
