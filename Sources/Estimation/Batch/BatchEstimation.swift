/// Rewards to advantages for a whole batch: check and summarise, calibrate where the rule needs it, then write.
public struct BatchEstimation {
    private let summary: BatchSummary
    private let estimator: BaselineEstimator
    private let scaling: AdvantageScaling
    private let isCalibrated: Bool
    private let otherGroups: OtherGroups?
    /// Of JSPO, and where the fit is refused.
    private let otherPrompts: OtherPrompts?
    private let check: FitCheck?
    private var batch: Batch { summary.batch }
    private var options: EstimationOptions { summary.options }
    private var groupCount: Int { summary.grouping.groupCount }

    public static func workspaceSize(
        rowCount: Int, groupCount: Int?, options: EstimationOptions, hasWeights: Bool = false
    ) -> Int {
        let general =
            BatchSummary.workspaceSize(
                rowCount: rowCount, groupCount: groupCount, rule: options.rule, hasWeights: hasWeights)
            &+ (options.rule.needsCalibration
                ? CalibrationFit.workspaceSize(groupCount: groupCount ?? rowCount) : 0)
            &+ (options.rule == .mixture
                ? MixtureFit.workspaceSize(groupCount: groupCount ?? rowCount)
                    &+ Workspace.size(of: MixtureNumbers.self, count: 1)
                    &+ Workspace.size(of: SIMD2<Double>.self, count: SharedLikelihoods.count) : 0)
            &+ (options.rule == .jspo || options.checksFit && options.rule.needsCalibration
                ? OtherPrompts.workspaceSize(groupCount: groupCount ?? rowCount) : 0)
            &+ (options.checksFit && options.rule.needsCalibration
                ? FitCheck.workspaceSize(groupCount: groupCount ?? rowCount) : 0)
            &+ (options.scale == .batch ? Workspace.size(of: Double.self, count: groupCount ?? rowCount) : 0)
        // What the fast path takes it gives back where the general one is needed.
        return max(general, PlainEstimation.workspaceSize(rowCount: rowCount, groupCount: groupCount))
            &+ Workspace.alignment
    }

    /// Estimates and writes in one go. Nothing is written where an error is thrown.
    @inline(never)
    public static func estimate(
        _ batch: Batch, options: EstimationOptions, calibration: Calibration?, mixture: UnsafePointer<Mixture>? = nil,
        to output: EstimationOutput, workspace: inout Workspace
    ) throws(Failure) -> AppliedEstimation {
        if batch.weights != nil { try options.checkTakesWeights() }
        let batch = try batch.checkingWeights()
        let before = workspace
        if let plain = try PlainEstimation(batch, options: options, output: output, workspace: &workspace) {
            plain.write(to: output.advantages)
            return AppliedEstimation(
                groupCount: plain.groupCount, rule: options.rule, calibration: nil, weights: nil,
                interval: options.interval, refusedGroups: 0)
        }
        workspace.release(downTo: before)
        let estimation = try BatchEstimation(
            batch, options: options, calibration: calibration, mixture: mixture, workspace: &workspace)
        try estimation.write(to: output)
        return AppliedEstimation(
            groupCount: estimation.groupCount, rule: estimation.estimator.rule,
            calibration: estimation.isCalibrated ? estimation.estimator.calibration : nil,
            weights: estimation.estimator.weights,
            interval: options.interval, refusedGroups: estimation.refusedGroups)
    }

