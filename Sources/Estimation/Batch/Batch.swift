/// The rollouts of one training step: a reward per row, and which rows are rollouts of the same prompt.
public struct Batch {
    /// Where a row's group is said.
    public enum Groups {
        /// One id a row, in any order.
        case ids(UnsafePointer<Int64>)
        /// Group g is the rows offsets[g] ..< offsets[g + 1].
        case offsets(UnsafePointer<Int64>, count: Int)
    }

    public let rowCount: Int
    public let rewards: RewardColumn
    public let groups: Groups
    /// Prior values, NaN for none: one per row with ids, one per group with offsets.
    public let priors: UnsafePointer<Double>?
    /// Rewards that each prior is worth, laid out like the priors.
    public let strengths: UnsafePointer<Double>?
    /// 0 takes a row out.
    public let mask: UnsafePointer<UInt8>?
    /// How much each rollout counts, such as the squared norm of its score (method section 13); nil: all alike.
    public private(set) var weights: UnsafePointer<Double>?
    /// What each counts where that is the same for all.
    private(set) var commonWeight = 1.0

    public init(
        rowCount: Int, rewards: RewardColumn, groups: Groups, priors: UnsafePointer<Double>?,
        strengths: UnsafePointer<Double>?, mask: UnsafePointer<UInt8>?, weights: UnsafePointer<Double>? = nil
    ) {
        self.rowCount = rowCount
        self.rewards = rewards
        self.groups = groups
        self.priors = priors
        self.strengths = strengths
        self.mask = mask
        self.weights = weights
    }

    @inline(__always)
    func isCounted(_ row: Int) -> Bool {
        guard let mask else { return true }
        return mask[row] != 0
    }

    /// Whether every reward that counts is an end of the interval.
    @_optimize(speed)
    func hasTwoValues(of interval: Interval) -> Bool {
        let low = rewards.rounded(interval.low)
        let high = rewards.rounded(interval.high)
        var row = 0
        while row < rowCount {
            let reward = rewards[row]
            if reward != low && reward != high && isCounted(row) { return false }
            row &+= 1
        }
        return true
    }

    /// The batch with weights that have been checked, or without where all that count are equal: no statistic depends on
    /// their scale, so that equal weights are as none, bit for bit.
    @_optimize(speed)
    func checkingWeights() throws(Failure) -> Batch {
        guard let weights else { return self }
        if mask == nil && weights.areDifferentWeights(count: rowCount) { return self }
        var first = -1.0
        var areEqual = true
        var row = 0
        while row < rowCount {
            if isCounted(row) {
                let weight = weights[row]
                if !(weight >= 0 && weight <= .greatestFiniteMagnitude) {
                    throw Failure(.invalidWeight, "weights[#] must be finite and not negative", at: row, real: weight)
                }
                if first < 0 { first = weight }
                areEqual = areEqual && weight == first
            }
            row &+= 1
        }
        if !areEqual || first == 0 { return self }
        var equal = self
        equal.weights = nil
        if first > 0 { equal.commonWeight = first }
        return equal
    }
}

extension UnsafePointer<Double> {
    /// Whether all are finite and not negative, and not all the same. Where not, a slower look says what is wrong.
    @_optimize(speed)
    fileprivate func areDifferentWeights(count: Int) -> Bool {
        if count == 0 { return false }
        let first = SIMD4(repeating: self[0])
        var accepted = SIMD4<UInt64>(repeating: .max)
        var different = SIMD4<UInt64>(repeating: 0)
        var index = 0
        while index < count {
            let weights = index &+ 4 <= count ? four(at: index) : SIMD4(repeating: self[index])
            accepted &= unsafeBitCast((weights .>= 0) .& (weights .<= .greatestFiniteMagnitude), to: SIMD4<UInt64>.self)
            different |= unsafeBitCast(weights .!= first, to: SIMD4<UInt64>.self)
            index &+= index &+ 4 <= count ? 4 : 1
        }
        let all = (accepted[0] & accepted[1]) & (accepted[2] & accepted[3])
        let any = (different[0] | different[1]) | (different[2] | different[3])
        return all != 0 && any != 0
    }
}
