import Estimation

/// What allocation ahead of time maximises.
public enum AllocationObjective: Int32, Sendable {
    /// The drop of gradient noise, variance / (k (k + 1)) a rollout.
    case neyman = 0
    /// DynaMO's official procedure (arXiv 2602.19208).
    case dynamo = 1
    /// V_0's utility B (1 - p) (1 - (1 - p)^(B - 1)) (arXiv 2602.03584), its exact maximum.
    case v0 = 2
    /// V_0's utility by the paper's greedy: one rollout at a time to the largest increment.
    case v0Greedy = 3
    /// The probability of a first success, E[p (1 - p)^l] a rollout (arXiv 2605.07114).
    case hit = 4
}

/// Rollouts to spread over the prompts of a step before any is generated.
public struct AllocationProblem {
    public let objective: AllocationObjective
    public let count: Int
    public let total: Int
    /// Every prompt gets at least `minimum` and at most `maximum`.
    public let minimum: Int
    public let maximum: Int
    /// DynaMO: priority = (p (1 - p))^exponent, 1 or 1/2.
    public let exponent: Double
    /// Success probabilities, NaN for none: 1/2, the one that promises most.
    let probabilities: UnsafePointer<Double>
    /// DynaMO: rollouts of each prompt seen before; nil: none.
    let seen: UnsafePointer<Int64>?
    /// Rewards that each probability is worth, not looked at where there is none; nil: it is known exactly.
    let strengths: UnsafePointer<Double>?

    public init(
        objective: AllocationObjective, count: Int, total: Int, minimum: Int, maximum: Int, exponent: Double,
        probabilities: UnsafePointer<Double>, seen: UnsafePointer<Int64>?, strengths: UnsafePointer<Double>?
    ) throws(Failure) {
        guard exponent == 1 || exponent == 0.5 else {
            throw Failure(.invalidOption, "exponent must be 1 or 0.5", real: exponent)
        }
        guard minimum >= 0 && minimum <= largestRowCount else {
            throw Failure(.invalidOption, "minimum must lie in 0 to 2147483647", integer: minimum)
        }
        guard maximum >= minimum && maximum <= largestRowCount else {
            throw Failure(.invalidOption, "maximum must be at least minimum", integers: maximum, minimum)
        }
        guard total >= 0 && total <= largestRowCount else {
            throw Failure(.invalidSize, "total must lie in 0 to 2147483647", integer: total)
        }
        guard total >= count &* minimum else {
            throw Failure(.infeasible, "total must be at least prompts * minimum", integers: total, count &* minimum)
        }
        guard total <= count &* maximum else {
            throw Failure(.infeasible, "total must be at most prompts * maximum", integers: total, count &* maximum)
        }
        var prompt = 0
        while prompt < count {
            let probability = probabilities[prompt]
            if !probability.isNaN && !(probability >= 0 && probability <= 1) {
                throw Failure(
                    .invalidProbability, "probability[#] must be NaN or lie in [0, 1]", at: prompt, real: probability)
            }
            if let seen, seen[prompt] < 0 {
                throw Failure(.invalidSize, "seen[#] must not be negative", at: prompt, integer: Int(seen[prompt]))
            }
            if let strengths, !(strengths[prompt] >= 0 && strengths[prompt] <= 1e30) {
                throw Failure(
                    .invalidPrior, "strength[#] must be finite and not negative", at: prompt, real: strengths[prompt])
            }
            prompt &+= 1
        }
        self.objective = objective
        self.count = count
        self.total = total
        self.minimum = minimum
        self.maximum = maximum
        self.exponent = exponent
        self.probabilities = probabilities
        self.seen = seen
        self.strengths = strengths
    }

    func probability(_ prompt: Int) -> Double {
        probabilities[prompt].isNaN ? 0.5 : probabilities[prompt]
    }

