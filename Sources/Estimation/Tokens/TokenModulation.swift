import CLibrary

/// The choices of DynaMO's token-level modulation of advantages (arXiv 2602.19208, method section 8). The defaults here are
/// the only place where they are written.
public struct ModulationOptions: Sendable {
    /// The most that a confident token of a positive advantage gains.
    public var alpha = 0.2
    /// Factor of a token that would change the entropy most.
    public var floor = 0.6
    public var steepness = 50.0
    /// Share of the largest change of entropy at which half of the way to the floor is gone.
    public var threshold = 0.99
    public var clipLow = 0.2
    public var clipHigh = 0.2

    public init() {}

    public func check() throws(Failure) {
        guard alpha >= 0 && alpha <= 1e6 else {
            throw Failure(.invalidOption, "alpha must lie in [0, 1e6]", real: alpha)
        }
        guard floor >= 0 && floor <= 1 else { throw Failure(.invalidOption, "floor must lie in [0, 1]", real: floor) }
        guard steepness >= 0 && steepness <= largestReward else {
            throw Failure(.invalidOption, "steepness must be finite and not negative", real: steepness)
        }
        guard threshold.magnitude <= largestReward else {
            throw Failure(.invalidOption, "threshold must be finite", real: threshold)
        }
        guard clipLow >= 0 && clipLow <= 1 else {
            throw Failure(.invalidOption, "clip_low must lie in [0, 1]", real: clipLow)
        }
        guard clipHigh >= 0 && clipHigh <= largestReward else {
            throw Failure(.invalidOption, "clip_high must be finite and not negative", real: clipHigh)
        }
    }
}

/// What became of the tokens that count.
public struct ModulationStatistics: Sendable {
    var tokens = 0.0
    /// Tokens with an advantage whose gradient the clipping of the ratio takes away.
    var clipped = 0.0
    /// Sums of the factors less 1.
    var compensation = 0.0
    var stabilization = 0.0
    /// The largest |dH|.
    public var largestChange = 0.0
    var smallestEntropy = Double.infinity
    var largestEntropy = -Double.infinity

    public init() {}

    public var tokenCount: Int64 { Int64(exactly: tokens) ?? 0 }
    /// Share of the clipped tokens.
    public var clippedShare: Double { tokens > 0 ? clipped / tokens : 0 }
    public var meanCompensation: Double { tokens > 0 ? 1 + compensation / tokens : 1 }
    public var meanStabilization: Double { tokens > 0 ? 1 + stabilization / tokens : 1 }
    /// NaN without tokens.
    public var entropyRange: (smallest: Double, largest: Double) {
        tokens > 0 ? (smallestEntropy, largestEntropy) : (.nan, .nan)
    }
}

/// Advantages of the tokens of sequences, times two factors each:
///
///     r = e^(log p - log p_old);   I = 1 where A > 0 and r <= 1 + clip_high, or A < 0 and r >= 1 - clip_low, else 0
///     q = p (log p + H),   |dH| = I r |A| |q - mean of the sequence's q|,   x = |dH| / (largest |dH| + 1e-8)
///     stabilization = floor + (1 - floor) / (1 + e^(steepness (x - threshold)))
///     compensation  = 1 + alpha (Hmax - H) / (Hmax - Hmin + 1e-8) where A > 0, else 1
///
/// Mean, largest, Hmin and Hmax are over the tokens that the mask counts. The output holds q and |dH| on the way, so that no
/// other memory is needed.
public struct TokenModulation<Four: TokenVector> {
    public typealias Scalar = Four.Scalar

    private let options: ModulationOptions
    private let sequences: Int
    private let length: Int
    private let advantages: UnsafePointer<Scalar>
    /// One advantage a token, else one a sequence.
    private let isPerToken: Bool
    private let entropy: UnsafePointer<Scalar>
    private let logProbabilities: UnsafePointer<Scalar>
    private let oldLogProbabilities: UnsafePointer<Scalar>
    private let mask: UnsafePointer<UInt8>
    /// Logarithms of the ratios 1 + clip_high and 1 - clip_low.
    private let highest: Scalar
    private let lowest: Scalar