    /// - Parameters: `calibration` and `mixture` from earlier batches; fitted on this one where nil or resting on too few
    ///   groups.
    private init(
        _ batch: Batch, options: EstimationOptions, calibration: Calibration?, mixture: UnsafePointer<Mixture>?,
        workspace: inout Workspace
    ) throws(Failure) {
        let isMixture = options.rule == .mixture
        let given = isMixture ? mixture?.pointee.calibration : calibration
        let fits = options.rule.needsCalibration && !(given?.supports(options.rule) ?? false)
        let checks = options.rule.needsCalibration && !fits && options.checksFit
        summary = try BatchSummary(
            batch, options: options,
            needsSquares: fits || checks || options.scale != .none || options.rule == .jspo, workspace: &workspace)

        var used: Calibration?
        if options.rule.needsCalibration {
            let candidate = fits ? try CalibrationFit(summary, workspace: &workspace).calibration : given
            if let candidate, candidate.supports(options.rule) { used = candidate }
        }
        if options.rule == .batchMean {
            let others = OtherGroups(
                summary.groups, groupCount: summary.grouping.groupCount, isWeighted: batch.weights != nil,
                earlier: calibration?.grandMean)
            otherGroups = others
            if others.usesEarlier { used = calibration }
        } else {
            otherGroups = nil
        }
        isCalibrated = used != nil
        var weights: UnsafeMutablePointer<MixtureNumbers>?
        var likelihoods: SharedLikelihoods?
        if isMixture, let used {
            let kept = try workspace.take(MixtureNumbers.self, count: 1)
            if fits {
                kept.pointee = try MixtureFit(summary, workspace: &workspace).mixture(used).weights
            } else if let mixture {
                kept.pointee = mixture.pointee.weights
            }
            weights = kept
            likelihoods = SharedLikelihoods(
                in: try workspace.take(SIMD2<Double>.self, count: SharedLikelihoods.count))
        }
        estimator = BaselineEstimator(
            options: options, rule: used == nil ? options.rule.withoutCalibration : options.rule,
            calibration: used ?? .empty, weights: UnsafePointer(weights), likelihoods: likelihoods)
        check =
            checks
            ? try FitCheck(
                summary.groups, groupCount: summary.grouping.groupCount, estimator, workspace: &workspace) : nil
        otherPrompts =
            checks || options.rule == .jspo
            ? try OtherPrompts(
                summary.groups, groupCount: summary.grouping.groupCount, epsilon: checks ? 0 : options.epsilon,
                workspace: &workspace) : nil
        scaling = try AdvantageScaling(
            options: options, summaries: summary.groups, groupCount: summary.grouping.groupCount,
            isWeighted: batch.weights != nil, workspace: &workspace)
    }

    /// Turns `chosen`, a copy of the estimator, into that of a group: the rule is that of the call, unless what was fitted on
    /// earlier batches loses against the mean here. Then the mean is shrunk to the other groups, where these are enough to say
    /// by how much. (By pointer, as it is too large to be copied for every group.)
    @inline(never)
    private func choose(_ chosen: UnsafeMutablePointer<BaselineEstimator>, of group: Int) {
        guard let otherPrompts else { return }
        chosen.pointee.rule = .jspo
        guard let check else {
            chosen.pointee.shrinkage = otherPrompts.shrinkage(of: group)
            return
        }
        if check.refuses(group) {
            let areEnough = otherPrompts.others(of: group) >= Calibration.fewestGroups
            chosen.pointee.shrinkage = areEnough ? otherPrompts.shrinkage(of: group) : nil
        } else {
            chosen.pointee.rule = estimator.rule
        }
    }

    /// Groups for which the fit is refused.
    private var refusedGroups: Int {
        guard let check else { return 0 }
        var refused = 0
        var group = 0
        while group < groupCount {
            refused &+= check.refuses(group) ? 1 : 0
            group &+= 1
        }
        return refused
    }

    /// Writes all results. Only a capacity that is too small can still fail, before anything is written.
    @_optimize(speed)
    private func write(to output: EstimationOutput) throws(Failure) {
        if output.wantsGroups && output.groupCapacity < groupCount {
            throw Failure(
                .capacityTooSmall, "group_capacity must be at least the number of groups",
                integers: output.groupCapacity, groupCount)
        }
        let wantsGroups = output.wantsGroups
        // With leave-one-out every row has a baseline of its own, and that of the group is wanted by nobody.
        let needsBaselines = wantsGroups || !options.usesLeaveOneOut || otherGroups != nil || batch.weights != nil
        var estimator = estimator
        withUnsafeMutablePointer(to: &estimator) { estimator in
            var group = 0
            while group < groupCount {
                choose(estimator, of: group)
                var baseline = 0.0
                if needsBaselines { baseline = write(group, estimator, wantsGroups, to: output) }
                writeRows(group, estimator, baseline: baseline, to: output)
                group &+= 1
            }
        }
    }

