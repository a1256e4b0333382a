/// Rewards beyond this are refused by every rule: their squares would leave the range of a Double.
let largestReward = 1e30

/// The first half of an estimation: every row is checked and every group summarised. Nothing of the caller's
/// is written before all of it has passed.
struct BatchSummary<Reward: RewardScalar> {
    let batch: Batch<Reward>
    let grouping: Grouping
    let groups: UnsafeMutablePointer<GroupSummary>
    /// For the median rule only.
    let middles: UnsafeMutablePointer<MiddleRewards>?
    /// One counted group's rewards.
    private let scratch: UnsafeMutablePointer<Double>
    private let options: EstimationOptions
    private let needsSquares: Bool
    /// What a counted reward must lie in.
    private let accepted: ClosedRange<Double>

    static func workspaceSize(rowCount: Int, groupCount: Int?, rule: BaselineRule) -> Int {
        let grouping = groupCount == nil ? Grouping.workspaceSize(rowCount: rowCount) : 0
        let groups = groupCount ?? rowCount
        return grouping
            &+ Workspace.size(of: GroupSummary.self, count: groups)
            &+ (rule == .median ? Workspace.size(of: MiddleRewards.self, count: groups) : 0)
            &+ Workspace.size(of: Double.self, count: rowCount)
    }

    init(
        _ batch: Batch<Reward>, options: EstimationOptions, needsSquares: Bool, workspace: inout Workspace
    ) throws(Failure) {
        self.batch = batch
        self.options = options
        self.needsSquares = needsSquares
        accepted = options.rule.reliesOnInterval
            ? options.interval.widened : ClosedRange(uncheckedBounds: (-largestReward, largestReward))
        switch batch.groups {
        case .ids(let ids):
            grouping = try Grouping(ids: ids, rowCount: batch.rowCount, workspace: &workspace)
        case .offsets(let offsets, let count):
            grouping = try Grouping(offsets: offsets, groupCount: count, rowCount: batch.rowCount)
        }
        groups = try workspace.take(GroupSummary.self, count: grouping.groupCount)
        middles = options.rule == .median
            ? try workspace.take(MiddleRewards.self, count: grouping.groupCount) : nil
        scratch = try workspace.take(Double.self, count: grouping.largestGroup)
        var group = 0
        let isPlain = grouping.rows == nil && batch.mask == nil && middles == nil && options.test == .bound
        while group < grouping.groupCount {
            let prior = try prior(of: group)
            if !(isPlain && summarizePlain(group, prior: prior)) { try summarize(group, prior: prior) }
            group &+= 1
        }
    }

    /// The quick way for rows side by side whose rewards are multiples of 2^-20, such as 0, 1 or -0.5: their plain
    /// sum is exact in any order, so that several can be added at once. Returns false, having done nothing, for
    /// others and for rewards that must be refused.
    @inline(__always)
    private func summarizePlain(_ group: Int, prior: Double) -> Bool {
        let count = grouping.size(group)
        if count == 0 || count > 1 &<< 30 { return false }
        let rewards = batch.rewards + grouping.start(group)
        guard let sum = DyadicSum(rewards, count: count, accepted: accepted) else { return false }
        groups[group] = GroupSummary(
            count: count, sumHigh: sum.value, sumLow: 0,
            mean: sum.isConstant ? rewards[0].double : sum.value / Double(count), sumOfSquares: 0,
            constant: sum.isConstant, successes: 0, prior: prior)
        if needsSquares && !sum.isConstant {
            groups[group].sumOfSquares = squares(count: count, mean: groups[group].mean) { rewards[$0].double }
        }
        return true
    }

    /// The way for all groups.
    private func summarize(_ group: Int, prior: Double) throws(Failure) {
        let (count, range) = try collect(group)
        if count == 0 {
            groups[group] = .empty(prior: prior)
            return
        }
        groups[group] = GroupSummary(rewards: scratch, count: count, range: range, prior: prior)
        if needsSquares && !groups[group].constant {
            groups[group].sumOfSquares = squares(count: count, mean: groups[group].mean) { scratch[$0] }
        }
        if options.test == .exact { groups[group].successes = try successes(in: group, count: count) }
        if let middles {
            sortAscending(scratch, count: count)
            middles[group] = MiddleRewards(sorted: scratch, count: count)
        }
    }

