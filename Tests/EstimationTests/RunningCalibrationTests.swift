import SeededRandom
import Testing
@testable import Estimation

struct RunningCalibrationTests {
    private static let interval = Interval(low: 0, high: 1)

    private func fit(_ count: Int, _ random: inout SeededRandom) throws -> CalibrationFit {
        try Rollouts.random(groupCount: count, largest: 6, in: RunningCalibrationTests.interval, using: &random)
            .calibrate(RunningCalibrationTests.interval)
    }

    @Test func oneUpdateIsTheFit() throws {
        var random = SeededRandom(1)
        for count in [1, 2, 5, 40] {
            let fit = try fit(count, &random)
            var running = RunningCalibration(interval: RunningCalibrationTests.interval, discount: 0.9)
            running.merge(fit.moments)
            let solved = running.calibration
            #expect(solved.groups == fit.calibration.groups && solved.totalGroups == fit.calibration.totalGroups)
            #expect(abs(solved.slope - fit.calibration.slope) <= 1e-12)
            #expect(abs(solved.intercept - fit.calibration.intercept) <= 1e-12)
            #expect(abs(solved.rewardVariance - fit.calibration.rewardVariance) <= 1e-12)
            #expect(abs(solved.grandMean - fit.calibration.grandMean) <= 1e-12)
        }
    }

    @Test func discountZeroForgetsEverything() throws {
        var random = SeededRandom(2)
        let newest = try fit(30, &random).moments
        var running = RunningCalibration(interval: RunningCalibrationTests.interval, discount: 0)
        for _ in 0..<3 { running.merge(try fit(30, &random).moments) }
        running.merge(newest)
        #expect(abs(running.calibration.slope - newest.calibration.slope) <= 1e-12)
        #expect(running.withinSquares == newest.withinSquares && running.groups == newest.groups)
        #expect(running.updates == 4)
    }

    /// The moments of two batches together are those of all their groups (Chan, Golub and LeVeque).
    @Test func mergeEqualsAllAtOnce() {
        var random = SeededRandom(3)
        func moments(_ points: [(Double, Double)]) -> RegressionMoments {
            var moments = RegressionMoments()
            let count = Double(points.count)
            moments.groups = count
            moments.meanPrior = points.map(\.0).reduce(0, +) / count
            moments.meanReward = points.map(\.1).reduce(0, +) / count
            for (prior, reward) in points {
                moments.priorPrior += (prior - moments.meanPrior) * (prior - moments.meanPrior)
                moments.priorReward += (prior - moments.meanPrior) * (reward - moments.meanReward)
                moments.rewardReward += (reward - moments.meanReward) * (reward - moments.meanReward)
                moments.inverseCount += 0.25
            }
            return moments
        }
        for _ in 0..<50 {
            let points = (0..<40).map { _ in
                (Double.random(in: 0...1, using: &random), Double.random(in: 0...1, using: &random))
            }
            let cut = Int.random(in: 1..<40, using: &random)
            var merged = moments(Array(points[..<cut]))
            merged.merge(moments(Array(points[cut...])), discount: 1)
            let whole = moments(points)
            #expect(abs(merged.groups - whole.groups) <= 1e-12 && abs(merged.meanPrior - whole.meanPrior) <= 1e-12)
            #expect(
                abs(merged.meanReward - whole.meanReward) <= 1e-12 && abs(merged.priorPrior - whole.priorPrior) <= 1e-12
            )
            #expect(abs(merged.priorReward - whole.priorReward) <= 1e-12)
            #expect(abs(merged.rewardReward - whole.rewardReward) <= 1e-12)
            #expect(merged.inverseCount == whole.inverseCount)
        }
    }

    @Test func beforeAnyUpdate() {
        let calibration = RunningCalibration(interval: Interval(low: 2, high: 6), discount: 0.5).calibration
        #expect(calibration.intercept == 4 && calibration.slope == 0 && calibration.grandMean == 4)
        #expect(calibration.groups == 0 && calibration.priorVariance == 0 && calibration.betweenVariance == 0)
    }

    @Test func emptyBatchesChangeNothing() throws {
        var random = SeededRandom(4)
        var running = RunningCalibration(interval: RunningCalibrationTests.interval, discount: 1)
        running.merge(try fit(20, &random).moments)
        let before = running.calibration
        running.merge(RunningCalibration(interval: RunningCalibrationTests.interval, discount: 1))
        #expect(running.calibration.slope == before.slope && running.calibration.groups == before.groups)
    }
}
