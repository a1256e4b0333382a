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

/// What DynaMO shares rollouts by; v05_priority in v05.h has the formulas.
public enum Priority: Int32, Sendable {
    /// That of the authors' code.
    case official = 0
    /// The paper's unbiased variance.
    case paper = 1
    case probability = 2
}

/// Rollouts to spread over the prompts of a step before any is generated.
public struct AllocationProblem {
    public let objective: AllocationObjective
    public let count: Int
    public let total: Int
    /// Every prompt gets at least `minimum` and at most `maximum`.
    public let minimum: Int
    public let maximum: Int
    public let priority: Priority
    /// Of the priority probability, (p (1 - p))^exponent: 1 or 1/2.
    public let exponent: Double
    /// Success probabilities, NaN for none: 1/2, the one that promises most.
    let probabilities: UnsafePointer<Double>
    /// DynaMO: rollouts of each prompt seen before.
    let seen: UnsafePointer<Int64>?
    /// Rewards that each probability is worth, not looked at where there is none; nil: it is known exactly.
    let strengths: UnsafePointer<Double>?

    public init(
        objective: AllocationObjective, count: Int, total: Int, minimum: Int, maximum: Int, priority: Priority,
        exponent: Double, probabilities: UnsafePointer<Double>, seen: UnsafePointer<Int64>?,
        strengths: UnsafePointer<Double>?
    ) throws(Failure) {
        guard exponent == 1 || exponent == 0.5 else {
            throw Failure(.invalidOption, "exponent must be 1 or 0.5", real: exponent)
        }
        guard exponent == 1 || priority == .probability else {
            throw Failure(.invalidOption, "exponent must be 1 but for the priority probability", real: exponent)
        }
        guard priority != .paper || objective != .dynamo || seen != nil || count == 0 else {
            throw Failure(.invalidOption, "seen must be given for the priority paper")
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
        self.priority = priority
        self.exponent = exponent
        self.probabilities = probabilities
        self.seen = seen
        self.strengths = strengths
    }

    func probability(_ prompt: Int) -> Double {
        probabilities[prompt].isNaN ? 0.5 : probabilities[prompt]
    }

    /// Rewards that a probability is worth; nil where it is known exactly.
    func strength(_ prompt: Int) -> Double? {
        guard let strengths, !probabilities[prompt].isNaN else { return nil }
        return strengths[prompt]
    }

    /// What gains nothing anywhere: one each in order of index, again and again.
    func spreadEvenly(_ total: Int, over counts: UnsafeMutablePointer<Int64>) {
        if total <= 0 { return }
        _ = fillByLevel(
            total, promptCount: count, highest: maximum,
            amount: { min($1, maximum &- Int(truncatingIfNeeded: counts[$0])) },
            give: { counts[$0] &+= Int64(truncatingIfNeeded: $1) })
    }
}
