import Estimation

/// How much one more rollout of a prompt is expected to be worth.
public enum AllocationRule: Int32, Sendable {
    /// One-step look-ahead on the risk mse(k) + cost k (arXiv 2603.10848, method section 3).
    case osla = 0
    /// Expected drop of the prompt's gradient noise (method section 7).
    case neyman = 1
}

/// What OSLA holds fixed when it looks one rollout ahead.
public enum LookAhead: Int32, Sendable {
    /// The estimated squared bias of the prior.
    case sameBias = 0
    /// The mean of the rewards; the bias is estimated anew.
    case sameMean = 1
    /// The derivative of mse by k in place of the difference.
    case derivative = 2
}

/// The choices of a sequential allocator. The defaults here are the only place where they are written.
public struct AllocatorOptions: Sendable {
    public var rule = AllocationRule.osla
    public var lookAhead = LookAhead.sameBias
    public var interval = Interval(low: 0, high: 1)
    /// Rollouts that every prompt gets first.
    public var initial = 4
    public var maximum = 16
    /// The same for prompts without prior, of which every rollout seems worth its cost; negative: as the others.
    public var maximumWithoutPrior = -1
    /// The most that a prompt that goes on asks for at once.
    public var wave = 1
    /// Gain that a further rollout must exceed, squared reward units; NaN: h^2 / maximum^2, or 0 for neyman with a budget.
    public var cost = Double.nan
    /// Rollouts of all prompts together; negative: no limit.
    public var budget = -1
    public init() {}

    /// With a budget, neyman spends it where it gains most by what is known.
    var sharesBudget: Bool { rule == .neyman && budget >= 0 }

    var effectiveCost: Double {
        if !cost.isNaN { return cost }
        if sharesBudget { return 0 }
        let h = interval.halfRange
        return h * h / (Double(maximum) * Double(maximum))
    }

    func check() throws(Failure) {
        guard initial >= 1 && initial <= largestRowCount else {
            throw Failure(.invalidOption, "initial must be at least 1", integer: initial)
        }
        guard maximum >= initial && maximum <= largestRowCount else {
            throw Failure(.invalidOption, "maximum must be at least initial", integers: maximum, initial)
        }
        guard maximumWithoutPrior < 0 || maximumWithoutPrior >= initial && maximumWithoutPrior <= largestRowCount else {
            throw Failure(
                .invalidOption, "maximum_without_prior must be at least initial", integers: maximumWithoutPrior, initial
            )
        }
        guard wave >= 1 && wave <= largestRowCount else {
            throw Failure(.invalidOption, "wave must be at least 1", integer: wave)
        }
        guard cost.isNaN || (cost >= 0 && cost <= .greatestFiniteMagnitude) else {
            throw Failure(.invalidOption, "cost must be finite and not negative", real: cost)
        }
    }
}