    /// Second pass of the two-pass variance.
    @inline(__always)
    private func squares(count: Int, mean: Double, reward: (Int) -> Double) -> Double {
        reproducibleSum(count: count) { position in
            let deviation = reward(position) - mean
            return deviation * deviation
        }
    }

    /// Copies the counted rewards of a group to `scratch` and checks them.
    private func collect(_ group: Int) throws(Failure) -> (count: Int, range: RewardRange) {
        var range = RewardRange()
        var count = 0
        var refused = 0
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            if batch.isCounted(row) {
                let reward = batch.rewards[row].double
                scratch[count] = reward
                refused &+= reward >= accepted.lowerBound && reward <= accepted.upperBound ? 0 : 1
                range.smallest = reward < range.smallest ? reward : range.smallest
                range.largest = reward > range.largest ? reward : range.largest
                count &+= 1
            }
            position &+= 1
        }
        if refused > 0 { throw refusal(in: group) }
        return (count, range)
    }

    /// The first reward of the group that breaks a rule, and which rule.
    private func refusal(in group: Int) -> Failure {
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            let reward = batch.rewards[row].double
            if batch.isCounted(row) {
                if !(reward.magnitude <= .greatestFiniteMagnitude) {
                    return Failure(
                        .invalidReward, "rewards", at: row, "must be finite in a counted row (mask takes a row out)",
                        found: .real(reward))
                }
                if !(reward.magnitude <= largestReward) {
                    return Failure(
                        .invalidReward, "rewards", at: row, "must not be larger than 1e30 in absolute value",
                        found: .real(reward))
                }
                if !(reward >= accepted.lowerBound && reward <= accepted.upperBound) {
                    return Failure(
                        .rewardOutOfRange, "rewards", at: row, "must lie in reward_range", interval: options.interval,
                        found: .real(reward))
                }
            }
            position &+= 1
        }
        return Failure(.invalidReward, "rewards", "changed during the call")
    }

    /// Number of rewards at the upper end; the exact test has no meaning for other than two-valued rewards.
    private func successes(in group: Int, count: Int) throws(Failure) -> Int {
        let low = Reward(saturating: options.interval.low).double
        let high = Reward(saturating: options.interval.high).double
        var successes = 0
        var index = 0
        while index < count {
            if scratch[index] == high {
                successes &+= 1
            } else if scratch[index] != low {
                throw Failure(
                    .rewardNotTwoValued, "rewards", "must each be an end of reward_range for the exact test",
                    interval: options.interval, found: .real(scratch[index]))
            }
            index &+= 1
        }
        return successes
    }

    /// The prior of a group: that of its counted rows, which must agree, or of its first row where no row counts.
    @inline(__always)
    private func prior(of group: Int) throws(Failure) -> Double {
        guard let priors = batch.priors else { return .nan }
        if case .offsets = batch.groups { return try checked(priors[group], at: group) }
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        var first = grouping.row(at: position)
        while position < end && !batch.isCounted(grouping.row(at: position)) { position &+= 1 }
        if position < end { first = grouping.row(at: position) }
        let prior = priors[first]
        while position < end {
            let row = grouping.row(at: position)
            if batch.isCounted(row) && priors[row] != prior && !(priors[row].isNaN && prior.isNaN) {
                throw Failure(
                    .priorDisagrees, "prior", at: row, "must be the same for all rows of a group",
                    found: .reals(prior, priors[row]))
            }
            position &+= 1
        }
        return try checked(prior, at: first)
    }

    @inline(__always)
    private func checked(_ prior: Double, at index: Int) throws(Failure) -> Double {
        if prior.isNaN || options.interval.contains(prior) {
            return prior.isNaN ? .nan : options.interval.clamp(prior)
        }
        throw Failure(
            .invalidPrior, "prior", at: index, "must be NaN (no prior) or lie in reward_range",
            interval: options.interval, found: .real(prior))
    }
}

extension Grouping {
    var largestGroup: Int {
        var largest = 0
        var group = 0
        while group < groupCount {
            largest = max(largest, size(group))
            group &+= 1
        }
        return largest
    }
}
