/// The fast path of the most common call: advantages and nothing else, rows of a group side by side and all counted,
/// rewards that are multiples of 2^-20, a baseline that needs no more than mean and prior. One number per group is kept
/// instead of a summary. Whatever does not fit, refused input too, is left to the general path; the numbers are the same.
struct PlainEstimation {
    let grouping: Grouping
    private let batch: Batch
    private let baselines: UnsafeMutablePointer<Double>

    static func workspaceSize(rowCount: Int, groupCount: Int?) -> Int {
        let groups = groupCount ?? rowCount
        return Workspace.size(of: Int64.self, count: rowCount &+ 1) &+ Workspace.size(of: Double.self, count: groups)
    }

    /// nil, having written nothing of the caller's, where the general path is needed.
    @_optimize(speed)
    init?(
        _ batch: Batch, options: EstimationOptions, output: EstimationOutput, workspace: inout Workspace
    ) throws(Failure) {
        let needsNoMore = options.rule == .v05 || options.rule == .grpo || options.rule == .prior
        guard needsNoMore && batch.mask == nil && batch.strengths == nil && !options.leaveOneOut
            && options.scale == .none && options.test == .bound && !output.wantsGroups && output.rowGroup == nil
        else { return nil }
        switch batch.groups {
        case .offsets(let offsets, let count):
            grouping = try Grouping(offsets: offsets, groupCount: count, rowCount: batch.rowCount)
        case .ids(let ids):
            guard let runs = try Grouping(runsOf: ids, rowCount: batch.rowCount, workspace: &workspace) else { return nil }
            grouping = runs
        }
        self.batch = batch
        baselines = try workspace.take(Double.self, count: grouping.groupCount)
        let accepted = options.acceptedRewards
        switch batch.rewards {
        case .single(let rewards): guard estimate(rewards, options, accepted) else { return nil }
        case .double(let rewards): guard estimate(rewards, options, accepted) else { return nil }
        }
    }

    @inline(__always)
    @_optimize(speed)
    private func estimate<Reward: RewardScalar>(
        _ rewards: UnsafePointer<Reward>, _ options: EstimationOptions, _ accepted: ClosedRange<Double>
    ) -> Bool {
        let range = options.interval.widened
        let h2 = options.interval.halfRange * options.interval.halfRange
        var start = 0
        var group = 0
        while group < grouping.groupCount {
            let end = grouping.start(group &+ 1)
            let count = end &- start
            guard count > 0, let sum = DyadicSum(rewards + start, count: count, accepted: accepted),
                let given = prior(of: group, start, end)
            else { return false }
            let mean = sum.isConstant ? sum.smallest : sum.value / Double(count)
            var baseline = mean
            if !given.isNaN && !(given >= range.lowerBound && given <= range.upperBound) { return false }
            if given.isNaN || options.rule == .grpo {
                if count == 1 && options.singleton == .raw { baseline = 0 }
            } else {
                let prior = options.interval.clamp(given)
                let noise = h2 / Double(count)
                let deviation = mean - prior
                let squared = deviation * deviation
                baseline = prior
                if squared > noise && options.rule == .v05 {
                    let bias = squared - noise
                    baseline = Baseline.between(prior, mean, at: bias / (bias + noise))
                }
            }
            baselines[group] = baseline
            start = end
            group &+= 1
        }
        return true
    }

    /// The prior that all rows of a group agree on, nil where they do not.
    @inline(__always)
    private func prior(of group: Int, _ start: Int, _ end: Int) -> Double? {
        guard let priors = batch.priors else { return .nan }
        if case .offsets = batch.groups { return priors[group] }
        let prior = priors[start]
        var differing = 0
        var row = start &+ 1
        while row < end {
            differing &+= priors[row] == prior || (priors[row].isNaN && prior.isNaN) ? 0 : 1
            row &+= 1
        }
        return differing == 0 ? prior : nil
    }

    /// The border lets no pair of different types through.
    @_optimize(speed)
    func write(to advantages: AdvantageColumn?) {
        switch (batch.rewards, advantages) {
        case (.single(let rewards), .single(let results)): subtract(from: rewards, to: results)
        case (.double(let rewards), .double(let results)): subtract(from: rewards, to: results)
        default: break
        }
    }

    /// Rewards and baselines are at most 1e30, so the difference fits any type.
    @inline(__always)
    private func subtract<Reward: RewardScalar>(
        from rewards: UnsafePointer<Reward>, to results: UnsafeMutablePointer<Reward>
    ) {
        var row = 0
        var group = 0
        while group < grouping.groupCount {
            let end = grouping.start(group &+ 1)
            let baseline = baselines[group]
            while row < end {
                results[row] = Reward(rounding: rewards[row].double - baseline)
                row &+= 1
            }
            group &+= 1
        }
    }
}
