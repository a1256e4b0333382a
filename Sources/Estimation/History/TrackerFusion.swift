extension Tracker {
    /// The baseline of each row: what is known of its prompt, fused with the rewards of its group, its own left out. NaN for a
    /// row that does not count, and where nothing is known. Rewards of two values, without weights.
    public func fuse(
        _ batch: Batch, leaveOneOut: Bool, baselines: UnsafeMutablePointer<Double>, workspace: inout Workspace
    ) throws(Failure) {
        if batch.weights != nil {
            throw Failure(
                .invalidOption, "weights must not be given to be fused with a tracker (calibrated takes them)")
        }
        let summary = try summary(of: batch, needsSquares: false, workspace: &workspace)
        let low = batch.rewards.rounded(options.interval.low)
        let high = batch.rewards.rounded(options.interval.high)
        var row = 0
        while row < batch.rowCount {
            let reward = batch.rewards[row]
            if batch.isCounted(row) && reward != low && reward != high {
                throw Failure(
                    .rewardNotTwoValued,
                    "rewards[#] must be an end of reward_range to be fused with a tracker (calibrated takes any):",
                    at: row, real: reward, in: options.interval)
            }
            row &+= 1
        }
        var ofKnown = try strengths.known.likelihoods(workspace: &workspace)
        var ofNew = try strengths.new.likelihoods(workspace: &workspace)
        row = 0
        while row < batch.rowCount {
            if !batch.isCounted(row) { baselines[row] = .nan }
            row &+= 1
        }
        var group = 0
        while group < summary.grouping.groupCount {
            if summary.groups[group].count > 0 {
                fuse(group, of: summary, &ofKnown, &ofNew, high: high, leaveOneOut, baselines)
            }
            group &+= 1
        }
    }

    @inline(never)
    private func fuse(
        _ group: Int, of summary: BatchSummary, _ ofKnown: inout RewardLikelihoods, _ ofNew: inout RewardLikelihoods,
        high: Double, _ leaveOneOut: Bool, _ baselines: UnsafeMutablePointer<Double>
    ) {
        let batch = summary.batch
        let interval = options.interval
        let rewards = summary.groups[group]
        let start = summary.grouping.start(group)
        let end = start &+ summary.grouping.size(group)
        var successes = 0
        var position = start
        while position < end {
            let row = summary.grouping.row(at: position)
            if batch.isCounted(row) && batch.rewards[row] == high { successes &+= 1 }
            position &+= 1
        }
        let prior = rewards.prior.value.isNaN ? .nan : interval.probability(of: rewards.prior.value)
        let found = foretell(
            entry(of: UInt64(bitPattern: summary.key(of: group))), prior: prior, level: batches.level)
        let hasLost = fused(found, rewards, successes, &ofKnown, &ofNew, leaveOneOut)
        let hasWon = leaveOneOut ? fused(found, rewards, successes &- 1, &ofKnown, &ofNew, true) : hasLost
        position = start
        while position < end {
            let row = summary.grouping.row(at: position)
            if batch.isCounted(row) { baselines[row] = batch.rewards[row] == high ? hasWon : hasLost }
            position &+= 1
        }
    }

    /// The posterior mean in reward units; NaN where there is no such group, or nothing known.
    @inline(never)
    private func fused(
        _ found: Foretold, _ rewards: GroupSummary, _ successes: Int, _ ofKnown: inout RewardLikelihoods,
        _ ofNew: inout RewardLikelihoods, _ leaveOneOut: Bool
    ) -> Double {
        let count = leaveOneOut ? rewards.count &- 1 : rewards.count
        if found.value.isNaN || successes < 0 || successes > count { return .nan }
        let mean =
            found.isKnown
            ? strengths.known.mean(value: found.value, successes: successes, count: count, by: &ofKnown)
            : strengths.new.mean(value: found.value, successes: successes, count: count, by: &ofNew)
        return options.interval.clamp(options.interval.low + (options.interval.high - options.interval.low) * mean)
    }
}
