/// How the advantages are scaled (method section 4).
public enum AdvantageScale: Int32, Sendable {
    case none = 0
    /// Divided by the standard deviation of the group's rewards plus epsilon.
    case group = 1
    /// Divided by the standard deviation of all counted rewards plus epsilon.
    case batch = 2
}

/// What a group of one gets where no prior helps: its baseline would be its own reward or would not exist.
public enum SingletonConvention: Int32, Sendable {
    /// Advantage 0 (TRL, NeMo-RL, ms-swift).
    case zero = 0
    /// Baseline 0 and standard deviation 1 (verl, SkyRL, rLLM).
    case raw = 1
}

/// Which test decides whether the rewards contradict the prior (method section 2).
public enum PriorTestKind: Int32, Sendable {
    /// Squared deviation against the worst-case variance of the mean.
    case bound = 0
    /// Two-sided binomial test at a level, for two-valued rewards.
    case exact = 1
}

/// The choices of one call. The defaults here are the only place where they are written.
public struct EstimationOptions: Sendable {
    public var rule = BaselineRule.v05
    public var interval = Interval(low: 0, high: 1)
    public var leaveOneOut = false
    public var scale = AdvantageScale.none
    /// Delta degrees of freedom of the standard deviation: 0 or 1.
    public var ddof = 1
    public var epsilon = 1e-6
    public var singleton = SingletonConvention.zero
    public var test = PriorTestKind.bound
    public var level = 0.05
    /// Whether what was fitted on earlier batches must hold on this one (method section 5c).
    public var checksFit = true

    public init() {}

    public func check() throws(Failure) {
        guard ddof == 0 || ddof == 1 else { throw Failure(.invalidOption, "ddof must be 0 or 1", integer: ddof) }
        guard epsilon >= 0 && epsilon <= .greatestFiniteMagnitude else {
            throw Failure(.invalidOption, "epsilon must be finite and not negative", real: epsilon)
        }
        guard level >= 0 && level <= 1 else { throw Failure(.invalidOption, "level must lie in [0, 1]", real: level) }
    }

    /// Weights have no meaning where rewards are counted as successes or put in order.
    func checkTakesWeights() throws(Failure) {
        if rule == .mixture {
            throw Failure(.invalidOption, "weights must not be given with the rule mixture (calibrated takes them)")
        }
        if rule == .median { throw Failure(.invalidOption, "weights must not be given with the rule median") }
        if test == .exact { throw Failure(.invalidOption, "weights must not be given with the exact test") }
    }

    /// What a counted reward must lie in.
    var acceptedRewards: ClosedRange<Double> {
        rule.reliesOnInterval ? interval.widened : ClosedRange(uncheckedBounds: (-largestReward, largestReward))
    }

    var usesLeaveOneOut: Bool { leaveOneOut || rule == .rloo || rule == .jspo }

    /// Rewards have a meaning only as successes and failures.
    var needsTwoValues: Bool { test == .exact || rule == .mixture }
}
