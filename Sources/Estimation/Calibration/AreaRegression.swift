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
    @inline(never)
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
                inverseCounts[used] = 1 / summary.effectiveCount
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
        let start = max(0, squaredResiduals(first.line, variance: 0, isWeighted: false) / freedom - meanVariance)
        // A sampling variance beside which the common one is without end makes no difference between the groups either.
        if rewardVariance <= 0x1p-100 * start || rewardVariance <= 0 || allCountsEqual {
            return Fit(line: first.line, variance: start, moments: first.moments)
        }
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

    /// The common variance, by false position with the Illinois rule (Dowell and Jarratt 1971) in a bracket.
    private func root(start: Double, freedom: Double, scale: Double) -> Double {
        @inline(never)
        func excess(_ variance: Double) -> Double {
            weigh(variance: variance)
            let line = lineMoments().line(ridge: ridge, hasSlope: hasSlope)
            return squaredResiduals(line, variance: variance, isWeighted: true) - freedom
        }
        var low = 0.0
        var excessLow = excess(0)
        if excessLow <= 0 { return 0 }
        var high = max(start, scale)
        var excessHigh = excess(high)
        var step = 0
        while excessHigh > 0 && step < 100 {
            low = high
            excessLow = excessHigh
            high *= 2
            excessHigh = excess(high)
            step &+= 1
        }
        var variance = high
        var movedLow = false
        step = 0
        while step < 100 {
            let next = (low * excessHigh - high * excessLow) / (excessHigh - excessLow)
            let change = (next - variance).magnitude
            variance = next
            if change <= 1e-15 * (variance + scale) { break }
            let found = excess(variance)
            // An end that stays twice loses half of its weight, or it would stay for ever.
            if found > 0 {
                low = variance
                excessLow = found
                if movedLow { excessHigh /= 2 }
                movedLow = true
            } else {
                high = variance
                excessHigh = found
                if !movedLow { excessLow /= 2 }
                movedLow = false
            }
            step &+= 1
        }
        return variance
    }

    /// sum_i residual_i^2, each over (variance + v_i) where weighted.
    @_optimize(speed)
    @inline(never)
    private func squaredResiduals(_ line: RegressionLine, variance: Double, isWeighted: Bool) -> Double {
        let (means, priors, inverseCounts, terms) = (means, priors, inverseCounts, terms)
        let (intercept, slope, rewardVariance) = (line.intercept, line.slope, rewardVariance)
        var index = 0
        while index < count {
            let residual = means[index] - intercept - slope * priors[index]
            terms[index] = residual * residual
            index &+= 1
        }
        index = isWeighted ? 0 : count
        while index < count {
            terms[index] /= variance + rewardVariance * inverseCounts[index]
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

    private func weighted(variance: Double) -> Fit {
        weigh(variance: variance)
        return fit(variance: variance)
    }

    /// Weights 1 / (variance + v_i), scaled to mean 1.
    @_optimize(speed)
    @inline(never)
    private func weigh(variance: Double) {
        let (weights, inverseCounts, terms, rewardVariance) = (weights, inverseCounts, terms, rewardVariance)
        // A power of two, so that nothing overflows where variances are tiny.
        let unit = 1 / GroupWeights.scale(variance + rewardVariance)
        var index = 0
        while index < count {
            terms[index] = unit / (variance + rewardVariance * inverseCounts[index])
            index &+= 1
        }
        let scale = Double(count) / reproducibleSum(terms, count: count)
        index = 0
        while index < count {
            weights[index] = scale * terms[index]
            index &+= 1
        }
    }

    private func fit(variance: Double) -> Fit {
        var moments = lineMoments()
        if count > 0 {
            moments.inverseCount = weightedSum(inverseCounts)
            moments.rewardReward = weightedProducts(means, moments.meanReward, means, moments.meanReward)
        }
        return Fit(line: moments.line(ridge: ridge, hasSlope: hasSlope), variance: variance, moments: moments)
    }

    /// What the line needs of the moments.
    @inline(never)
    private func lineMoments() -> RegressionMoments {
        var moments = RegressionMoments()
        if count > 0 {
            moments.groups = Double(count)
            moments.meanReward = weightedSum(means) / moments.groups
            // Without a slope the priors are all 0.
            if hasSlope {
                moments.meanPrior = weightedSum(priors) / moments.groups
                moments.priorPrior = weightedProducts(priors, moments.meanPrior, priors, moments.meanPrior)
                moments.priorReward = weightedProducts(priors, moments.meanPrior, means, moments.meanReward)
            }
        }
        return moments
    }

    /// sum_i weight_i value_i
    @_optimize(speed)
    @inline(never)
    private func weightedSum(_ values: UnsafeMutablePointer<Double>) -> Double {
        let (weights, terms) = (weights, terms)
        var index = 0
        while index < count {
            terms[index] = weights[index] * values[index]
            index &+= 1
        }
        return reproducibleSum(terms, count: count)
    }

    /// sum_i weight_i (first_i - a) (second_i - b)
    @_optimize(speed)
    @inline(never)
    private func weightedProducts(
        _ first: UnsafeMutablePointer<Double>, _ a: Double, _ second: UnsafeMutablePointer<Double>, _ b: Double
    ) -> Double {
        let (weights, terms) = (weights, terms)
        var index = 0
        while index < count {
            terms[index] = weights[index] * (first[index] - a) * (second[index] - b)
            index &+= 1
        }
        return reproducibleSum(terms, count: count)
    }
}