    public init(
        options: ModulationOptions, sequences: Int, length: Int, advantages: UnsafePointer<Scalar>, isPerToken: Bool,
        entropy: UnsafePointer<Scalar>, logProbabilities: UnsafePointer<Scalar>, oldLogProbabilities: UnsafePointer<Scalar>, mask: UnsafePointer<UInt8>
    ) {
        self.options = options
        self.sequences = sequences
        self.length = length
        self.advantages = advantages
        self.isPerToken = isPerToken
        self.entropy = entropy
        self.logProbabilities = logProbabilities
        self.oldLogProbabilities = oldLogProbabilities
        self.mask = mask
        highest = Scalar(log1p(options.clipHigh))
        lowest = Scalar(log1p(-options.clipLow))
    }

    /// Nothing is written where an error is thrown.
    public func run(to output: UnsafeMutablePointer<Scalar>) throws(Failure) -> ModulationStatistics {
        var statistics = ModulationStatistics()
        var sequence = 0
        while sequence < sequences {
            if !scan(sequence, &statistics) { throw refusal(in: sequence) }
            sequence &+= 1
        }
        sequence = 0
        while sequence < sequences {
            let mean = writeContributions(sequence, output)
            writeChanges(sequence, output, mean: mean, &statistics)
            sequence &+= 1
        }
        sequence = 0
        while sequence < sequences {
            writeAdvantages(sequence, output, &statistics)
            sequence &+= 1
        }
        return statistics
    }

    /// Ratios are cut at e^20, beyond which a log-probability says nothing.
    private static var largestLogRatio: Scalar { 20 }
    /// More than a log-probability can exceed 0 by rounding.
    private static var largestLogProbability: Scalar { 1 }
    private static var largest: Scalar { Scalar(largestReward) }

    // MARK: four tokens at a time

    @inline(__always)
    private func four(_ values: UnsafePointer<Scalar>, _ token: Int, _ count: Int) -> Four {
        count >= 4 ? Four.load(values + token) : rest(values + token, count)
    }

    /// Fewer than four at the end of a sequence.
    @inline(never)
    private func rest(_ values: UnsafePointer<Scalar>, _ count: Int) -> Four {
        Four(values[0], count > 1 ? values[1] : 0, count > 2 ? values[2] : 0, 0)
    }

    /// Which of them count.
    @inline(__always)
    private func counted(_ token: Int, _ count: Int) -> Four {
        if count >= 4 { return Four.isSet(UnsafeRawPointer(mask + token).loadUnaligned(as: UInt32.self)) }
        var bytes = UInt32(mask[token])
        if count > 1 { bytes |= UInt32(mask[token &+ 1]) &<< 8 }
        if count > 2 { bytes |= UInt32(mask[token &+ 2]) &<< 16 }
        return Four.isSet(bytes)
    }

    @inline(__always)
    private func advantage(_ sequence: Int, _ token: Int, _ count: Int) -> Four {
        isPerToken ? four(advantages, token, count) : Four(advantages[sequence])
    }

    @inline(__always)
    private func write(_ values: Four, to output: UnsafeMutablePointer<Scalar>, _ token: Int, _ count: Int) {
        if count >= 4 {
            values.store(to: output + token)
        } else {
            let lanes = values.lanes
            output[token] = lanes.0
            if count > 1 { output[token &+ 1] = lanes.1 }
            if count > 2 { output[token &+ 2] = lanes.2 }
        }
    }

    /// 1 where the condition holds, else 0.
    @inline(__always)
    private func one(where condition: Four) -> Four { Four(1) & condition }

    @inline(__always)
    private func largest(_ four: Four) -> Double {
        let lanes = four.lanes
        return Double(max(max(lanes.0, lanes.1), max(lanes.2, lanes.3)))
    }

    @inline(__always)
    private func smallest(_ four: Four) -> Double {
        let lanes = four.lanes
        return Double(min(min(lanes.0, lanes.1), min(lanes.2, lanes.3)))
    }

