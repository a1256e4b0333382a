// The loops over tokens (TokenModulation in Estimation has the formulas). This source is compiled twice, TokenPassesAVX2 being
// links to it: once for every processor, once for those with AVX2. So that no function of one is ever taken for the same
// function of the other, it shares no generic code with anything: what goes in and out are tuples, which are the same type
// in both modules.

public typealias TokenArrays<Scalar> = (
    sequences: Int, length: Int,
    advantages: UnsafePointer<Scalar>,
    /// One advantage a token, else one a sequence.
    isPerToken: Bool,
    entropy: UnsafePointer<Scalar>, logProbabilities: UnsafePointer<Scalar>, oldLogProbabilities: UnsafePointer<Scalar>,
    mask: UnsafePointer<UInt8>
)

public typealias TokenChoices = (
    alpha: Double, floor: Double, steepness: Double, threshold: Double,
    /// Logarithms of the ratios 1 + clip_high and 1 - clip_low.
    highestLogRatio: Double, lowestLogRatio: Double,
    /// The largest absolute value of an advantage or entropy, and the largest log-probability.
    largest: Double, largestLogProbability: Double
)

public typealias TokenFindings = (
    /// A sequence with a number that breaks a rule, -1 for none.
    refused: Int,
    tokens: Int, clipped: Int,
    /// Sums of the factors less 1.
    compensation: Double, stabilization: Double,
    largestChange: Double, smallestEntropy: Double, largestEntropy: Double
)

struct SequencePasses<Vector: TokenVector> {
    typealias Scalar = Vector.Scalar

    private let tokens: TokenArrays<Scalar>
    private let choices: TokenChoices

    @inline(__always)
    init(_ tokens: TokenArrays<Scalar>, _ choices: TokenChoices) {
        self.tokens = tokens
        self.choices = choices
    }

    /// Nothing is written where a sequence is refused. The output holds q and |dH| on the way, so that no other memory is
    /// needed.
    @inline(__always)
    func run(to output: UnsafeMutablePointer<Scalar>) -> TokenFindings {
        var state = State()
        var sequence = 0
        while sequence < tokens.sequences {
            run(.scan, of: sequence, output, &state)
            if state.isRefused {
                state.findings.refused = sequence
                return state.findings
            }
            sequence &+= 1
        }
        sequence = 0
        while sequence < tokens.sequences {
            state.sum = 0
            state.counted = 0
            run(.contributions, of: sequence, output, &state)
            run(.changes, of: sequence, output, &state)
            sequence &+= 1
        }
        sequence = 0
        while sequence < tokens.sequences {
            run(.advantages, of: sequence, output, &state)
            sequence &+= 1
        }
        return state.findings
    }

    private enum Pass {
        case scan
        case contributions
        case changes
        case advantages
    }

    /// What passes find.
    private struct State {
        var findings: TokenFindings = (-1, 0, 0, 0, 0, 0, .infinity, -.infinity)
        var isRefused = false
        /// Of the contributions of the present sequence, and how many they are.
        var sum = 0.0
        var counted = 0
    }

    @inline(never)
    private func run(_ pass: Pass, on part: Part, _ state: inout State) {
        switch pass {
        case .scan: if !scan(part, &state.findings) { state.isRefused = true }
        case .contributions: writeContributions(part, &state.sum, &state.counted)
        case .changes:
            let mean = state.counted > 0 ? Scalar(state.sum / Double(state.counted)) : 0
            writeChanges(part, mean, &state.findings)
        case .advantages: writeAdvantages(part, &state.findings)
        }
    }

    // MARK: parts of a sequence

    /// Neighbouring tokens of one sequence, whole vectors.
    private struct Part {
        var count: Int
        var advantages: UnsafePointer<Scalar>
        var entropy: UnsafePointer<Scalar>
        var logProbabilities: UnsafePointer<Scalar>
        var oldLogProbabilities: UnsafePointer<Scalar>
        var mask: UnsafePointer<UInt8>
        var output: UnsafeMutablePointer<Scalar>
    }