    /// Returns the baseline of the group.
    private func write(
        _ group: Int, _ estimator: UnsafePointer<BaselineEstimator>, _ wantsGroups: Bool, to output: EstimationOutput
    ) -> Double {
        let summary = self.summary.groups[group]
        let check = estimator.pointee.check(Sample(summary))
        let baseline =
            otherGroups?.baseline(of: group) ?? estimator.pointee.baseline(sample(group, summary), check: check)
        if wantsGroups {
            output.groupIds?[group] = self.summary.key(of: group)
            output.count?[group] = Int64(truncatingIfNeeded: summary.count)
            output.effectiveCount?[group] = summary.effectiveCount
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
        return baseline.value
    }

    private func sample(_ group: Int, _ summary: GroupSummary) -> Sample {
        var sample = Sample(summary)
        if let middles = self.summary.middles, summary.count > 0 { sample.center = middles[group].median }
        return sample
    }

    @_optimize(speed)
    private func writeRows(
        _ group: Int, _ estimator: UnsafePointer<BaselineEstimator>, baseline: Double, to output: EstimationOutput
    ) {
        let grouping = self.summary.grouping
        let summary = UnsafePointer(self.summary.groups + group)
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
        let restsOnOwn = summary.pointee.count == 1 && estimator.pointee.restsOnOwnRewardAlone(summary.pointee)
        if let weights = batch.weights, let sums = self.summary.weights, options.usesLeaveOneOut || restsOnOwn {
            return writeWeighted(
                group, summary, estimator, weights, sums[group], restsOnOwn: restsOnOwn, baseline: baseline,
                to: advantages)
        }
        if restsOnOwn || baseline.isNaN { return writeSingleton(start, end, to: advantages) }
        if options.usesLeaveOneOut {
            return writeLeaveOneOut(group, summary, estimator, baseline: baseline, to: advantages)
        }
        let divisor = scaling.divisor(of: summary.pointee)
        if summary.pointee.areEnds {
            let (low, high) = self.summary.ends
            return writeEnds(
                start, end, low: (low - baseline) / divisor, high: (high - baseline) / divisor, to: advantages)
        }
        var position = start
        while position < end {
            let row = grouping.row(at: position)
            advantages.write(batch.isCounted(row) ? (batch.rewards[row] - baseline) / divisor : 0, at: row)
            position &+= 1
        }
    }

    /// Of a group whose counted rewards are ends of the interval, and which advantage goes with each.
    @_optimize(speed)
    @inline(never)
    private func writeEnds(_ start: Int, _ end: Int, low: Double, high: Double, to advantages: AdvantageColumn) {
        let success = summary.ends.high
        if case .single(let rewards) = batch.rewards, case .single(let target) = advantages,
            summary.grouping.rows == nil && batch.mask == nil
        {
            let limit = Double(Float.greatestFiniteMagnitude)
            let ofLow = SIMD4(repeating: Float(max(-limit, min(low, limit))))
            let ofHigh = SIMD4(repeating: Float(max(-limit, min(high, limit))))
            let successes = SIMD4(repeating: Float(success))
            var row = start
            while row &+ 4 <= end {
                let four = UnsafeRawPointer(rewards + row).loadUnaligned(as: SIMD4<Float>.self)
                var found = ofLow
                found.replace(with: ofHigh, where: four .== successes)
                UnsafeMutableRawPointer(target + row).storeBytes(of: found, as: SIMD4<Float>.self)
                row &+= 4
            }
            while row < end {
                target[row] = rewards[row] == successes[0] ? ofHigh[0] : ofLow[0]
                row &+= 1
            }
            return
        }
        var position = start
        while position < end {
            let row = summary.grouping.row(at: position)
            let advantage = batch.rewards[row] == success ? high : low
            advantages.write(batch.isCounted(row) ? advantage : 0, at: row)
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
        _ group: Int, _ summary: UnsafePointer<GroupSummary>, _ estimator: UnsafePointer<BaselineEstimator>,
        baseline: Double, to advantages: AdvantageColumn
    ) {
        let grouping = self.summary.grouping
        let others = OthersBaseline(
            estimator: estimator, summary: summary,
            middle: self.summary.middles.map { $0[group] },
            success: batch.rewards.rounded(options.interval.high))
        if summary.pointee.areEnds && options.scale != .group {
            // An end that does not occur has no others that it could be compared with.
            func advantage(_ reward: Double, _ occurs: Bool) -> Double {
                if !occurs { return 0 }
                let value = otherGroups == nil ? others.value(without: reward) : baseline
                return (reward - value) / scaling.divisor(of: summary.pointee)
            }
            let (low, high) = self.summary.ends
            let start = grouping.start(group)
            return writeEnds(
                start, start &+ grouping.size(group),
                low: advantage(low, summary.pointee.successes < summary.pointee.count),
                high: advantage(high, summary.pointee.successes > 0), to: advantages)
        }
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            var advantage = 0.0
            if batch.isCounted(row) {
                let reward = batch.rewards[row]
                let divisor =
                    options.scale == .group
                    ? scaling.divisorOfOthers(
                        summary.pointee, reward: reward, exactSquares: { squaresOfOthers(group, row) })
                    : scaling.divisor(of: summary.pointee)
                advantage = (reward - (otherGroups == nil ? others.value(without: reward) : baseline)) / divisor
            }
            advantages.write(advantage, at: row)
            position &+= 1
        }
    }

    /// Where rows of a group differ in more than their rewards. Those that weigh nothing are in no statistic but have an
    /// advantage: their baseline is that of the whole group. With leave-one-out a row's baseline knows neither its reward nor
    /// its weight.
    @_optimize(speed)
    private func writeWeighted(
        _ group: Int, _ summary: UnsafePointer<GroupSummary>, _ estimator: UnsafePointer<BaselineEstimator>,
        _ weights: UnsafePointer<Double>, _ sums: GroupWeights, restsOnOwn: Bool, baseline: Double,
        to advantages: AdvantageColumn
    ) {
        let grouping = self.summary.grouping
        let isLeaveOneOut = options.usesLeaveOneOut
        let divisor = scaling.divisor(of: summary.pointee)
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            position &+= 1
            if !batch.isCounted(row) {
                advantages.write(0, at: row)
                continue
            }
            let reward = batch.rewards[row]
            var value = restsOnOwn && weights[row] >= smallestWeight ? .nan : baseline
            var ownDivisor = divisor
            if isLeaveOneOut && !value.isNaN {
                let others = WeightedOthers(
                    of: summary.pointee, sums, reward: reward, weight: weights[row],
                    needsSquares: options.scale == .group,
                    anew: { weightedOthers(group, row) })
                if otherGroups == nil {
                    value = estimator.baseline(others.sample(prior: summary.pointee.prior)).value
                }
                if options.scale == .group { ownDivisor = scaling.divisor(of: others) }
            }
            // Without a baseline the convention for a group of one holds.
            if value.isNaN {
                advantages.write(options.singleton == .raw ? reward / scaling.divisorOfRawSingleton : 0, at: row)
            } else {
                advantages.write((reward - value) / ownDivisor, at: row)
            }
        }
    }

    /// The rows of a group that weigh something, without `excluded`, summed anew.
    private func weightedOthers(_ group: Int, _ excluded: Int) -> WeightedOthers {
        let grouping = summary.grouping
        let rewards = summary.scratch
        let weights = summary.scratchWeights
        var range = RewardRange()
        var largest = 0.0
        var count = 0
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            let weight = batch.weights?[row] ?? 0
            if row != excluded && batch.isCounted(row) && weight >= smallestWeight {
                rewards[count] = batch.rewards[row]
                weights[count] = weight
                range.smallest = min(range.smallest, rewards[count])
                range.largest = max(range.largest, rewards[count])
                largest = max(largest, weight)
                count &+= 1
            }
            position &+= 1
        }
        let sums = GroupWeights(weights, count: count, largest: largest)
        var found = GroupSummary(
            rewards: rewards, weights: weights, sums: sums, count: count, range: range, prior: Prior(value: .nan))
        if !found.constant { found.addSquares(rewards, weights: weights, sums: sums) }
        return WeightedOthers(
            count: count, mean: found.mean, effectiveCount: found.effectiveCount, sumOfSquares: found.sumOfSquares)
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
