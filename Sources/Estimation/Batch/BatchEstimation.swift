/// Rewards to advantages for a whole batch: check and summarise, calibrate where the rule needs it, then write.
public struct BatchEstimation {
    private let batch: Batch
    private let options: EstimationOptions
    private let summary: BatchSummary
    private let estimator: BaselineEstimator
    private let scaling: AdvantageScaling
    private let appliedCalibration: Calibration?
    private var groupCount: Int { summary.grouping.groupCount }

    public static func workspaceSize(rowCount: Int, groupCount: Int?, options: EstimationOptions) -> Int {
        let general =
            BatchSummary.workspaceSize(rowCount: rowCount, groupCount: groupCount, rule: options.rule)
            &+ (options.rule.needsCalibration
                ? CalibrationFit.workspaceSize(groupCount: groupCount ?? rowCount) : 0)
            &+ (options.rule == .mixture
                ? MixtureFit.workspaceSize(groupCount: groupCount ?? rowCount)
                    &+ Workspace.size(of: MixtureNumbers.self, count: 1) : 0)
            &+ (options.scale == .batch ? Workspace.size(of: Double.self, count: groupCount ?? rowCount) : 0)
        // What the fast path takes it gives back where the general one is needed.
        return max(general, PlainEstimation.workspaceSize(rowCount: rowCount, groupCount: groupCount))
            &+ Workspace.alignment
    }

    /// Estimates and writes in one go. Nothing is written where an error is thrown.
    public static func estimate(
        _ batch: Batch, options: EstimationOptions, calibration: Calibration?, mixture: UnsafePointer<Mixture>? = nil,
        to output: EstimationOutput, workspace: inout Workspace
    ) throws(Failure) -> AppliedEstimation {
        let before = workspace
        if let plain = try PlainEstimation(batch, options: options, output: output, workspace: &workspace) {
            plain.write(to: output.advantages)
            return AppliedEstimation(
                groupCount: plain.groupCount, rule: options.rule, calibration: nil, weights: nil,
                interval: options.interval)
        }
        workspace.release(downTo: before)
        let estimation = try BatchEstimation(
            batch, options: options, calibration: calibration, mixture: mixture, workspace: &workspace)
        try estimation.write(to: output)
        return AppliedEstimation(
            groupCount: estimation.groupCount, rule: estimation.estimator.rule,
            calibration: estimation.appliedCalibration, weights: estimation.estimator.weights, interval: options.interval)
    }

    /// - Parameters: `calibration` and `mixture` from earlier batches; fitted on this one where nil or resting on too few
    ///   groups.
    private init(
        _ batch: Batch, options: EstimationOptions, calibration: Calibration?, mixture: UnsafePointer<Mixture>?,
        workspace: inout Workspace
    ) throws(Failure) {
        self.batch = batch
        self.options = options
        let isMixture = options.rule == .mixture
        let given = isMixture ? mixture?.pointee.calibration : calibration
        let fits = options.rule.needsCalibration && !(given?.supports(options.rule) ?? false)
        let summary = try BatchSummary(
            batch, options: options, needsSquares: fits || options.scale != .none, workspace: &workspace)
        self.summary = summary

        var used: Calibration?
        if options.rule.needsCalibration {
            let candidate = fits ? try CalibrationFit(summary, workspace: &workspace).calibration : given
            if let candidate, candidate.supports(options.rule) { used = candidate }
        }
        appliedCalibration = used
        var weights: UnsafeMutablePointer<MixtureNumbers>?
        if isMixture, let used {
            let kept = try workspace.take(MixtureNumbers.self, count: 1)
            if fits {
                kept.pointee = try MixtureFit(summary, workspace: &workspace).mixture(used).weights
            } else if let mixture {
                kept.pointee = mixture.pointee.weights
            }
            weights = kept
        }
        estimator = BaselineEstimator(
            options: options, rule: used == nil ? options.rule.withoutCalibration : options.rule,
            calibration: used ?? .empty, weights: UnsafePointer(weights))
        scaling = try AdvantageScaling(
            options: options, summaries: summary.groups, groupCount: summary.grouping.groupCount, workspace: &workspace)
    }

    /// Writes all results. Only a capacity that is too small can still fail, before anything is written.
    @_optimize(speed)
    private func write(to output: EstimationOutput) throws(Failure) {
        if output.wantsGroups && output.groupCapacity < groupCount {
            throw Failure(
                .capacityTooSmall, "group_capacity must be at least the number of groups",
                integers: output.groupCapacity, groupCount)
        }
        var group = 0
        while group < groupCount {
            write(group, to: output)
            group &+= 1
        }
    }