    /// Fills `counts`, whose sum is `total`. Only memory can run out, before anything is written.
    public func solve(_ counts: UnsafeMutablePointer<Int64>, workspace: inout Workspace) throws(Failure) {
        switch objective {
        case .dynamo:
            try DynamoAllocation(self, workspace: &workspace).solve(counts)
        case .v0:
            try UtilityAllocation(self).solveExactly(counts, workspace: &workspace)
        case .v0Greedy:
            try UtilityAllocation(self).solveGreedily(counts, workspace: &workspace)
        case .neyman, .hit:
            startAtMinimum(counts)
            let extra = total &- count &* minimum
            let left = objective == .hit
                ? try fillConcave(
                    counts, promptCount: count, total: extra, workspace: &workspace,
                    rolloutsAbove: { hits($0, above: $1) },
                    gain: { $1 < maximum ? hitGain($0, after: $1) : 0 })
                : try fillConcave(
                    counts, promptCount: count, total: extra, workspace: &workspace,
                    rolloutsAbove: {
                        noiseDropsAbove($1, variance: variance($0), from: minimum, most: maximum &- minimum)
                    },
                    gain: { $1 < maximum ? noiseDrop(variance: variance($0), after: $1) : 0 })
            spreadEvenly(left, over: counts)
        }
    }

    func startAtMinimum(_ counts: UnsafeMutablePointer<Int64>) {
        var prompt = 0
        while prompt < count {
            counts[prompt] = Int64(truncatingIfNeeded: minimum)
            prompt &+= 1
        }
    }

    /// What gains nothing anywhere: one each in order of index, again and again.
    func spreadEvenly(_ total: Int, over counts: UnsafeMutablePointer<Int64>) {
        var left = total
        while left > 0 {
            var prompt = 0
            while prompt < count && left > 0 {
                if counts[prompt] < Int64(truncatingIfNeeded: maximum) {
                    counts[prompt] &+= 1
                    left &-= 1
                }
                prompt &+= 1
            }
        }
    }

    /// E[p (1 - p)] under a Beta distribution worth `strength` rewards.
    private func variance(_ prompt: Int) -> Double {
        let p = probability(prompt)
        guard let strengths, !probabilities[prompt].isNaN else { return p * (1 - p) }
        return p * (1 - p) * (strengths[prompt] / (strengths[prompt] + 1))
    }

    /// Rollouts beyond the minimum whose E[p (1 - p)^l] exceeds a threshold, at most as many as there are to give.
    @inline(never)
    private func hits(_ prompt: Int, above threshold: Double) -> Int {
        var gain = hitGain(prompt, after: minimum)
        var rollouts = minimum
        let most = min(maximum, total &- (count &- 1) &* minimum)
        while rollouts < most && gain > threshold {
            gain *= hitRatio(prompt, after: rollouts)
            rollouts &+= 1
        }
        return rollouts &- minimum
    }

    private func hitGain(_ prompt: Int, after rollouts: Int) -> Double {
        var gain = probability(prompt)
        var rollout = 0
        while rollout < rollouts && gain > 0 {
            gain *= hitRatio(prompt, after: rollout)
            rollout &+= 1
        }
        return gain
    }

    /// B(a + 1, b + l + 1) / B(a + 1, b + l) = (b + l) / (a + b + l + 1)
    private func hitRatio(_ prompt: Int, after rollouts: Int) -> Double {
        let failure = 1 - probability(prompt)
        guard let strengths, !probabilities[prompt].isNaN else { return failure }
        let strength = strengths[prompt]
        return (failure * strength + Double(rollouts)) / (strength + Double(rollouts) + 1)
    }
}

/// variance / (k (k + 1)): what the rollout after k takes off the noise of a prompt's gradient.
func noiseDrop(variance: Double, after rollouts: Int) -> Double {
    let k = Double(rollouts)
    return k > 0 ? variance / (k * (k + 1)) : (variance > 0 ? .infinity : 0)
}

/// Rollouts beyond `from` whose noise drop exceeds a threshold, at most `most`.
@inline(never) @_optimize(speed)
func noiseDropsAbove(_ threshold: Double, variance: Double, from: Int, most: Int) -> Int {
    if most <= 0 || variance <= 0 { return 0 }
    // k (k + 1) < variance / threshold: exact but for rounding.
    let bound = (variance / threshold).squareRoot() - Double(from)
    var rollouts = bound < Double(most) ? (bound > 0 ? Int(exactly: bound.rounded(.towardZero)) ?? 0 : 0) : most
    while rollouts < most && noiseDrop(variance: variance, after: from &+ rollouts) > threshold { rollouts &+= 1 }
    while rollouts > 0 && !(noiseDrop(variance: variance, after: from &+ rollouts &- 1) > threshold) { rollouts &-= 1 }
    return rollouts
}
