/// What the other groups of a batch say of a mean: `Shrinkage` without each group in turn. Groups whose rewards have a spread
/// take part.
struct OtherPrompts {
    private let groups: UnsafePointer<GroupSummary>
    private let groupCount: Int
    private let epsilon: Double
    private let terms: UnsafeMutablePointer<Double>
    /// Of all of them: how many, sums of their means, of the means' magnitudes and sampling variances, mean, and squared
    /// deviations from it.
    private var count = 0.0
    private var means = 0.0
    private var magnitudes = 0.0
    private var variances = 0.0
    private var mean = 0.0
    private var squares = 0.0

    static func workspaceSize(groupCount: Int) -> Int { Workspace.size(of: Double.self, count: groupCount) }

    init(
        _ groups: UnsafePointer<GroupSummary>, groupCount: Int, epsilon: Double, workspace: inout Workspace
    ) throws(Failure) {
        self.groups = groups
        self.groupCount = groupCount
        self.epsilon = epsilon
        terms = try workspace.take(Double.self, count: groupCount)
        count = sum(.one)
        means = sum(.mean)
        magnitudes = sum(.magnitude)
        variances = sum(.variance)
        mean = count > 0 ? means / count : 0
        squares = sum(.squaredDeviation(from: mean))
    }

    /// How many other groups there are.
    func others(of group: Int) -> Double { count - (takesPart(group) ? 1 : 0) }

    /// nil where there is no other group.
    func shrinkage(of group: Int) -> Shrinkage? {
        let own = takesPart(group)
        let others = count - (own ? 1 : 0)
        if others < 1 { return nil }
        if !own { return shrinkage(mean, variances, squares, others) }
        let summary = groups[group]
        let deviation = OtherPrompts.squared(summary.mean - mean) * count / others
        let variance = OtherPrompts.variance(summary)
        // Beside a group that has nearly all of a sum the others are too small to be found by taking it away. There is at most
        // one such group.
        let center =
            (OtherPrompts.dominates(summary.mean.magnitude, magnitudes)
                ? sum(.mean, without: group) : means - summary.mean) / others
        return shrinkage(
            center,
            OtherPrompts.dominates(variance, variances)
                ? sum(.variance, without: group) : variances - variance,
            OtherPrompts.dominates(deviation, squares)
                ? sum(.squaredDeviation(from: center), without: group) : squares - deviation,
            others)
    }

    private func shrinkage(_ center: Double, _ variances: Double, _ squares: Double, _ others: Double) -> Shrinkage {
        Shrinkage(center: center, variance: variances / others, spread: squares / others, epsilon: epsilon)
    }

    private func takesPart(_ group: Int) -> Bool { groups[group].hasSpread }

    private static func dominates(_ own: Double, _ all: Double) -> Bool { own > 0.999 * all }

    private static func squared(_ value: Double) -> Double { value * value }

    /// Of the mean of a group.
    private static func variance(_ group: GroupSummary) -> Double {
        group.sumOfSquares / (group.effectiveCount - 1) / group.effectiveCount
    }

    /// What is summed up over groups.
    private enum Term {
        case one
        case mean
        case magnitude
        case variance
        case squaredDeviation(from: Double)
    }

    @inline(never)
    private func sum(_ term: Term, without excluded: Int = -1) -> Double {
        var group = 0
        while group < groupCount {
            let mean = groups[group].mean
            var value = 0.0
            if group != excluded && takesPart(group) {
                switch term {
                case .one: value = 1
                case .mean: value = mean
                case .magnitude: value = mean.magnitude
                case .variance: value = OtherPrompts.variance(groups[group])
                case .squaredDeviation(let center): value = OtherPrompts.squared(mean - center)
                }
            }
            terms[group] = value
            group &+= 1
        }
        return reproducibleSum(terms, count: groupCount)
    }
}
