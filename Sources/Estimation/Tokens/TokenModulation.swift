import CLibrary
import TokenPasses
import TokenPassesAVX2

public typealias TokenArrays = TokenPasses.TokenArrays
public typealias TokenChoices = TokenPasses.TokenChoices
public typealias TokenFindings = TokenPasses.TokenFindings

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
public struct ModulationStatistics {
    private let found: TokenFindings

    init(_ found: TokenFindings) { self.found = found }
    /// Of no tokens.
    public init() { found = (-1, 0, 0, 0, 0, 0, .infinity, -.infinity) }

    private var tokens: Double { Double(found.tokens) }
    public var tokenCount: Int64 { Int64(truncatingIfNeeded: found.tokens) }
    /// Share of the tokens with an advantage whose gradient the clipping of the ratio takes away.
    public var clippedShare: Double { found.tokens > 0 ? Double(found.clipped) / tokens : 0 }
    public var meanCompensation: Double { found.tokens > 0 ? 1 + found.compensation / tokens : 1 }
    public var meanStabilization: Double { found.tokens > 0 ? 1 + found.stabilization / tokens : 1 }
    /// The largest |dH|.
    public var largestChange: Double { found.largestChange }
    /// NaN without tokens.
    public var entropyRange: (smallest: Double, largest: Double) {
        found.tokens > 0 ? (found.smallestEntropy, found.largestEntropy) : (.nan, .nan)
    }
}

/// Advantages of the tokens of sequences, times two factors each:
///
///     r = e^(log p - log p_old);   I = 1 where A > 0 and r <= 1 + clip_high, or A < 0 and r >= 1 - clip_low, else 0
///     q = p (log p + H),   |dH| = I r |A| |q - mean of the sequence's q|,   x = |dH| / (largest |dH| + 1e-8)
///     stabilization = floor + (1 - floor) / (1 + e^(steepness (x - threshold)))
///     compensation  = 1 + alpha (Hmax - H) / (Hmax - Hmin + 1e-8) where A > 0, else 1
///
/// Mean, largest, Hmin and Hmax are over the tokens that the mask counts. The loops are in TokenPasses.
public struct TokenModulation<Scalar: TokenScalar> {
    private let choices: TokenChoices
    private let tokens: TokenArrays<Scalar>

    public init(
        options: ModulationOptions, sequences: Int, length: Int, advantages: UnsafePointer<Scalar>, isPerToken: Bool,
        entropy: UnsafePointer<Scalar>, logProbabilities: UnsafePointer<Scalar>,
        oldLogProbabilities: UnsafePointer<Scalar>,
        mask: UnsafePointer<UInt8>
    ) {
        choices = (
            options.alpha, options.floor, options.steepness, options.threshold, log1p(options.clipHigh),
            log1p(-options.clipLow),
            largestReward,
            // More than a log-probability can exceed 0 by rounding.
            largestLogProbability: 1
        )
        tokens = (sequences, length, advantages, isPerToken, entropy, logProbabilities, oldLogProbabilities, mask)
    }

    /// Nothing is written where an error is thrown.
    public func run(to output: UnsafeMutablePointer<Scalar>) throws(Failure) -> ModulationStatistics {
        let found = Scalar.modulate(tokens, choices, to: output)
        if found.refused >= 0 { throw refusal(in: found.refused) }
        return ModulationStatistics(found)
    }

    /// The first number of the sequence that breaks a rule.
    private func refusal(in sequence: Int) -> Failure {
        let largest = Scalar(choices.largest)
        let largestLogProbability = Scalar(choices.largestLogProbability)
        var token = sequence &* tokens.length
        let end = token &+ tokens.length
        while token < end {
            if tokens.mask[token] != 0 {
                let place = tokens.isPerToken ? token : sequence
                if !(tokens.advantages[place].magnitude <= largest) {
                    return Failure(
                        .invalidToken, "advantages[#] must be at most 1e30 in absolute value where mask counts it",
                        at: place, real: Double(tokens.advantages[place]))
                }
                if !(tokens.entropy[token].magnitude <= largest) {
                    return Failure(
                        .invalidToken, "entropy[#] must be at most 1e30 in absolute value where mask counts it",
                        at: token, real: Double(tokens.entropy[token]))
                }
                if !(tokens.logProbabilities[token] <= largestLogProbability) {
                    return Failure(
                        .invalidToken, "log_prob[#] must be a log-probability (1 at most) where mask counts it",
                        at: token, real: Double(tokens.logProbabilities[token]))
                }
                if !(tokens.oldLogProbabilities[token] <= largestLogProbability) {
                    return Failure(
                        .invalidToken, "old_log_prob[#] must be a log-probability (1 at most) where mask counts it",
                        at: token, real: Double(tokens.oldLogProbabilities[token]))
                }
            }
            token &+= 1
        }
        return Failure(.invalidToken, "the arrays changed during the call")
    }
}

/// What tokens are given in.
public protocol TokenScalar: BinaryFloatingPoint {
    static func modulate(
        _ tokens: TokenArrays<Self>, _ choices: TokenChoices, to output: UnsafeMutablePointer<Self>
    ) -> TokenFindings
}

extension Float: TokenScalar {
    public static func modulate(
        _ tokens: TokenArrays<Float>, _ choices: TokenChoices, to output: UnsafeMutablePointer<Float>
    ) -> TokenFindings {
        v05_has_avx2() != 0
            ? TokenPassesAVX2.modulate(tokens, choices, to: output) : TokenPasses.modulate(tokens, choices, to: output)
    }
}

extension Double: TokenScalar {
    public static func modulate(
        _ tokens: TokenArrays<Double>, _ choices: TokenChoices, to output: UnsafeMutablePointer<Double>
    ) -> TokenFindings {
        TokenPasses.modulate(tokens, choices, to: output)
    }
}
