/// A number type that rewards and advantages come in. All arithmetic is done in Double.
public protocol RewardScalar {
    var double: Double { get }
    /// The nearest value of the type; beyond its range the largest one, never an infinity.
    init(saturating value: Double)
    /// The nearest value, for numbers of at most 1e31.
    init(rounding value: Double)
    /// Four neighbours at once.
    static func four(_ start: UnsafePointer<Self>) -> SIMD4<Double>
}

extension Double: RewardScalar {
    @inline(__always) public var double: Double { self }
    @inline(__always) public init(saturating value: Double) { self = value }
    @inline(__always) public init(rounding value: Double) { self = value }
    @inline(__always) public static func four(_ start: UnsafePointer<Double>) -> SIMD4<Double> {
        UnsafeRawPointer(start).loadUnaligned(as: SIMD4<Double>.self)
    }
}

extension Float: RewardScalar {
    @inline(__always) public var double: Double { Double(self) }
    @inline(__always) public init(saturating value: Double) {
        let limit = Double(Float.greatestFiniteMagnitude)
        self = Float(value > limit ? limit : (value < -limit ? -limit : value))
    }
    @inline(__always) public init(rounding value: Double) { self = Float(value) }
    @inline(__always) public static func four(_ start: UnsafePointer<Float>) -> SIMD4<Double> {
        SIMD4<Double>(UnsafeRawPointer(start).loadUnaligned(as: SIMD4<Float>.self))
    }
}

/// The rollouts of one training step: a reward a row, and which rows are rollouts of the same prompt.
public struct Batch<Reward: RewardScalar> {
    /// Where a row's group is said.
    public enum Groups {
        /// One id a row, in any order.
        case ids(UnsafePointer<Int64>)
        /// Group g is the rows offsets[g] ..< offsets[g + 1].
        case offsets(UnsafePointer<Int64>, count: Int)
    }

    public let rowCount: Int
    public let rewards: UnsafePointer<Reward>
    public let groups: Groups
    /// Prior values, NaN for none: one a row with ids, one a group with offsets.
    public let priors: UnsafePointer<Double>?
    /// 0 takes a row out.
    public let mask: UnsafePointer<UInt8>?

    public init(
        rowCount: Int, rewards: UnsafePointer<Reward>, groups: Groups, priors: UnsafePointer<Double>?,
        mask: UnsafePointer<UInt8>?
    ) {
        self.rowCount = rowCount
        self.rewards = rewards
        self.groups = groups
        self.priors = priors
        self.mask = mask
    }

    @inline(__always)
    func isCounted(_ row: Int) -> Bool {
        guard let mask else { return true }
        return mask[row] != 0
    }
}