    /// Numbers that are counted in floating point, so few at a time that none is lost.
    private static var tokensAtOnce: Int { 1 &<< 20 }

    // MARK: passes

    /// Range of the entropies; false where a token that counts has a number that is none.
    @_optimize(speed)
    @inline(never)
    private func scan(_ sequence: Int, _ statistics: inout ModulationStatistics) -> Bool {
        var smallestEntropy = Four(.infinity)
        var largestEntropy = Four(-.infinity)
        var refused = Four(0)
        var tokens = 0.0
        var token = sequence &* length
        let end = token &+ length
        while token < end {
            let part = min(end, token &+ Self.tokensAtOnce)
            var ones = Four(0)
            while token < part {
                let count = part &- token
                let counts = counted(token, count)
                let entropies = four(entropy, token, count)
                let fine = (advantage(sequence, token, count).magnitude <= Four(Self.largest))
                    & (entropies.magnitude <= Four(Self.largest))
                    & (four(logProbabilities, token, count) <= Four(Self.largestLogProbability))
                    & (four(oldLogProbabilities, token, count) <= Four(Self.largestLogProbability))
                refused = refused | (counts &~ fine)
                smallestEntropy = entropies.chosen(where: counts & (entropies < smallestEntropy), else: smallestEntropy)
                largestEntropy = entropies.chosen(where: counts & (largestEntropy < entropies), else: largestEntropy)
                ones = ones + one(where: counts)
                token &+= 4
            }
            token = part
            tokens += ones.sum
        }
        statistics.tokens += tokens
        statistics.smallestEntropy = min(statistics.smallestEntropy, smallest(smallestEntropy))
        statistics.largestEntropy = max(statistics.largestEntropy, largest(largestEntropy))
        return !refused.hasAny
    }

    /// q of every token; returns its mean over those that count.
    @_optimize(speed)
    @inline(never)
    private func writeContributions(_ sequence: Int, _ output: UnsafeMutablePointer<Scalar>) -> Scalar {
        var sum = 0.0
        var tokens = 0.0
        var token = sequence &* length
        let end = token &+ length
        while token < end {
            // Short sums lose little in single precision.
            let part = min(end, token &+ 64)
            var sums = Four(0)
            var ones = Four(0)
            while token < part {
                let count = part &- token
                let counts = counted(token, count)
                let logarithm = four(logProbabilities, token, count).atLeast(Four(Four.smallestExponent))
                let product = Four.exponential(logarithm) * (logarithm + four(entropy, token, count))
                let contribution = product & counts
                write(contribution, to: output, token, count)
                sums = sums + contribution
                ones = ones + one(where: counts)
                token &+= 4
            }
            token = part
            sum += sums.sum
            tokens += ones.sum
        }
        return tokens > 0 ? Scalar(sum / tokens) : 0
    }

    /// |dH| of every token in place of its q.
    @_optimize(speed)
    @inline(never)
    private func writeChanges(
        _ sequence: Int, _ output: UnsafeMutablePointer<Scalar>, mean: Scalar, _ statistics: inout ModulationStatistics
    ) {
        var largestChange = Four(0)
        var clipped = 0.0
        var token = sequence &* length
        let end = token &+ length
        while token < end {
            let part = min(end, token &+ Self.tokensAtOnce)
            var ones = Four(0)
            while token < part {
                let count = part &- token
                let counts = counted(token, count)
                let advantage = advantage(sequence, token, count)
                let now = four(logProbabilities, token, count)
                let difference = (now - four(oldLogProbabilities, token, count)).atMost(Four(Self.largestLogRatio))
                // No probability now: no ratio, whatever the old one was.
                let logRatio = difference.chosen(where: Four(-.infinity) < now, else: Four(-.infinity))
                let isPositive = Four(0) < advantage
                let isNegative = advantage < Four(0)
                let passes = (isPositive & (logRatio <= Four(highest))) | (isNegative & (Four(lowest) <= logRatio))
                let most = Four(.greatestFiniteMagnitude)
                let weight = (Four.exponential(logRatio) * advantage.magnitude).atMost(most)
                let product = (weight * (four(output, token, count) - Four(mean)).magnitude).atMost(most)
                let change = product & counts & passes
                write(change, to: output, token, count)
                largestChange = change.atLeast(largestChange)
                ones = ones + one(where: (counts & (isPositive | isNegative)) &~ passes)
                token &+= 4
            }
            token = part
            clipped += ones.sum
        }
        statistics.clipped += clipped
        statistics.largestChange = max(statistics.largestChange, largest(largestChange))
    }

