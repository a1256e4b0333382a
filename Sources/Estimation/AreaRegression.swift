/// A weighted straight line through the means of the groups, mean_i ~ intercept + slope prior_i, in which a
/// mean scatters with its sampling variance v_i plus one variance common to all.
///
/// The common variance t solves  sum_i residual_i^2 / (t + v_i) = groups - coefficients  with weights
/// 1 / (t + v_i) (Paule and Mandel 1982; the usual moment estimate where all v are equal); it is 0 where the
/// left side is already smaller at 0.
struct AreaRegression {
    private let count: Int
    private let means: UnsafeMutablePointer<Double>
    private let priors: UnsafeMutablePointer<Double>
    private let inverseCounts: UnsafeMutablePointer<Double>
    private let weights: UnsafeMutablePointer<Double>
    private let terms: UnsafeMutablePointer<Double>
    private let rewardVariance: Double
    private let ridge: Double
    private let hasSlope: Bool

    struct Fit {
        let line: RegressionLine
        let variance: Double
        let moments: RegressionMoments
    }

    static func workspaceSize(groupCount: Int) -> Int { 5 &* Workspace.size(of: Double.self, count: groupCount) }

    /// - Parameter hasSlope: whether the prior explains the means (only groups with a prior take part then),
    ///   or nothing does (all groups with rewards take part).
    init(
        summaries: UnsafePointer<GroupSummary>, groupCount: Int, rewardVariance: Double, ridge: Double,
        hasSlope: Bool, workspace: inout Workspace
    ) throws(Failure) {
        means = try workspace.take(Double.self, count: groupCount)
        priors = try workspace.take(Double.self, count: groupCount)
        inverseCounts = try workspace.take(Double.self, count: groupCount)
        weights = try workspace.take(Double.self, count: groupCount)
        terms = try workspace.take(Double.self, count: groupCount)
        var used = 0
        var group = 0
        while group < groupCount {
            let summary = summaries[group]
            if summary.count > 0 && !(hasSlope && summary.prior.value.isNaN) {
                means[used] = summary.mean
                priors[used] = hasSlope ? summary.prior.value : 0
                inverseCounts[used] = 1 / Double(summary.count)
                used &+= 1
            }
            group &+= 1
        }
        count = used
        self.rewardVariance = rewardVariance
        self.ridge = ridge
        self.hasSlope = hasSlope
    }

    func fit() -> Fit {
        let freedom = Double(count) - (hasSlope ? 2 : 1)
        if freedom < 1 { return rewardVariance > 0 ? weighted(variance: 0) : equallyWeighted(variance: 0) }
        let first = equallyWeighted(variance: 0)
        let meanVariance = rewardVariance * first.moments.inverseCount / first.moments.groups
        let start = max(0, squaredResiduals(first.line, power: 0, variance: 0) / freedom - meanVariance)
        if rewardVariance <= 0 || allCountsEqual { return equallyWeighted(variance: start) }
        return weighted(variance: root(start: start, freedom: freedom, scale: meanVariance))
    }

    private var allCountsEqual: Bool {
        var index = 1
        while index < count {
            if inverseCounts[index] != inverseCounts[0] { return false }
            index &+= 1
        }
        return true
    }

    /// Newton's method, which closes in from the left, kept inside a bracket.
    private func root(start: Double, freedom: Double, scale: Double) -> Double {
        var below = 0.0
        var above = Double.infinity
        var variance = 0.0
        var step = 0
        while step < 100 {
            let line = weighted(variance: variance).line
            let excess = squaredResiduals(line, power: 1, variance: variance) - freedom
            if step == 0 {
                if excess <= 0 { return 0 }
                variance = start
                step &+= 1
                continue
            }
            if excess > 0 { below = variance } else { above = variance }
            var next = variance + excess / squaredResiduals(line, power: 2, variance: variance)
            if !(next >= below && next <= above) {
                next = above < .infinity ? (below + above) / 2 : 2 * variance + scale
            }
            let change = (next - variance).magnitude
            variance = next
            if change <= 1e-15 * (variance + scale) { break }
            step &+= 1
        }
        return variance
    }

    /// sum_i residual_i^2 / (variance + v_i)^power
    private func squaredResiduals(_ line: RegressionLine, power: Int, variance: Double) -> Double {
        var index = 0
        while index < count {
            let residual = means[index] - line.intercept - line.slope * priors[index]
            let scatter = variance + rewardVariance * inverseCounts[index]
            terms[index] = residual * residual / (power == 0 ? 1 : (power == 1 ? scatter : scatter * scatter))
            index &+= 1
        }
        return reproducibleSum(terms, count: count)
    }

    private func equallyWeighted(variance: Double) -> Fit {
        var index = 0
        while index < count {
            weights[index] = 1
            index &+= 1
        }
        return fit(variance: variance)
    }

    /// Weights 1 / (variance + v_i), scaled to mean 1.
    private func weighted(variance: Double) -> Fit {
        var index = 0
        while index < count {
            terms[index] = 1 / (variance + rewardVariance * inverseCounts[index])
            index &+= 1
        }
        let scale = Double(count) / reproducibleSum(terms, count: count)
        index = 0
        while index < count {
            weights[index] = scale * terms[index]
            index &+= 1
        }
        return fit(variance: variance)
    }

    private func fit(variance: Double) -> Fit {
        var moments = RegressionMoments()
        if count > 0 {
            moments.groups = Double(count)
            moments.inverseCount = weightedProducts(inverseCounts, 0, nil, 0)
            moments.meanPrior = weightedProducts(priors, 0, nil, 0) / moments.groups
            moments.meanReward = weightedProducts(means, 0, nil, 0) / moments.groups
            moments.priorPrior = weightedProducts(priors, moments.meanPrior, priors, moments.meanPrior)
            moments.priorReward = weightedProducts(priors, moments.meanPrior, means, moments.meanReward)
            moments.rewardReward = weightedProducts(means, moments.meanReward, means, moments.meanReward)
        }
        return Fit(line: moments.line(ridge: ridge, hasSlope: hasSlope), variance: variance, moments: moments)
    }

    /// sum_i weight_i (first_i - a) (second_i - b); without `second` its factor is 1.
    private func weightedProducts(
        _ first: UnsafeMutablePointer<Double>, _ a: Double, _ second: UnsafeMutablePointer<Double>?, _ b: Double
    ) -> Double {
        var index = 0
        while index < count {
            let factor = second.map { $0[index] - b } ?? 1
            terms[index] = weights[index] * (first[index] - a) * factor
            index &+= 1
        }
        return reproducibleSum(terms, count: count)
    }
}
