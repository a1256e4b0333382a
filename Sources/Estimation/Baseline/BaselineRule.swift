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
    /// The mean of the rewards of all other groups (section 14).
    case batchMean = 9
    /// The mean of the others of the group, shrunk to the mean of the other groups by what these say (arXiv 2511.03710).
    case jspo = 10

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