    /// All whole vectors of a sequence, then what is left, filled up with tokens that do not count.
    @inline(never)
    private func run(
        _ pass: Pass, of sequence: Int, _ output: UnsafeMutablePointer<Scalar>, _ state: inout State
    ) {
        let start = sequence &* tokens.length
        let rest = tokens.length & (Vector.lanes &- 1)
        let whole = Part(
            count: tokens.length &- rest, advantages: tokens.advantages + (tokens.isPerToken ? start : sequence),
            entropy: tokens.entropy + start, logProbabilities: tokens.logProbabilities + start,
            oldLogProbabilities: tokens.oldLogProbabilities + start, mask: tokens.mask + start, output: output + start)
        if whole.count > 0 { run(pass, on: whole, &state) }
        if rest == 0 { return }
        let writes = pass != .scan
        var padding = (Vector(0), Vector(0), Vector(0), Vector(0), Vector(0), Vector(0))
        withUnsafeMutableBytes(of: &padding) { memory in
            guard let base = memory.baseAddress else { return }
            let part = padded(whole, rest, copiesOutput: writes, in: base)
            run(pass, on: part, &state)
            if writes { Self.copy(UnsafePointer(part.output), to: whole.output + whole.count, rest) }
        }
    }

    /// The tokens behind a part, copied to the memory of six vectors that are 0.
    @inline(never)
    private func padded(_ whole: Part, _ rest: Int, copiesOutput: Bool, in memory: UnsafeMutableRawPointer) -> Part {
        func filled(_ place: Int, _ values: UnsafePointer<Scalar>) -> UnsafeMutablePointer<Scalar> {
            let copy = (memory + place &* MemoryLayout<Vector>.stride).assumingMemoryBound(to: Scalar.self)
            Self.copy(values + whole.count, to: copy, rest)
            return copy
        }
        var part = whole
        part.count = Vector.lanes
        if tokens.isPerToken { part.advantages = UnsafePointer(filled(0, whole.advantages)) }
        part.entropy = UnsafePointer(filled(1, whole.entropy))
        part.logProbabilities = UnsafePointer(filled(2, whole.logProbabilities))
        part.oldLogProbabilities = UnsafePointer(filled(3, whole.oldLogProbabilities))
        if copiesOutput { part.output = filled(4, UnsafePointer(whole.output)) }
        let mask = (memory + 5 &* MemoryLayout<Vector>.stride).assumingMemoryBound(to: UInt8.self)
        Self.copy(whole.mask + whole.count, to: mask, rest)
        part.mask = UnsafePointer(mask)
        return part
    }

    @inline(__always)
    private static func copy<Element>(
        _ source: UnsafePointer<Element>, to target: UnsafeMutablePointer<Element>, _ count: Int
    ) {
        var index = 0
        while index < count {
            target[index] = source[index]
            index &+= 1
        }
    }

    @inline(__always)
    private func advantages(_ part: Part, _ token: Int) -> Vector {
        tokens.isPerToken ? Vector.load(part.advantages + token) : Vector(part.advantages[0])
    }

    // MARK: passes

    /// Ratios are cut at e^20, beyond which a log-probability says nothing.
    private static var largestLogRatio: Scalar { 20 }
    /// So many tokens are added up in the precision of the tokens; so short a sum loses little.
    private static var tokensOfShortSum: Int { 64 }
    /// So many are counted in the lanes, which have 32 bits.
    private static var tokensOfCount: Int { 1 &<< 30 }

    /// Range of the entropies; false where a token that counts has a number that is none.
    @_optimize(speed)
    @inline(never)
    private func scan(_ part: Part, _ findings: inout TokenFindings) -> Bool {
        let largest = Vector(Scalar(choices.largest))
        let largestLogProbability = Vector(Scalar(choices.largestLogProbability))
        var smallestEntropy = Vector(.infinity)
        var largestEntropy = Vector(-.infinity)
        var refused = Vector(0)
        var token = 0
        while token < part.count {
            let end = min(part.count, token &+ Self.tokensOfCount)
            var hidden = Vector(0)
            findings.tokens &+= end &- token
            while token < end {
                let isHidden = Vector.isZero(part.mask + token)
                let entropies = Vector.load(part.entropy + token)
                let isFine =
                    (advantages(part, token).magnitude <= largest) & (entropies.magnitude <= largest)
                    & (Vector.load(part.logProbabilities + token) <= largestLogProbability)
                    & (Vector.load(part.oldLogProbabilities + token) <= largestLogProbability)
                refused = refused | ((isFine | isHidden).complement)
                // NaN where hidden, which no limit takes.
                let counted = entropies | isHidden
                smallestEntropy = counted.atMost(smallestEntropy)
                largestEntropy = counted.atLeast(largestEntropy)
                hidden = hidden.counting(isHidden)
                token &+= Vector.lanes
            }
            findings.tokens &-= hidden.count
        }
        findings.smallestEntropy = min(findings.smallestEntropy, smallestEntropy.smallest)
        findings.largestEntropy = max(findings.largestEntropy, largestEntropy.largest)
        return !refused.hasAny
    }