    /// The result in place of |dH|.
    @_optimize(speed)
    @inline(never)
    private func writeAdvantages(
        _ sequence: Int, _ output: UnsafeMutablePointer<Scalar>, _ statistics: inout ModulationStatistics
    ) {
        let largestEntropy = Four(Scalar(statistics.largestEntropy))
        // Without a token that counts these are infinite, and not used.
        let gain = Four(Scalar(options.alpha / (statistics.largestEntropy - statistics.smallestEntropy + 1e-8)))
        let scale = Four(Scalar(statistics.largestChange) + 1e-8)
        let steepness = Four(Scalar(options.steepness))
        let threshold = Four(Scalar(options.threshold))
        let floor = Four(Scalar(options.floor))
        let rest = Four(Scalar(1 - options.floor))
        var token = sequence &* length
        let end = token &+ length
        while token < end {
            let part = min(end, token &+ 64)
            var compensations = Four(0)
            var stabilizations = Four(0)
            while token < part {
                let count = part &- token
                let counts = counted(token, count)
                let advantage = advantage(sequence, token, count)
                let gained = counts & (Four(0) < advantage)
                let compensation = (gain * (largestEntropy - four(entropy, token, count))) & gained
                let exponent = steepness * (four(output, token, count) / scale - threshold)
                var stabilization = Four(0)
                if (counts & (Four(Four.negligibleExponent) < exponent)).hasAny {
                    let sigmoid = rest / (Four(1) + Four.exponential(exponent))
                    stabilization = (floor + sigmoid - Four(1)) & counts
                }
                let result = advantage * (Four(1) + compensation) * (Four(1) + stabilization)
                // A masked token may have any advantage.
                write(
                    result & (result.magnitude <= Four(.greatestFiniteMagnitude)), to: output, token, count)
                compensations = compensations + compensation
                stabilizations = stabilizations + stabilization
                token &+= 4
            }
            token = part
            statistics.compensation += compensations.sum
            statistics.stabilization += stabilizations.sum
        }
    }

    /// The first number of the sequence that breaks a rule.
    private func refusal(in sequence: Int) -> Failure {
        var token = sequence &* length
        let end = token &+ length
        while token < end {
            if mask[token] != 0 {
                let place = isPerToken ? token : sequence
                if !(advantages[place].magnitude <= Self.largest) {
                    return Failure(
                        .invalidToken, "advantages[#] must be at most 1e30 in absolute value where mask counts it",
                        at: place, real: Double(advantages[place]))
                }
                if !(entropy[token].magnitude <= Self.largest) {
                    return Failure(
                        .invalidToken, "entropy[#] must be at most 1e30 in absolute value where mask counts it",
                        at: token, real: Double(entropy[token]))
                }
                if !(logProbabilities[token] <= Self.largestLogProbability) {
                    return Failure(
                        .invalidToken, "log_prob[#] must be a log-probability (1 at most) where mask counts it",
                        at: token, real: Double(logProbabilities[token]))
                }
                if !(oldLogProbabilities[token] <= Self.largestLogProbability) {
                    return Failure(
                        .invalidToken, "old_log_prob[#] must be a log-probability (1 at most) where mask counts it",
                        at: token, real: Double(oldLogProbabilities[token]))
                }
            }
            token &+= 1
        }
        return Failure(.invalidToken, "the arrays changed during the call")
    }
}
