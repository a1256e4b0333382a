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

    public init(
        rowCount: Int, rewards: RewardColumn, groups: Groups, priors: UnsafePointer<Double>?,
        strengths: UnsafePointer<Double>?, mask: UnsafePointer<UInt8>?
    ) {
        self.rowCount = rowCount
        self.rewards = rewards
        self.groups = groups
        self.priors = priors
        self.strengths = strengths
        self.mask = mask
    }

    @inline(__always)
    func isCounted(_ row: Int) -> Bool {
        guard let mask else { return true }
        return mask[row] != 0
    }
}