    @inline(__always)
    private func write(_ group: Int, to output: EstimationOutput) {
        let summary = self.summary.groups[group]
        let check = estimator.check(
            Sample(count: summary.count, center: summary.mean, successes: summary.successes, prior: summary.prior))
        let baseline = estimator.baseline(sample(group, summary), check: check)
        if output.wantsGroups {
            output.groupIds?[group] = self.summary.key(of: group)
            output.count?[group] = Int64(truncatingIfNeeded: summary.count)
            output.mean?[group] = summary.mean
            output.prior?[group] = summary.prior.value
            output.weight?[group] = baseline.weight
            output.baseline?[group] = baseline.value
            output.biasSquared?[group] = check.biasSquared
            output.mse?[group] = baseline.mse
            output.z?[group] = check.z
            output.pValue?[group] = check.pValue
            output.rejected?[group] = check.rejected ? 1 : 0
            output.constant?[group] = summary.constant ? 1 : 0
        }
        writeRows(group, summary, baseline: baseline.value, to: output)
    }

    private func sample(_ group: Int, _ summary: GroupSummary) -> Sample {
        var center = summary.mean
        if let middles = self.summary.middles, summary.count > 0 { center = middles[group].median }
        return Sample(count: summary.count, center: center, successes: summary.successes, prior: summary.prior)
    }

    @inline(__always)
    @_optimize(speed)
    private func writeRows(
        _ group: Int, _ summary: GroupSummary, baseline: Double, to output: EstimationOutput
    ) {
        let grouping = self.summary.grouping
        let start = grouping.start(group)
        let end = start &+ grouping.size(group)
        if let rowGroup = output.rowGroup {
            var position = start
            while position < end {
                rowGroup[grouping.row(at: position)] = Int64(truncatingIfNeeded: group)
                position &+= 1
            }
        }
        guard let advantages = output.advantages else { return }
        if summary.count == 1 && estimator.restsOnOwnRewardAlone(summary) {
            return writeSingleton(start, end, to: advantages)
        }
        if options.usesLeaveOneOut {
            return writeLeaveOneOut(group, summary, to: advantages)
        }
        let divisor = scaling.divisor(of: summary)
        var position = start
        while position < end {
            let row = grouping.row(at: position)
            advantages.write(batch.isCounted(row) ? (batch.rewards[row] - baseline) / divisor : 0, at: row)
            position &+= 1
        }
    }

    private func writeSingleton(_ start: Int, _ end: Int, to advantages: AdvantageColumn) {
        let isRaw = options.singleton == .raw
        let divisor = scaling.divisorOfRawSingleton
        var position = start
        while position < end {
            let row = summary.grouping.row(at: position)
            let reward = isRaw && batch.isCounted(row) ? batch.rewards[row] : 0
            advantages.write(reward / divisor, at: row)
            position &+= 1
        }
    }

    /// Every row's baseline is made from the other rewards of its group: the same rule with one reward less.
    @_optimize(speed)
    private func writeLeaveOneOut(
        _ group: Int, _ summary: GroupSummary, to advantages: AdvantageColumn
    ) {
        let grouping = self.summary.grouping
        let others = OthersBaseline(
            estimator: estimator, summary: summary,
            middle: self.summary.middles.map { $0[group] },
            success: batch.rewards.rounded(options.interval.high))
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            var advantage = 0.0
            if batch.isCounted(row) {
                let reward = batch.rewards[row]
                let divisor = options.scale == .group
                    ? scaling.divisorOfOthers(summary, reward: reward, exactSquares: { squaresOfOthers(group, row) })
                    : scaling.divisor(of: summary)
                advantage = (reward - others.value(without: reward)) / divisor
            }
            advantages.write(advantage, at: row)
            position &+= 1
        }
    }

    /// Sum of squared deviations of the group's rewards without `excluded`, 0 where they are all equal.
    private func squaresOfOthers(_ group: Int, _ excluded: Int) -> Double {
        let grouping = summary.grouping
        let others = summary.scratch
        var range = RewardRange()
        var count = 0
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            if row != excluded && batch.isCounted(row) {
                others[count] = batch.rewards[row]
                range.smallest = min(range.smallest, others[count])
                range.largest = max(range.largest, others[count])
                count &+= 1
            }
            position &+= 1
        }
        let found = GroupSummary(rewards: others, count: count, range: range, prior: Prior(value: .nan))
        return found.constant ? 0 : squaredDeviations(others, count: count, mean: found.mean)
    }
}
