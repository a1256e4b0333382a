/// How good the priors of a training run are: the Fay-Herriot area-level model (method section 5)
///
///     mean_i ~ intercept + slope prior_i + u_i + e_i,   Var u = priorVariance,   Var e_i = rewardVariance / k_i
///
/// A value: fitted on one batch, or solved from the moments of several, and applied to the next.
public struct Calibration: Sendable {
    /// a, in reward units.
    public var intercept: Double
    /// beta, in 0...1.5.
    public var slope: Double
    /// tau^2: variance of the true values around the calibrated prior.
    public var priorVariance: Double
    /// s^2: variance of a reward around the true value of its prompt, pooled within the groups.
    public var rewardVariance: Double
    /// Weighted mean of all groups: the center for groups without prior.
    public var grandMean: Double
    /// Variance of the true values around the grand mean.
    public var betweenVariance: Double
    /// Groups with a prior and two rewards or more that it rests on; discounted in a running calibration.
    public var groups: Double
    /// Groups with two rewards or more, with or without prior.
    public var totalGroups: Double

    public init(
        intercept: Double, slope: Double, priorVariance: Double, rewardVariance: Double, grandMean: Double,
        betweenVariance: Double, groups: Double, totalGroups: Double
    ) {
        self.intercept = intercept
        self.slope = slope
        self.priorVariance = priorVariance
        self.rewardVariance = rewardVariance
        self.grandMean = grandMean
        self.betweenVariance = betweenVariance
        self.groups = groups
        self.totalGroups = totalGroups
    }

    /// Rests on nothing.
    public static let empty = Calibration(
        intercept: 0, slope: 0, priorVariance: 0, rewardVariance: 0, grandMean: 0, betweenVariance: 0, groups: 0,
        totalGroups: 0)

    /// With fewer groups than this a calibration says too little to be used.
    static let fewestGroups = 8.0

    public func supports(_ rule: BaselineRule) -> Bool {
        (rule == .jamesStein ? totalGroups : groups) >= Calibration.fewestGroups
    }

    /// Keeps a caller's calibration from carrying NaN, infinities or negative variances into advantages.
    public func check() throws(Failure) {
        let means = max(max(intercept.magnitude, slope.magnitude), grandMean.magnitude)
        let largest = max(max(priorVariance, betweenVariance), max(rewardVariance, max(groups, totalGroups)))
        let smallest = min(min(priorVariance, betweenVariance), min(rewardVariance, min(groups, totalGroups)))
        let hasNaN =
            intercept.isNaN || slope.isNaN || grandMean.isNaN || priorVariance.isNaN || betweenVariance.isNaN
            || rewardVariance.isNaN || groups.isNaN || totalGroups.isNaN
        // A fit to rewards of the largest size can exceed that size.
        let limit = 10 * largestReward
        if hasNaN || means > limit || largest > limit * limit {
            throw Failure(
                .invalidCalibration, "calibration must hold means of at most 1e31 and variances of at most 1e62")
        }
        if smallest < 0 {
            throw Failure(.invalidCalibration, "calibration must not hold a negative variance or number of groups")
        }
    }
}
