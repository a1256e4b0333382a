import SeededRandom
import Testing
@testable import Estimation

struct AreaRegressionTests {
    /// Groups and the model of method section 5 written down once more, plainly.
    private struct Groups {
        var means: [Double]
        var priors: [Double]
        var counts: [Int]
        var rewardVariance: Double
        var ridge = 0.05
        var hasSlope = true

        var freedom: Double { Double(means.count) - (hasSlope ? 2 : 1) }

        func variance(_ group: Int) -> Double { rewardVariance / Double(counts[group]) }

        func line(at spread: Double) -> (intercept: Double, slope: Double) {
            let weights =
                rewardVariance == 0 ? means.map { _ in 1.0 } : means.indices.map { 1 / (spread + variance($0)) }
            let scale = Double(means.count) / weights.reduce(0, +)
            func mean(_ values: [Double]) -> Double { zip(weights, values).map(*).reduce(0, +) / weights.reduce(0, +) }
            let (prior, reward) = (mean(priors), mean(means))
            guard hasSlope && means.count > 2 else { return (reward, 0) }
            let square = means.indices.map { scale * weights[$0] * (priors[$0] - prior) * (priors[$0] - prior) }.reduce(
                0, +)
            let product = means.indices.map { scale * weights[$0] * (priors[$0] - prior) * (means[$0] - reward) }
                .reduce(0, +)
            let slope = min(max(product / (square + ridge), 0), 1.5)
            return (reward - slope * prior, slope)
        }

        /// sum of residual^2 / (spread + v), or without the denominator.
        func squaredResiduals(at spread: Double, divided: Bool = true) -> Double {
            let (intercept, slope) = line(at: spread)
            return means.indices.map { group in
                let residual = means[group] - intercept - slope * priors[group]
                return residual * residual / (divided ? spread + variance(group) : 1)
            }.reduce(0, +)
        }

        func fit() throws -> AreaRegression.Fit {
            let summaries = means.indices.map { group in
                var summary = GroupSummary.empty(prior: Prior(value: priors[group]))
                summary.mean = means[group]
                summary.count = counts[group]
                summary.effectiveCount = Double(counts[group])
                return summary
            }
            var workspace = Workspace()
            defer { workspace.release() }
            return try AreaRegression(
                summaries: summaries, groupCount: summaries.count, rewardVariance: rewardVariance, ridge: ridge,
                hasSlope: hasSlope, workspace: &workspace
            ).fit()
        }

        static func random(_ count: Int, sizes: [Int], spread: Double, using random: inout SeededRandom) -> Groups {
            let priors = (0..<count).map { _ in Double.random(in: 0...1, using: &random) }
            let counts = (0..<count).map { _ in sizes.randomElement(using: &random)! }
            let means = priors.map { 0.2 + 0.6 * $0 + spread * Double.random(in: -1...1, using: &random) }
            return Groups(means: means, priors: priors, counts: counts, rewardVariance: 0.1)
        }
    }

    @Test func equalCountsHaveAClosedForm() throws {
        var random = SeededRandom(1)
        for count in [3, 4, 8, 50, 300] {
            for spread in [0.01, 0.2, 1] {
                for hasSlope in [true, false] {
                    var groups = Groups.random(count, sizes: [4], spread: spread, using: &random)
                    groups.hasSlope = hasSlope
                    let fit = try groups.fit()
                    let expected = max(0, groups.squaredResiduals(at: 0, divided: false) / groups.freedom - 0.1 / 4)
                    #expect(abs(fit.variance - expected) <= 1e-13)
                    #expect(abs(fit.line.slope - groups.line(at: expected).slope) <= 1e-12)
                    #expect(abs(fit.line.intercept - groups.line(at: expected).intercept) <= 1e-12)
                }
            }
        }
    }

    /// At the solution the weighted squared residuals equal the degrees of freedom (Paule and Mandel 1982); where
    /// they are below it without any common variance, that is 0.
    @Test func unequalCountsSolveTheMomentEquation() throws {
        var random = SeededRandom(2)
        var zeros = 0
        for count in [3, 4, 8, 50, 300] {
            for spread in [0.001, 0.05, 0.2, 1, 30] {
                for sizes in [[1, 2], [2, 16], [1, 1000], [3, 4, 5, 6]] {
                    for hasSlope in [true, false] {
                        var groups = Groups.random(count, sizes: sizes, spread: spread, using: &random)
                        groups.hasSlope = hasSlope
                        let fit = try groups.fit()
                        if fit.variance > 0 {
                            #expect(abs(groups.squaredResiduals(at: fit.variance) / groups.freedom - 1) <= 1e-9)
                        } else {
                            zeros += 1
                            #expect(groups.squaredResiduals(at: 0) <= groups.freedom * (1 + 1e-12))
                        }
                        #expect(abs(fit.line.slope - groups.line(at: fit.variance).slope) <= 1e-10)
                        #expect(fit.moments.groups == Double(count))
                    }
                }
            }
        }
        #expect(zeros > 10 && zeros < 150, "both cases must have been tried")
    }

    /// Rewards that are equal within every group leave no sampling noise.
    @Test func withoutSamplingNoise() throws {
        var random = SeededRandom(3)
        for count in [3, 10, 100] {
            var groups = Groups.random(count, sizes: [1, 2, 8], spread: 0.2, using: &random)
            groups.rewardVariance = 0
            let expected = groups.squaredResiduals(at: 0, divided: false) / groups.freedom
            #expect(abs(try groups.fit().variance - expected) <= 1e-13 * expected)
        }
    }

    @Test func tooFewGroups() throws {
        var random = SeededRandom(4)
        for count in 0...2 {
            let groups = Groups.random(count, sizes: [2, 3], spread: 0.3, using: &random)
            let fit = try groups.fit()
            #expect(fit.variance == 0 && fit.line.slope == 0)
            if count > 0 { #expect(abs(fit.line.intercept - groups.line(at: 0).intercept) <= 1e-15) }
        }
    }

    @Test func slopeStaysInItsBounds() throws {
        let priors = (0..<20).map { Double($0) / 20 }
        for (steepness, bound) in [(-1.0, 0.0), (5, 1.5)] {
            let groups = Groups(
                means: priors.map { steepness * $0 }, priors: priors, counts: priors.map { _ in 4 }, rewardVariance: 0.1
            )
            #expect(try groups.fit().line.slope == bound)
        }
        let level = Groups(
            means: priors, priors: priors.map { _ in 0.5 }, counts: priors.map { _ in 4 }, rewardVariance: 0.1)
        #expect(try level.fit().line.slope == 0)
    }

    @Test func groupsWithoutPriorOrRewards() throws {
        let groups = Groups(
            means: [0.1, 0.5, 0.4, 0.9, .nan], priors: [0.2, 0.4, 0.5, .nan, 0.9], counts: [4, 4, 4, 4, 0],
            rewardVariance: 0.1)
        #expect(try groups.fit().moments.groups == 3)
        var grand = groups
        grand.hasSlope = false
        #expect(try grand.fit().moments.groups == 4)
        #expect(abs(try grand.fit().moments.meanReward - 0.475) <= 1e-15)
    }
}
