/// How the baseline of a prompt is made from its rewards and its prior value.
public enum BaselineRule: Int32, Sendable {
    /// Mean and prior fused by the plug-in weight of arXiv 2603.10848 (method section 1).
    case v05 = 0
    /// Empirical Bayes: the batch tells how good its priors are (section 5).
    case calibrated = 1
    /// The mean of the group, as in GRPO (arXiv 2402.03300).
    case grpo = 2
    /// The mean of the other rewards of the group (REINFORCE leave-one-out, arXiv 2402.14740).
    case rloo = 3
    /// Shrinkage to the mean of the batch, no prior (James-Stein; arXiv 2511.03710).
    case jamesStein = 4
    /// The prior value alone.
    case prior = 5
    /// The median of the group (arXiv 2601.22582).
    case median = 6
    /// The history of the prompt, counted as a Beta prior, merged with the group (arXiv 2603.18444).
    case discountedBeta = 7
    /// Two-valued rewards: a mixture of Beta distributions whose weights the batch tells (section 5b).
    case mixture = 8

    /// Whether the rule's variance bound or clipping rests on the rewards lying in the interval.
    var reliesOnInterval: Bool {
        self == .v05 || self == .calibrated || self == .discountedBeta || self == .mixture
    }

    var needsCalibration: Bool { self == .calibrated || self == .jamesStein || self == .mixture }

    /// What takes the place of the rule where there is too little to calibrate.
    var withoutCalibration: BaselineRule {
        switch self {
        case .calibrated, .mixture: return .v05
        case .jamesStein: return .grpo
        default: return self
        }
    }
}

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

    public init() {}

    /// What a counted reward must lie in.
    var acceptedRewards: ClosedRange<Double> {
        rule.reliesOnInterval ? interval.widened : ClosedRange(uncheckedBounds: (-largestReward, largestReward))
    }

    var usesLeaveOneOut: Bool { leaveOneOut || rule == .rloo }

    /// Rewards have a meaning only as successes and failures.
    var needsTwoValues: Bool { test == .exact || rule == .mixture }
}