    /// q of every token; adds up those that count.
    @_optimize(speed)
    @inline(never)
    private func writeContributions(_ part: Part, _ sum: inout Double, _ counted: inout Int) {
        var token = 0
        while token < part.count {
            let end = min(part.count, token &+ Self.tokensOfShortSum)
            var sums = Vector(0)
            var hidden = Vector(0)
            counted &+= end &- token
            while token < end {
                let isHidden = Vector.isZero(part.mask + token)
                let logarithm = Vector.load(part.logProbabilities + token).atLeast(Vector(Vector.smallestExponent))
                let product = Vector.exponential(logarithm) * (logarithm + Vector.load(part.entropy + token))
                let contribution = product &~ isHidden
                contribution.store(to: part.output + token)
                sums = sums + contribution
                hidden = hidden.counting(isHidden)
                token &+= Vector.lanes
            }
            sum += sums.sum
            counted &-= hidden.count
        }
    }

    /// |dH| of every token in place of its q.
    @_optimize(speed)
    @inline(never)
    private func writeChanges(_ part: Part, _ mean: Scalar, _ findings: inout TokenFindings) {
        let highest = Vector(Scalar(choices.highestLogRatio))
        let lowest = Vector(Scalar(choices.lowestLogRatio))
        let largestLogRatio = Vector(Self.largestLogRatio)
        let most = Vector(.greatestFiniteMagnitude)
        let mean = Vector(mean)
        var largestChange = Vector(0)
        var token = 0
        while token < part.count {
            let end = min(part.count, token &+ Self.tokensOfCount)
            var clipped = Vector(0)
            while token < end {
                let isHidden = Vector.isZero(part.mask + token)
                let advantage = advantages(part, token)
                let difference =
                    Vector.load(part.logProbabilities + token) - Vector.load(part.oldLogProbabilities + token)
                // NaN, no probability now nor before, stays NaN and counts like a ratio of 0.
                let logRatio = largestLogRatio.atMost(difference)
                let isPositive = Vector(0) < advantage
                let isNegative = advantage < Vector(0)
                let passes = (isPositive &~ (highest < logRatio)) | (isNegative & (lowest <= logRatio))
                let weight = (Vector.exponential(logRatio) * advantage.magnitude).atMost(most)
                let product = (weight * (Vector.load(part.output + token) - mean).magnitude).atMost(most)
                let change = (product & passes) &~ isHidden
                change.store(to: part.output + token)
                largestChange = change.atLeast(largestChange)
                clipped = clipped.counting((isPositive | isNegative) &~ (passes | isHidden))
                token &+= Vector.lanes
            }
            findings.clipped &+= clipped.count
        }
        findings.largestChange = max(findings.largestChange, largestChange.largest)
    }

    /// The result in place of |dH|.
    @_optimize(speed)
    @inline(never)
    private func writeAdvantages(_ part: Part, _ findings: inout TokenFindings) {
        let largestEntropy = Vector(Scalar(findings.largestEntropy))
        // Without a token that counts these are infinite, and not used.
        let gain = Vector(Scalar(choices.alpha / (findings.largestEntropy - findings.smallestEntropy + 1e-8)))
        let scale = Vector(Scalar(findings.largestChange) + 1e-8)
        let steepness = Vector(Scalar(choices.steepness))
        let threshold = Vector(Scalar(choices.threshold))
        let floor = Vector(Scalar(choices.floor))
        let rest = Vector(Scalar(1 - choices.floor))
        let negligible = Vector(Vector.negligibleExponent)
        let most = Vector(.greatestFiniteMagnitude)
        let one = Vector(1)
        var token = 0
        while token < part.count {
            let end = min(part.count, token &+ Self.tokensOfShortSum)
            var compensations = Vector(0)
            var stabilizations = Vector(0)
            while token < end {
                let isHidden = Vector.isZero(part.mask + token)
                let advantage = advantages(part, token)
                let gained = (Vector(0) < advantage) &~ isHidden
                let compensation = (gain * (largestEntropy - Vector.load(part.entropy + token))) & gained
                let exponent = steepness * (Vector.load(part.output + token) / scale - threshold)
                var stabilization = Vector(0)
                if ((negligible < exponent) &~ isHidden).hasAny {
                    let sigmoid = rest / (one + Vector.exponential(exponent))
                    stabilization = (floor + sigmoid - one) &~ isHidden
                }
                let result = advantage * (one + compensation) * (one + stabilization)
                // A masked token may have any advantage.
                (result & (result.magnitude <= most)).store(to: part.output + token)
                compensations = compensations + compensation
                stabilizations = stabilizations + stabilization
                token &+= Vector.lanes
            }
            findings.compensation += compensations.sum
            findings.stabilization += stabilizations.sum
        }
    }
}
