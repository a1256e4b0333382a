/// Whether a calibration or mixture of earlier batches holds on this one (method section 5c).
///
/// Each group whose rewards have a spread says how much larger the squared error of the fitted baseline is than that of the
/// mean, both made from the others of each row in turn: an unbiased estimate. The fit is given up for a group where the sum over
/// all OTHER groups exceeds a one-sided limit of 1.645 standard errors, so that no baseline depends on a reward that it is
/// for.
struct FitCheck {
    private static var standardErrors: Double { 1.645 }

    /// Each group's difference of squared errors; NaN where there is none.
    private let differences: UnsafeMutablePointer<Double>
    /// What the squares of the differences must be expected to be where the fit is right.
    private let expected: UnsafeMutablePointer<Double>
    private var count = 0.0
    private var sum = 0.0
    private var squares = 0.0
    private var expectedSquares = 0.0

    static func workspaceSize(groupCount: Int) -> Int { 3 &* Workspace.size(of: Double.self, count: groupCount) }

    init(
        _ groups: UnsafePointer<GroupSummary>, groupCount: Int, _ estimator: BaselineEstimator,
        workspace: inout Workspace
    ) throws(Failure) {
        differences = try workspace.take(Double.self, count: groupCount)
        expected = try workspace.take(Double.self, count: groupCount)
        let terms = try workspace.take(Double.self, count: groupCount)
        count = withUnsafePointer(to: estimator) { [differences, expected] estimator in
            FitCheck.measure(groups, groupCount, estimator, differences, expected, terms)
        }
        sum = reproducibleSum(terms, count: groupCount)
        expectedSquares = reproducibleSum(expected, count: groupCount)
        var group = 0
        while group < groupCount {
            terms[group] *= terms[group]
            group &+= 1
        }
        squares = reproducibleSum(terms, count: groupCount)
    }

    /// Returns how many groups have a difference; `terms` become the differences, 0 for the other groups.
    @inline(never)
    private static func measure(
        _ groups: UnsafePointer<GroupSummary>, _ groupCount: Int, _ estimator: UnsafePointer<BaselineEstimator>,
        _ differences: UnsafeMutablePointer<Double>, _ expected: UnsafeMutablePointer<Double>,
        _ terms: UnsafeMutablePointer<Double>
    ) -> Double {
        let interval = estimator.pointee.options.interval
        let width = interval.high - interval.low
        let variance = estimator.pointee.calibration.rewardVariance
        var count = 0.0
        var group = 0
        while group < groupCount {
            let hasSpread = groups[group].hasSpread
            if hasSpread {
                let (k, others) = (groups[group].effectiveCount, FitCheck.others(groups[group]))
                differences[group] = difference(groups[group], estimator)
                // One reward unlike the others gives the mean (width / k)^2 k / (k - 1) of error; that is rare where the
                // mean is good, and a batch without any must not be taken for proof.
                expected[group] = variance * width * width / (k * others * others)
                count += 1
            } else {
                differences[group] = .nan
                expected[group] = 0
            }
            terms[group] = hasSpread ? differences[group] : 0
            group &+= 1
        }
        return count
    }

    /// What the others of a row are worth. Where one row has most of the weight k_e - 1 is far below what they are: one
    /// reward is there.
    @inline(__always)
    private static func others(_ group: GroupSummary) -> Double { max(group.effectiveCount - 1, 1) }

    /// Whether the fit loses against the mean on all groups but this one, whose rewards must have a spread.
    func refuses(_ group: Int) -> Bool {
        let own = differences[group]
        if own.isNaN || count < 2 { return false }
        let others = count - 1
        let excess = sum - own
        if excess <= 0 { return false }
        let seen = squares - own * own - excess * excess / others
        return excess > FitCheck.standardErrors * max(seen, expectedSquares - expected[group]).squareRoot()
    }

    /// Mean over the rows of (r - b)^2 - (r - m)^2, with the fitted baseline b and the mean m of the other rewards of the group.
    @inline(__always)
    private static func difference(_ group: GroupSummary, _ estimator: UnsafePointer<BaselineEstimator>) -> Double {
        let others = FitCheck.others(group)
        if estimator.pointee.rule == .mixture {
            // Two kinds of rows, and so two baselines.
            let interval = estimator.pointee.options.interval
            let mean = Double(group.successes) / Double(group.count)
            func squares(_ success: Double, _ successes: Int) -> Double {
                let sample = Sample(
                    count: group.count &- 1, center: .nan, successes: successes, prior: group.prior)
                let baseline = interval.probability(of: estimator.baseline(sample, check: .none).value)
                let ofOthers = Double(successes) / others
                return (success - baseline) * (success - baseline) - (success - ofOthers) * (success - ofOthers)
            }
            let width = interval.high - interval.low
            let ofSuccesses = group.successes > 0 ? mean * squares(1, group.successes &- 1) : 0
            let ofFailures = group.successes < group.count ? (1 - mean) * squares(0, group.successes) : 0
            return width * width * (ofSuccesses + ofFailures)
        }
        // For a shrunk mean the same in closed form: the squared bias of the center, less what its weight saves of the noise.
        let variance = group.sumOfSquares / (group.effectiveCount - 1)
        let some = Sample(
            count: group.count &- 1, effectiveCount: others, center: group.mean, successes: 0, prior: group.prior)
        let none = Sample(count: 0, center: .nan, successes: 0, prior: group.prior)
        let weight = estimator.baseline(some, check: .none).weight
        let deviation = group.mean - estimator.baseline(none, check: .none).value
        return (1 - weight) * (1 - weight) * (deviation * deviation - variance / group.effectiveCount)
            - (1 - weight * weight) * variance / others
    }
}
